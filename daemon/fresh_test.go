package daemon

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// world is a server with a log, a daemon that hears of it late, and reads that take their time: the model of the test
// below.
type world struct {
	r     *rand.Rand
	f     *freshness
	log   []string // topic of each event; the position is the index plus one
	value map[string]uint64
	// what the daemon heard
	heard     int
	connected bool
	known     map[string]uint64 // the newest change of a path that was pushed, told of, or in an answer
	told      map[string]uint64 // … that was pushed or told of
	reads     []*slowRead
	cached    map[string]uint64
	epoch     int
	readEpoch map[string]int
}

type slowRead struct {
	path            string
	t               ticket
	position, value uint64
	step            int
	epoch           int
}

var modelPaths = map[string]string{
	"/v1/portfolios":           "portfolio.updated a",
	"/v1/portfolios/a":         "portfolio.updated a",
	"/v1/prices/MA":            "marketdata.prices_imported MA",
	"/v1/symbols":              "marketdata.prices_imported MA",
	"/v1/returns/assets/ma":    "returns.asset_updated MA",
	"/v1/returns/portfolios/a": "returns.portfolio_updated a",
}

var modelTopics = []string{"portfolio.updated a", "marketdata.prices_imported MA", "returns.asset_updated MA", "returns.portfolio_updated a"}

func (w *world) changed(path, event string) bool {
	return modelPaths[path] == event
}

func (w *world) step() {
	switch n := w.r.IntN(100); {
	case n < 30: // something changes, and is then in the log
		event := modelTopics[w.r.IntN(len(modelTopics))]
		w.log = append(w.log, event)
		for path := range modelPaths {
			if w.changed(path, event) {
				w.value[path] = uint64(len(w.log))
			}
		}
	case n < 60: // a push comes
		if w.connected && w.heard < len(w.log) {
			w.push()
		}
	case n < 70: // a read begins
		w.reads = append(w.reads, &slowRead{path: w.anyPath(), t: w.f.begin(), epoch: w.epoch})
	case n < 92: // a read goes on
		if len(w.reads) > 0 {
			w.goOn(w.r.IntN(len(w.reads)))
		}
	case n < 95: // somebody hears of the log by another way
		if len(w.log) > 0 {
			p := 1 + w.r.IntN(len(w.log))
			w.f.told(uint64(p), w.f.now())
			for _, event := range w.log[:p] {
				w.know(event, w.log[:p], w.known, w.told)
			}
		}
	case n < 97:
		w.connected = false
		w.f.lost()
	case n < 98: // another log
		w.connected = false
		w.f.lost()
		w.log, w.heard, w.epoch = nil, -1, w.epoch+1
		w.known, w.told = map[string]uint64{}, map[string]uint64{}
		for path := range w.value {
			w.value[path] = 0
		}
	default:
		w.connect()
	}
}

func (w *world) connect() {
	if w.connected {
		return
	}
	tail := uint64(len(w.log))
	w.f.opened(tail)
	resumed := w.heard >= 0 && w.r.IntN(4) > 0
	if !resumed {
		w.heard = len(w.log)
		w.known, w.told = map[string]uint64{}, map[string]uint64{}
	}
	w.connected = true
	w.f.standing(tail, resumed)
}

func (w *world) push() {
	event := w.log[w.heard]
	w.heard++
	var topic, subject string
	_, _ = fmt.Sscan(event, &topic, &subject)
	w.f.push(uint64(w.heard), topic, subject)
	w.know(event, w.log[:w.heard], w.known, w.told)
}

// know notes that the daemon, or who uses it, has heard of changes.
func (w *world) know(event string, upTo []string, by ...map[string]uint64) {
	for path := range modelPaths {
		if !w.changed(path, event) {
			continue
		}
		for i := len(upTo); i > 0; i-- {
			if w.changed(path, upTo[i-1]) {
				for _, m := range by {
					m[path] = max(m[path], uint64(i))
				}
				break
			}
		}
	}
}

func (w *world) goOn(i int) {
	read := w.reads[i]
	if read.epoch != w.epoch { // that server is gone; its answer still comes
		read.step = 2
	}
	switch read.step {
	case 0:
		read.position = uint64(len(w.log))
	case 1:
		read.value = w.value[read.path]
	default:
		w.reads = append(w.reads[:i], w.reads[i+1:]...)
		if w.f.newest(read.path, read.t) {
			w.cached[read.path], w.readEpoch[read.path] = read.value, read.epoch
			w.f.stored(read.path, read.position, dependsOn(read.path, nil), read.t)
			if read.epoch == w.epoch {
				for p := uint64(1); p <= min(read.position, uint64(len(w.log))); p++ {
					w.know(w.log[p-1], w.log[:read.position], w.known)
				}
			}
		}
	}
	read.step++
}

func (w *world) anyPath() string {
	i := w.r.IntN(len(modelPaths))
	for path := range modelPaths {
		if i == 0 {
			return path
		}
		i--
	}
	return ""
}

// Reads, events, pushes, broken connections and replaced logs in any order: what is given as fresh is never older
// than what was heard, and what is given while the server is away never older than what was told.
func TestTheCacheNeverServesWhatIsOlderThanAPush(t *testing.T) {
	t.Parallel()
	served, stale, refused := 0, 0, 0
	for seed := range uint64(3000) {
		w := &world{
			r: rand.New(rand.NewPCG(seed, 7)), f: newFreshness(), value: map[string]uint64{}, known: map[string]uint64{}, told: map[string]uint64{},
			cached: map[string]uint64{}, readEpoch: map[string]int{}, heard: -1,
		}
		for range 200 {
			w.step()
			for path := range modelPaths {
				if _, have := w.cached[path]; have && w.readEpoch[path] == w.epoch {
					if w.f.outdated(path, dependsOn(path, nil)) {
						refused++
						require.False(t, w.f.fresh(path), "seed %d: %s is fresh and outdated", seed, path)
					} else {
						stale++
						require.GreaterOrEqual(t, w.cached[path], w.told[path], "seed %d: %s, while the server is away", seed, path)
					}
				}
				if !w.f.fresh(path) {
					continue
				}
				served++
				require.True(t, w.connected, "seed %d: fresh without pushes", seed)
				require.Equal(t, w.epoch, w.readEpoch[path], "seed %d: %s is of another log", seed, path)
				require.GreaterOrEqual(t, w.cached[path], w.known[path], "seed %d: %s", seed, path)
			}
		}
	}
	assert.Greater(t, served, 10_000, "the cache is of use")
	assert.Greater(t, stale, 100_000, "also while the server is away")
	assert.Greater(t, refused, 10_000, "things change")
}

func TestWhatEventsChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ event, path, query string }{
		{"portfolio.created p", "/v1/portfolios", "limit=5"},
		{"portfolio.deleted p", "/v1/portfolios/p", ""},
		{"portfolio.updated p", "/v1/returns/portfolios/p", ""},
		{"marketdata.prices_imported BRK.B", "/v1/prices/BRK.B", ""},
		{"marketdata.prices_imported MA", "/v1/symbols", ""},
		{"marketdata.prices_imported MA", "/v1/symbols/ma", ""},
		{"returns.asset_updated MA", "/v1/returns/assets/MA/series", "kind=log"},
		{"returns.asset_updated MA", "/v1/returns/portfolios/p", "benchmark=ma"},
		{"returns.asset_updated MA", "/v1/returns/assets/MA/drawdowns", ""},
		{"returns.asset_updated SPY", "/v1/returns/assets/MA/rolling", "metric=beta&benchmark=spy"},
		{"returns.portfolio_updated p", "/v1/returns/portfolios/p/table", "by=yearly"},
		{"returns.portfolio_updated p", "/v1/returns/portfolios/p/series", ""},
		{"stega.replay_requested returns", "/v1/returns/assets/MA", ""},
		{"returns.something_new x", "/v1/prices/MA", ""},
	} {
		t.Run(c.event+" changes "+c.path, func(t *testing.T) {
			t.Parallel()
			f := newFreshness()
			f.standing(1, false)
			query, err := url.ParseQuery(c.query)
			require.NoError(t, err)
			f.stored("k", 5, dependsOn(c.path, query), f.begin())
			require.True(t, f.fresh("k"))
			var topic, subject string
			_, _ = fmt.Sscan(c.event, &topic, &subject)
			f.push(6, topic, subject)
			assert.False(t, f.fresh("k"))
			f.stored("k", 6, dependsOn(c.path, query), f.begin())
			assert.Equal(t, topic != "portfolio.deleted" || c.path != "/v1/returns/portfolios/p", f.fresh("k"))
		})
	}
	for _, path := range []string{"/v1/operations/x", "/v1/correlations", "/v1/portfolios/", "/v1/portfolios/p/x", "/healthz", "/v1/returns/other/x"} {
		assert.Empty(t, dependsOn(path, nil), path)
	}
	assert.Empty(t, dependsOn("/v1/portfolios", url.Values{"after": {"x"}}))
}

func TestReturnsOfADeletedPortfolioAreAlwaysAskedFor(t *testing.T) {
	t.Parallel()
	f := newFreshness()
	f.standing(1, false)
	f.push(2, "portfolio.deleted", "p")
	f.stored("k", 9, dependsOn("/v1/returns/portfolios/p", nil), f.begin())
	assert.False(t, f.fresh("k"), "the view follows later, and tells nobody")
}

func TestAWriterSeesWhatHeWrote(t *testing.T) {
	t.Parallel()
	f := newFreshness()
	f.standing(1, false)
	facts := dependsOn("/v1/portfolios", nil)
	early := f.begin()
	f.stored("k", 3, facts, early)
	require.True(t, f.fresh("k"))
	late := f.begin()
	f.wrote()
	assert.False(t, f.fresh("k"))
	f.stored("k", 3, facts, late)
	assert.False(t, f.fresh("k"), "it was read before the write was answered")
	f.stored("k", 3, facts, f.begin())
	assert.True(t, f.fresh("k"))
}

func TestChangesAreForgottenTogether(t *testing.T) {
	t.Parallel()
	f := newFreshness()
	f.standing(1, false)
	f.stored("k", 2, dependsOn("/v1/portfolios/x", nil), f.begin())
	for i := range maxFacts {
		f.push(uint64(3+i), "portfolio.deleted", strconv.Itoa(i))
	}
	assert.LessOrEqual(t, len(f.changed), maxFacts)
	assert.False(t, f.fresh("k"))
}

func TestWhichWritesMayWait(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, path string
		may          bool
	}{
		{"POST", "/v1/portfolios", true}, {"PUT", "/v1/portfolios/p", true}, {"DELETE", "/v1/portfolios/p", true}, {"POST", "/v1/prices", true},
		{"POST", "/v1/schedules", true}, {"PUT", "/v1/schedules/a", true}, {"DELETE", "/v1/schedules/a", true}, {"POST", "/v1/schedules/a/run", false},
		{"POST", "/v1/prices/pull", true}, {"POST", "/v1/optimizations", true}, {"POST", "/v1/events/portfolio.created", false},
		{"POST", "/v1/tokens", false}, {"POST", "/v1/rebuild/returns", false}, {"DELETE", "/v1/portfolios/", false}, {"DELETE", "/v1/dead/x/1", false},
		{"POST", "/v1/operations/x/cancel", false}, {"POST", "/portfolios", false}, {"PUT", "/v1/portfolios", false},
	} {
		assert.Equal(t, c.may, queueable(c.method, c.path), "%s %s", c.method, c.path)
	}
}

func TestSettingsOfTheServerAreAlwaysAskedFor(t *testing.T) {
	t.Parallel()
	assert.Empty(t, dependsOn("/v1/prices/providers", nil))
	assert.Empty(t, dependsOn("/v1/schedules", nil))
	assert.NotEmpty(t, dependsOn("/v1/prices/PROVIDERS", nil), "which is a symbol")
}
