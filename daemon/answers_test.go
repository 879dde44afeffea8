package daemon

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/client"
	"stega/internal/wait"
)

func TestReadsPassThroughWithTheTagOfTheAnswerFromBefore(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	d := serveIn(t, newHome(t), b.url())
	assert.Equal(t, "miss", d.do("GET", "/v1/portfolios", "").header.Get("Stega-Cache"))
	a := d.do("GET", "/v1/portfolios", "")
	assert.Equal(t, http.StatusOK, a.status)
	assert.Equal(t, "revalidated", a.header.Get("Stega-Cache"))
	assert.Equal(t, `{"items":[]}`, a.body)
	assert.NotEmpty(t, a.header.Get("Stega-Position"))
	assert.Equal(t, 2, b.times("/v1/portfolios"), "the server has the last word")
	tag := a.header.Get("Etag")
	assert.Equal(t, http.StatusNotModified, d.do("GET", "/v1/portfolios", "", "If-None-Match", tag).status)

	b.change("portfolio.created", "p", map[string]string{"/v1/portfolios": `{"items":[1]}`})
	a = d.do("GET", "/v1/portfolios", "")
	assert.Equal(t, "miss", a.header.Get("Stega-Cache"))
	assert.Equal(t, `{"items":[1]}`, a.body, "a change is seen without any push")
}

func TestReadsAreAnsweredWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	h := newHome(t)
	d := serveIn(t, h, b.url())
	d.do("GET", "/v1/portfolios?limit=5", "")
	assert.Equal(t, Connected, d.status().Servers[0].Link.State)
	b.down()
	a := d.do("GET", "/v1/portfolios?limit=5", "")
	assert.Equal(t, http.StatusOK, a.status)
	how, age, _ := strings.Cut(a.header.Get("Stega-Cache"), "; age=")
	assert.Equal(t, "stale", how)
	_, err := strconv.Atoi(age)
	assert.NoError(t, err)
	assert.Equal(t, Away, d.status().Servers[0].Link.State)
	a = d.do("GET", "/v1/symbols", "")
	assert.Equal(t, http.StatusServiceUnavailable, a.status)
	assert.Contains(t, a.body, `"code":"server_unavailable"`)
	assert.Contains(t, a.body, "stega up")

	d.end() // what is cached outlasts the daemon
	d = serveIn(t, h, b.url())
	assert.Contains(t, d.do("GET", "/v1/portfolios?limit=5", "").header.Get("Stega-Cache"), "stale")
	b.up()
	a = d.do("GET", "/v1/portfolios?limit=5", "")
	assert.Equal(t, "revalidated", a.header.Get("Stega-Cache"))
}

// A client that was notified of a change gets no answer from before it, not even while the server is away, and not from
// the next daemon either.
func TestNoAnswerIsOlderThanANotification(t *testing.T) {
	t.Parallel()
	for name, notify := range map[string]func(t *testing.T, b *boundary, d *running){
		"by a push": func(t *testing.T, b *boundary, d *running) {
			s := clientOf(t, d).Stream(t.Context(), client.StreamOptions{})
			defer s.Close()
			pushed := make(chan struct{}, 1)
			_, err := s.Subscribe(t.Context(), client.Interest{Channel: "#"},
				client.Subscriber{Push: func(client.Push) {
					pushed <- struct{}{}
				}})
			require.NoError(t, err)
			require.Equal(t, "revalidated", d.do("GET", "/v1/portfolios", "").header.Get("Stega-Cache"),
				"it is read once more after that")
			b.change("portfolio.updated", "p", map[string]string{"/v1/portfolios": `{"items":[2]}`})
			select {
			case <-pushed:
			case <-time.After(wait.Patience):
				t.Fatal("no push arrives")
			}
		},
		"by the answer to a write": func(t *testing.T, _ *boundary, d *running) {
			require.Equal(t, http.StatusOK, d.do("POST", "/v1/portfolios", "{}").status)
		},
		"by an operation": func(t *testing.T, b *boundary, d *running) {
			b.change("portfolio.updated", "p", map[string]string{"/v1/operations/x": `{"id":"x","status":"succeeded"}`})
			require.Equal(t, http.StatusOK, d.do("GET", "/v1/operations/x", "").status)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBoundary(t)
			h := newHome(t)
			d := serveIn(t, h, b.url())
			d.do("GET", "/v1/portfolios", "")
			notify(t, b, d)
			b.down()
			refused := func() {
				a := d.do("GET", "/v1/portfolios", "")
				assert.Equal(t, http.StatusServiceUnavailable, a.status, a.body)
				assert.Contains(t, a.body, `"code":"answer_outdated"`)
			}
			refused()
			d.end()
			d = serveIn(t, h, b.url())
			refused()
			b.up()
			assert.Equal(t, http.StatusOK, d.do("GET", "/v1/portfolios", "").status)
			b.down()
			assert.Contains(
				t, d.do("GET", "/v1/portfolios", "").header.Get("Stega-Cache"), "stale",
				"this one was read after the notification",
			)
		})
	}
}

// Reads that take their time, and notifications, in any order: no answer is given that began before a notification.
func TestAnAnswerThatWasUnderWayAtANotificationIsOutdated(t *testing.T) {
	t.Parallel()
	k, err := openAnswers(t.Context(), filepath.Join(t.TempDir(), "cache.db"), 1<<20, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, k.close()) }()
	early := k.begin()
	late := k.begin()
	k.notified()
	after := k.begin()
	put := func(began int64, body string) {
		k.put(t.Context(), "k", answer{body: []byte(body), began: began, readAt: time.Now()})
	}
	got := func() (string, bool) {
		a, ok := k.get(t.Context(), "k")
		require.True(t, ok)
		return string(a.body), k.outdated(a)
	}
	put(late, "late")
	put(early, "early")
	body, outdated := got()
	assert.Equal(t, "late", body, "the answer to an earlier read does not replace it")
	assert.True(t, outdated)
	k.confirm(t.Context(), "k", after)
	_, outdated = got()
	assert.False(t, outdated, "the server confirmed it since")
	k.notified()
	_, outdated = got()
	assert.True(t, outdated)
}

func TestMessagesOfAStreamNotifyAndPingsDoNot(t *testing.T) {
	t.Parallel()
	frame := func(first byte, payload string) []byte {
		switch n := len(payload); {
		case n < 126:
			return append([]byte{first, byte(n)}, payload...)
		case n < 1<<16:
			return append([]byte{first, 126, byte(n >> 8), byte(n)}, payload...)
		default:
			return append([]byte{first, 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)},
				payload...)
		}
	}
	long := strings.Repeat(" ", 70_000)
	for _, c := range []struct {
		name  string
		bytes []byte
		count int
	}{
		{"a ping", frame(0x89, "1234"), 0},
		{"a greeting", frame(0x81, `{"hello":{"version":"x"}}`), 0},
		{"a position", frame(0x81, `{"position":{"position":7}}`), 0},
		{"a push", frame(0x81, `{"push":{"channels":["#"]}}`), 1},
		{"a long push", frame(0x81, `{"push":{}}`+long), 1},
		{"an answer of some length", frame(0x81, `{"id":1,"result":{}}`+long[:300]), 1},
		{"a message in two frames", append(frame(0x01, `{"push":`), frame(0x80, `{}}`)...), 2},
		{"all of them", append(append(frame(0x8a, ""), frame(0x81, `{"hello":{}}`)...), frame(0x81, `{"push":{}}`)...),
			1},
	} {
		for _, piece := range []int{1, 3, 1 << 20} {
			count := 0
			s := webSocket{notified: func() { count++ }}
			for b := c.bytes; len(b) > 0; {
				n := min(piece, len(b))
				s.scan(b[:n])
				b = b[n:]
			}
			assert.Equal(t, c.count, count, "%s in pieces of %d", c.name, piece)
		}
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	for i := range 20 {
		b.values["/v1/prices/S"+strconv.Itoa(i)] = strings.Repeat("x", 1000)
	}
	d := serveIn(t, newHome(t), b.url(), func(o *Options) { o.CacheBytes = 10 * leastSize })
	for i := range 20 {
		d.do("GET", "/v1/prices/S"+strconv.Itoa(i), "")
		d.do("GET", "/v1/prices/S0", "") // used most recently
	}
	s := d.status().Servers[0].Cache
	assert.LessOrEqual(t, s.Bytes, int64(10*leastSize))
	assert.Greater(t, s.Answers, 5)
	b.down()
	assert.Equal(t, http.StatusOK, d.do("GET", "/v1/prices/S0", "").status)
	assert.Equal(t, http.StatusServiceUnavailable, d.do("GET", "/v1/prices/S1", "").status)
}

func TestADamagedCacheBeginsAnew(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	h := newHome(t)
	server, err := normal(b.url())
	require.NoError(t, err)
	dir := folder(h.paths(), server, "")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t,
		os.WriteFile(filepath.Join(dir, "cache.db"), []byte(strings.Repeat("no database ", 1000)), 0o600))
	d := serveIn(t, h, b.url())
	d.do("GET", "/v1/portfolios", "")
	assert.Equal(t, "revalidated", d.do("GET", "/v1/portfolios", "").header.Get("Stega-Cache"))
	info, err := os.Stat(filepath.Join(dir, "cache.db"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// Nobody is answered with the rights of another: neither by the server nor by the cache.
func TestATokenCountsForWhoBringsIt(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	b.tokens = []string{"good", "set"}
	d := serveIn(t, newHome(t), b.url(), func(o *Options) { o.Servers = servers{url: b.url(), token: "set"} })
	ask := func(token string) int {
		if token == "" {
			return d.do("GET", "/v1/portfolios", "").status
		}
		return d.do("GET", "/v1/portfolios", "", "Authorization", "Bearer "+token).status
	}
	for range 3 { // by then answers are cached
		assert.Equal(t, http.StatusOK, ask(""), "the token of the settings")
		assert.Equal(t, http.StatusOK, ask("good"))
		assert.Equal(t, http.StatusUnauthorized, ask("bad"))
		assert.Equal(t, http.StatusOK, ask("set"))
	}
	states := map[string]int{}
	for _, s := range d.status().Servers {
		states[s.Link.State]++
	}
	assert.Equal(t, map[string]int{Connected: 2, Refused: 1}, states)
	assert.Len(t, d.status().Servers, 3)
}

// A write that is queued keeps the token that it was made with, over a restart of the daemon too.
func TestAQueuedWriteKeepsItsToken(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	h := newHome(t)
	set := func(o *Options) { o.Servers = servers{url: b.url(), token: "set"} }
	d := serveIn(t, h, b.url(), set)
	b.down()
	for _, token := range []string{"set", "other"} {
		a := d.do("POST", "/v1/portfolios", fmt.Sprintf(core, token), "Authorization", "Bearer "+token)
		require.Equal(t, http.StatusAccepted, a.status, a.body)
	}
	d.end()
	serveIn(t, h, b.url(), set)
	b.up()
	wait.Until(t, "both are sent", func() bool { return len(b.received()) == 2 })
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, r := range b.writes {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		assert.Contains(t, b.bodies[i], token)
	}
}

func TestWhichWritesMayWait(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, path string
		may          bool
	}{
		{"POST", "/v1/portfolios", true}, {"PUT", "/v1/portfolios/p", true}, {"DELETE", "/v1/portfolios/p", true},
		{"POST", "/v1/prices", true},
		{"POST", "/v1/schedules", true}, {"PUT", "/v1/schedules/a", true}, {"DELETE", "/v1/schedules/a", true},
		{"POST", "/v1/schedules/a/run", false},
		{"POST", "/v1/prices/pull", true}, {"POST", "/v1/optimizations", true},
		{"POST", "/v1/events/portfolio.created", false},
		{"POST", "/v1/tokens", false}, {"POST", "/v1/rebuild/returns", false}, {"DELETE", "/v1/portfolios/", false},
		{"DELETE", "/v1/dead/x/1", false},
		{"POST", "/v1/operations/x/cancel", false}, {"POST", "/portfolios", false}, {"PUT", "/v1/portfolios", false},
	} {
		assert.Equal(t, c.may, queueable(c.method, c.path), "%s %s", c.method, c.path)
	}
}
