package process_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/stegatest"
)

// A tail that does not follow has every entry up to the end of the log, and ends there: not earlier because of a slow
// moment, and not later because entries go on coming.
func TestATailWithoutFollowingEndsAtTheEndOfTheLog(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	s.Portfolio(`{"name":"one","assets":[{"symbol":"A","weight":"1"}]}`)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	busy := make(chan struct{})
	go func() { // entries come all the time
		defer close(busy)
		for i := 0; ctx.Err() == nil; i++ {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/v1/portfolios",
				strings.NewReader(fmt.Sprintf(`{"name":"n%d","assets":[{"symbol":"A","weight":"1"}]}`, i)))
			if err != nil {
				return
			}
			r.Header = headersOf(s)
			r.Header.Set("Content-Type", "application/json")
			if answer, err := http.DefaultClient.Do(r); err == nil {
				_ = answer.Body.Close()
			}
		}
	}()
	for range 5 {
		before := time.Now()
		lines := s.Log()
		assert.NotEmpty(t, lines)
		assert.Less(t, time.Since(before), 10*time.Second)
	}
	stop()
	<-busy
	a := s.Do(http.MethodGet, "/v1/events?from=18446744073709551615&follow=false", "")
	assert.Equal(t, http.StatusOK, a.Status)
	assert.Empty(t, a.Body)
}

func TestTailsRefuseWhatTheyDoNotUnderstand(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	for query, code := range map[string]string{
		"folow=false&from=0": "parameter_unknown", "follow=no": "parameter_invalid",
		"follow=false&follow=true": "parameter_repeated",
		"internal=1":               "parameter_invalid", "from=-1": "position_invalid", "from=x": "position_invalid",
	} {
		a := s.Do(http.MethodGet, "/v1/events?"+query, "")
		assert.GreaterOrEqual(t, a.Status, 400, query)
		assert.Equal(t, code, a.Problem().Code, query)
	}
}

// One token has few tails at a time, and one that ends makes room.
func TestTailsAreBounded(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	open := func(ctx context.Context) *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v1/events?from=0", nil)
		require.NoError(t, err)
		r.Header = headersOf(s)
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		t.Cleanup(func() { _ = answer.Body.Close() })
		return answer
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for range 8 {
		require.Equal(t, http.StatusOK, open(ctx).StatusCode)
	}
	a := s.Do(http.MethodGet, "/v1/events", "")
	assert.Equal(t, http.StatusTooManyRequests, a.Status)
	assert.Equal(t, "too_many_tails", a.Problem().Code)
	assert.NotEmpty(t, a.Problem().Hint)
	stop()
	s.Eventually("there is room again", func() bool {
		again, end := context.WithCancel(t.Context())
		defer end()
		return open(again).StatusCode == http.StatusOK
	})
}

// A body whose end does not come, or whose chunks cannot be read, is the client's mistake, on every route.
func TestBodiesThatBreakOffAreNobodyElsesFault(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	for _, c := range []struct{ path, media string }{
		{"/v1/portfolios", "application/json"}, {"/v1/prices", "text/csv"},
		{"/v1/events/correlations.updated", "application/json"},
		{"/v1/prices/pull", "application/json"}, {"/v1/optimizations", "application/json"},
		{"/v1/schedules", "application/json"},
		{"/v1/tokens", "application/json"},
	} {
		for _, framing := range []string{"Content-Length: 100\r\n\r\n{\"name\":",
			"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n"} {
			t.Run(c.path+" "+framing[:14], func(t *testing.T) {
				t.Parallel()
				conn := dial(t, s)
				var headers strings.Builder
				require.NoError(t, headersOf(s).Write(&headers))
				_, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\n%s%s", c.path,
					conn.RemoteAddr(),
					c.media, headers.String(), framing)
				require.NoError(t, err)
				require.NoError(t, closeWrite(conn))
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				defer func() { _ = answer.Body.Close() }()
				problem := decode(t, answer.Body)
				assert.Equal(t, http.StatusBadRequest, answer.StatusCode, "%+v", problem)
				assert.Equal(t, "body_incomplete", problem.Code)
			})
		}
	}
}

// The hint of an unknown path names the document that lists the paths.
func TestAnUnknownPathNamesTheDocumentOfThoseThatAre(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	document := s.Do(http.MethodGet, "/v1/openapi.json", "")
	require.Equal(t, http.StatusOK, document.Status)
	for _, area := range []string{"portfolios", "prices", "operations", "events"} {
		assert.Contains(t, string(document.Body), `"/v1/`+area)
	}
	for _, path := range []string{"/v1/nothing", "/nothing"} {
		a := s.Do(http.MethodGet, path, "")
		assert.Equal(t, http.StatusNotFound, a.Status)
		assert.Contains(t, a.Problem().Hint, "/v1/openapi.json", path)
	}
}
