package stream

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/fault"
	"stega/internal/wait"
)

// However many tokens one connection sends at once, one is looked up.
func TestAConnectionHasOneAttempt(t *testing.T) {
	t.Parallel()
	var requested atomic.Int64
	hold := make(chan struct{})
	w := newWorld(t, Options{Authorize: func(token string) error {
		if token != "" {
			requested.Add(1)
			<-hold
		}
		return fault.New(fault.KindUnauthorized, "token_wrong", "the token is wrong")
	}})
	p := w.connect(nil)
	for i := range 200 {
		p.write(fmt.Sprintf(`{"id":%d,"auth":{"token":"guess %d"}}`, i+1, i))
	}
	for id := uint64(2); id <= 200; id++ { // all but the first are refused while that one is looked up
		s := p.next()
		require.Equal(t, id, s.ID)
		require.Equal(t, "token_repeated", s.Error.Code)
	}
	close(hold)
	require.Equal(t, "token_wrong", p.next().Error.Code)
	require.Equal(t, codeToken, p.closed())
	assert.EqualValues(t, 1, requested.Load())
}

// A client that was let in may renew its token, and not endlessly often.
func TestTokensAreNotRenewedEndlesslyOften(t *testing.T) {
	t.Parallel()
	var requested atomic.Int64
	w := newWorld(t, Options{Authorize: func(token string) error {
		requested.Add(1)
		return tokenTable()(token)
	}})
	p := w.connect(http.Header{"Authorization": {"Bearer good"}})
	require.NotNil(t, p.next().Hello)
	before := time.Now()
	for range 100 {
		p.request("auth", map[string]string{"token": "good"})
	}
	assert.LessOrEqual(t, requested.Load(), 2+int64(time.Since(before)/renewEvery+1))
}

// A token has a bounded number of streams, however it is shown; one that ends makes room.
func TestAStreamTakesAPlaceOfItsToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{
		PerToken: 2, Authorize: tokenTable(),
		Trusted: func(r *http.Request) bool { return r.Header.Get("X-Local") != "" },
		Caller:  func(r *http.Request) string { return r.Header.Get("X-Local") },
	})
	good := http.Header{"Authorization": {"Bearer good"}}
	first := w.connect(good)
	require.NotNil(t, first.next().Hello)
	second := w.connect(nil)
	require.Nil(t, second.request("auth", map[string]string{"token": "good"}).Error)
	_, answer, err := w.dial(&websocket.DialOptions{HTTPHeader: good})
	require.Error(t, err)
	require.Equal(t, http.StatusTooManyRequests, answer.StatusCode)
	third := w.connect(nil)
	require.Equal(t, "too_many_streams", third.request("auth", map[string]string{"token": "good"}).Error.Code)
	require.Equal(t, codeCrowded, third.closed())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"?channel=%23", nil)
	require.NoError(t, err)
	r.Header = good
	events, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, events.Body.Close())
	require.Equal(t, http.StatusTooManyRequests, events.StatusCode)
	for _, name := range []string{"a", "b"} { // others have places of their own
		require.NotNil(t, w.connect(http.Header{"X-Local": {name}}).next().Hello)
	}
	require.NoError(t, second.ws.Close(websocket.StatusNormalClosure, ""))
	wait.Until(t, "there is room again", func() bool {
		again, _, err := w.dial(&websocket.DialOptions{HTTPHeader: good})
		if err == nil {
			_ = again.CloseNow()
		}
		return err == nil
	})
}

// Leaving a channel, and finding the channels of an event, cost what one channel costs, not what all of them do.
func TestManyPatternsCostNothing(t *testing.T) {
	t.Parallel()
	open := func(n int) (*index, []*channel) {
		x, all := &index{}, make([]*channel, n)
		for i := range all {
			c, err := parseChannel(fmt.Sprintf("w%d-%d.*", i%128, i))
			require.NoError(t, err)
			all[i] = x.open(c)
		}
		return x, all
	}
	e := newEntry(broker.LogEntry{Message: message("w1-1.created", "core", 1)}, nil)
	cost := func(n int) time.Duration {
		best := time.Hour
		for range 3 {
			x, all := open(n)
			began := time.Now()
			for _, c := range all[:5000] {
				require.Len(t, x.match(e), 1)
				if c != all[1] {
					x.release(c)
				}
			}
			best = min(best, time.Since(began))
		}
		return best
	}
	few, many := cost(5000), cost(160_000)
	assert.Less(t, many, 10*few+100*time.Millisecond, "5,000 of 5,000 take %s, 5,000 of 160,000 take %s", few, many)
	x, all := open(1000)
	for _, c := range all {
		x.release(c)
	}
	assert.Empty(t, x.channels)
	assert.Empty(t, x.patterns.next, "nothing is left of patterns that are gone")
}

// The tree finds what covers finds, each pattern once.
func TestPatternsAreFoundAsTheyCover(t *testing.T) {
	t.Parallel()
	words := []string{"a", "b", "*"}
	var patterns []string
	for _, one := range words {
		for _, two := range append(words, "") {
			for _, three := range append(words, "") {
				name := strings.TrimRight(one+"."+two+"."+three, ".")
				if !strings.Contains(name, "..") && strings.Contains(name, "*") {
					patterns = append(patterns, name)
				}
			}
		}
	}
	x := &index{}
	for _, name := range append(patterns, "#") {
		c, err := parseChannel(name)
		require.NoError(t, err, name)
		x.open(c)
	}
	for _, topic := range []string{"a", "b", "c", "a.b", "a.a", "c.b", "a.b.a", "b.b.b", "a.c.b", "a.b.a.b",
		"c.c.c.c"} {
		e := newEntry(broker.LogEntry{Message: message(topic, "core", 1)}, nil)
		want := map[string]bool{}
		for name, c := range x.channels {
			if c.takes(e) {
				want[name] = true
			}
		}
		found := x.match(e)
		assert.Len(t, found, len(want), topic)
		for _, c := range found {
			assert.True(t, want[c.name], "%s is found for %s", c.name, topic)
		}
	}
}
