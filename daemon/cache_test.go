package daemon

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/wait"
)

func TestReadsComeFromTheCacheUntilAPushSaysOtherwise(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	d := serveIn(t, newHome(t), b.url())
	d.connected()
	d.do("GET", "/v1/portfolios", "")
	asked := b.times("/v1/portfolios")
	for range 3 {
		a := d.do("GET", "/v1/portfolios", "")
		assert.Equal(t, "fresh", a.header.Get("Stega-Cache"))
		assert.Equal(t, `{"items":[]}`, a.body)
		assert.NotEmpty(t, a.header.Get("Stega-Position"))
	}
	assert.Equal(t, asked, b.times("/v1/portfolios"), "the server was not asked")

	b.change("portfolio.created", "p", map[string]string{"/v1/portfolios": `{"items":[1]}`})
	wait.Until(t, "the push has come", func() bool { return d.status().Servers[0].Stream.Position == 2 })
	a := d.do("GET", "/v1/portfolios", "")
	assert.Equal(t, "miss", a.header.Get("Stega-Cache"))
	assert.Equal(t, `{"items":[1]}`, a.body)
	assert.Equal(t, "fresh", d.do("GET", "/v1/portfolios", "").header.Get("Stega-Cache"))

	b.change("returns.asset_updated", "MA", nil)
	wait.Until(t, "the push has come", func() bool { return d.status().Servers[0].Stream.Position == 3 })
	assert.Equal(t, "fresh", d.do("GET", "/v1/portfolios", "").header.Get("Stega-Cache"), "it has nothing to do with portfolios")
}

func TestAReadIsNotOlderThanWhatTheReaderHeardElsewhere(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	d := serveIn(t, newHome(t), b.url())
	d.connected()
	b.hold(true)
	require.Equal(t, "fresh", warm(d, "/v1/portfolios"))
	b.change("portfolio.updated", "p", map[string]string{"/v1/portfolios": `{"items":["new"]}`, "/v1/correlations": `{}`})
	d.do("GET", "/v1/correlations", "") // its answer says how far the log is, before the push comes
	a := d.do("GET", "/v1/portfolios", "")
	assert.Equal(t, `{"items":["new"]}`, a.body)
	b.hold(false)
}

func warm(d *running, path string) string {
	d.do("GET", path, "")
	return d.do("GET", path, "").header.Get("Stega-Cache")
}

func TestAnswersAreRevalidatedWhenNoPushesCome(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	b.noStream = true
	d := serveIn(t, newHome(t), b.url())
	assert.Equal(t, "miss", d.do("GET", "/v1/portfolios", "").header.Get("Stega-Cache"))
	a := d.do("GET", "/v1/portfolios", "")
	assert.Equal(t, "revalidated", a.header.Get("Stega-Cache"))
	assert.Equal(t, `{"items":[]}`, a.body)
	tag := a.header.Get("Etag")
	assert.Equal(t, http.StatusNotModified, d.do("GET", "/v1/portfolios", "", "If-None-Match", tag).status)
	wait.Until(t, "it says why", func() bool {
		s := d.status().Servers[0].Stream
		return s.State == Refused && s.Fault != nil && s.Fault.Code == "stream_missing"
	})
}

func TestReadsAreAnsweredWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	h := newHome(t)
	d := serveIn(t, h, b.url())
	d.connected()
	d.do("GET", "/v1/portfolios?limit=5", "")
	b.down()
	wait.Until(t, "the stream is missed", func() bool { return d.status().Servers[0].Stream.State != Connected })
	a := d.do("GET", "/v1/portfolios?limit=5", "")
	assert.Equal(t, http.StatusOK, a.status)
	how, age, _ := strings.Cut(a.header.Get("Stega-Cache"), "; age=")
	assert.Equal(t, "stale", how)
	_, err := strconv.Atoi(age)
	assert.NoError(t, err)
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

// Whoever has heard of a change is not shown what was there before it, not even while the server is away.
func TestWhatIsKnownToBeOldIsNotGivenWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	b.values["/v1/prices/MA"] = `{"symbol":"MA"}`
	d := serveIn(t, newHome(t), b.url())
	d.connected()
	require.Equal(t, "fresh", warm(d, "/v1/portfolios"))
	require.Equal(t, "fresh", warm(d, "/v1/prices/MA"))
	b.change("portfolio.updated", "p", map[string]string{"/v1/portfolios": `{"items":[2]}`})
	wait.Until(t, "the push has come", func() bool { return d.status().Servers[0].Stream.Position == 2 })
	b.down()
	a := d.do("GET", "/v1/portfolios", "")
	assert.Equal(t, http.StatusServiceUnavailable, a.status, a.body)
	assert.Contains(t, a.body, `"code":"answer_outdated"`)
	assert.Contains(t, d.do("GET", "/v1/prices/MA", "").header.Get("Stega-Cache"), "stale", "nothing was told of it")
	b.up()
	assert.Equal(t, `{"items":[2]}`, d.do("GET", "/v1/portfolios", "").body)
}

func TestPushesThatWereMissedAreMadeUpFor(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	d := serveIn(t, newHome(t), b.url())
	d.connected()
	require.Equal(t, "fresh", warm(d, "/v1/portfolios"))
	b.down()
	b.change("portfolio.updated", "p", map[string]string{"/v1/portfolios": `{"items":[2]}`})
	b.up()
	wait.Until(t, "the feed stands", func() bool {
		s := d.status().Servers[0].Stream
		return s.State == Connected && s.Position == 2
	})
	assert.Equal(t, `{"items":[2]}`, d.do("GET", "/v1/portfolios", "").body)
}

func TestAnotherLogMakesNothingFresh(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	d := serveIn(t, newHome(t), b.url())
	d.connected()
	for range 20 {
		b.change("portfolio.updated", "p", nil)
	}
	wait.Until(t, "the pushes have come", func() bool { return d.status().Servers[0].Stream.Position == 21 })
	require.Equal(t, "fresh", warm(d, "/v1/portfolios"))
	b.down()
	b.reset(map[string]string{"/v1/portfolios": `{"items":["of another"]}`})
	b.up()
	wait.Until(t, "the feed stands", func() bool { return d.status().Servers[0].Stream.State == Connected })
	assert.Equal(t, `{"items":["of another"]}`, d.do("GET", "/v1/portfolios", "").body)
	wait.Until(t, "it is fresh again", func() bool { return warm(d, "/v1/portfolios") == "fresh" })
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	for i := range 20 {
		b.values["/v1/prices/S"+strconv.Itoa(i)] = strings.Repeat("x", 1000)
	}
	d := serveIn(t, newHome(t), b.url(), func(o *Options) { o.CacheBytes = 10_000 })
	for i := range 20 {
		d.do("GET", "/v1/prices/S"+strconv.Itoa(i), "")
		d.do("GET", "/v1/prices/S0", "") // used most recently
	}
	s := d.status().Servers[0].Cache
	assert.LessOrEqual(t, s.Bytes, int64(10_000))
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
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cache.db"), []byte(strings.Repeat("no database ", 1000)), 0o600))
	d := serveIn(t, h, b.url())
	d.connected()
	assert.Equal(t, "fresh", warm(d, "/v1/portfolios"))
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
		wait.Until(t, "the feeds stand", func() bool {
			n := 0
			for _, s := range d.status().Servers {
				if s.Stream.State == Connected {
					n++
				}
			}
			return n == 2
		})
	}
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

// A cached list, through the socket, must take less than 20 ms.
func BenchmarkCachedList(b *testing.B) {
	server := newBoundary(b)
	server.values["/v1/portfolios"] = `{"items":[` + strings.TrimSuffix(strings.Repeat(`{"id":"x","name":"y","assets":[]},`, 500), ",") + `]}`
	d := serveIn(b, newHome(b), server.url())
	d.connected()
	if how := warm(d, "/v1/portfolios"); how != "fresh" {
		b.Fatal(how)
	}
	worst := time.Duration(0)
	for b.Loop() {
		began := time.Now()
		d.do("GET", "/v1/portfolios", "")
		worst = max(worst, time.Since(began))
	}
	b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
}
