package stream

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/fault"
)

// tokens are those of the tests.
func tokenTable() func(string) error {
	return func(token string) error {
		switch token {
		case "good":
			return nil
		case "narrow":
			return fault.New(fault.KindForbidden, "scope_missing", "the token does not cover the stream")
		case "later":
			return fault.Unavailable("tokens_unavailable", "the tokens cannot be looked at")
		}
		return fault.New(fault.KindUnauthorized, "token_wrong", "the token is wrong or was revoked")
	}
}

func TestWhoMayReadTheStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Authorize: tokenTable()})
	header := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

	t.Run("one with a good token in the header", func(t *testing.T) {
		assert.NotNil(t, w.connect(header("good")).next().Hello)
	})
	for token, status := range map[string]int{"bad": 401, "": 401, "narrow": 403, "later": 503} {
		t.Run("none with the token "+token+" in the header", func(t *testing.T) {
			_, answer, err := w.dial(&websocket.DialOptions{HTTPHeader: header(token)})
			require.Error(t, err)
			assert.Equal(t, status, answer.StatusCode)
			assert.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"))
			var f fault.Fault
			require.NoError(t, json.NewDecoder(answer.Body).Decode(&f))
			assert.NotEmpty(t, f.Code)
		})
	}
	t.Run("one that sends a good token first", func(t *testing.T) {
		p := w.connect(nil)
		assert.Equal(t, "token_missing", p.subscribe("#", nil).Error.Code)
		assert.Nil(t, p.request("ping", struct{}{}).Error)
		assert.Nil(t, p.request("auth", map[string]string{"token": "good"}).Error)
		assert.NotNil(t, p.next().Hello)
		p.subscribed("#", nil)
		assert.Nil(t, p.request("auth", map[string]string{"token": "good"}).Error, "and may send a newer one")
	})
	for token, code := range map[string]int{
		"bad":    codeToken,
		"":       codeToken,
		"narrow": codeForbidden,
		"later":  codeAgain,
	} {
		t.Run("none that sends the token "+token, func(t *testing.T) {
			p := w.connect(nil)
			assert.NotNil(t, p.request("auth", map[string]string{"token": token}).Error)
			assert.Equal(t, code, p.closed())
		})
	}
	t.Run("no reader of server-sent events without one", func(t *testing.T) {
		answer, err := http.Get(w.url + "?channel=%23")
		require.NoError(t, err)
		defer answer.Body.Close()
		assert.Equal(t, http.StatusUnauthorized, answer.StatusCode)
	})
}

func TestOneWhoSendsNoTokenIsClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Authorize: tokenTable(), Auth: 10 * time.Millisecond})
	assert.Equal(t, codeToken, w.connect(nil).closed())
}

func TestATokenThatIsRevokedEndsItsConnections(t *testing.T) {
	t.Parallel()
	revoke := make(chan func(error), 1)
	w := newWorld(t, Options{
		Authorize: tokenTable(),
		Watch: func(_ context.Context, token string, ended func(error)) (stop func()) {
			if token == "good" {
				revoke <- ended
			}
			return func() {}
		},
		Trusted: func(r *http.Request) bool { return r.Header.Get("X-Local") != "" },
	})
	p := w.connect(http.Header{"Authorization": {"Bearer good"}})
	trusted := w.connect(http.Header{"X-Local": {"yes"}})
	require.NotNil(t, trusted.next().Hello)
	(<-revoke)(fault.New(fault.KindUnauthorized, "token_revoked", "the token was revoked"))
	assert.Equal(t, codeToken, p.closed())
	trusted.subscribed("#", nil)
}

func TestPagesOfOtherOriginsMayNotConnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Origins: []string{"app.example.com", "https://*.example.org"}})
	host := w.url[len("http://"):]
	for origin, allowed := range map[string]bool{
		"http://" + host: true, "https://app.example.com": true, "https://a.example.org": true,
		"http://a.example.org": false, "https://evil.example": false, "null": false, "https://" + host +
			".evil.example": false, "://": false,
	} {
		ws, answer, err := w.dial(&websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin}}})
		if allowed {
			require.NoError(t, err, origin)
			_ = ws.CloseNow()
			continue
		}
		require.Error(t, err, origin)
		assert.Equal(t, http.StatusForbidden, answer.StatusCode, origin)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"?channel=%23", nil)
		require.NoError(t, err)
		request.Header.Set("Origin", origin)
		events, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		assert.Equal(t, http.StatusForbidden, events.StatusCode, origin)
		_ = events.Body.Close()
	}
}
