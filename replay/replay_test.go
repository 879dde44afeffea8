package replay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/events"
	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/process"
	"stega/services/boundary"
	"stega/store"
)

func TestMain(m *testing.M) {
	defer stegatest.RemoveBinary()
	servers.Main(m)
}

// suite is a stega with prices and portfolios, and the URLs of its databases.
type suite struct {
	*stegatest.Server
	t    *testing.T
	urls map[string]string
	ids  []string // portfolios
}

// onSQLite and onPostgreSQL return the URL of the database of each service.
func onSQLite(t *testing.T) (data string, urls map[string]string) {
	t.Helper()
	data, urls = t.TempDir(), map[string]string{}
	for _, name := range process.Names() {
		urls[name] = "sqlite://" + filepath.Join(data, name+".db")
	}
	return data, urls
}

func onPostgreSQL(t *testing.T) (data string, urls map[string]string) {
	t.Helper()
	urls = map[string]string{}
	for _, name := range process.Names() {
		urls[name] = servers.Postgres(t).URL()
	}
	return t.TempDir(), urls
}

// market returns prices of some symbols on some days, different for each seed.
func market(symbols, days, seed int) string {
	var b strings.Builder
	b.WriteString("date,symbol,close\n")
	for i := range symbols {
		for d := range days {
			_, _ = fmt.Fprintf(&b, "%s,S%03d,%d\n", civil.Of(2023, 12, 1).AddDays(d), i, 100+(7*i+11*d*d+seed)%50)
		}
	}
	return b.String()
}

func grown(t *testing.T, data string, urls map[string]string, symbols int) *suite {
	t.Helper()
	s := &suite{t: t, urls: urls}
	s.Server = stegatest.Start(t, stegatest.Config(data, func(c *process.Config) {
		c.Database = func(service string) string { return urls[service] }
	}))
	s.grow(symbols)
	return s
}

// grow imports prices of some symbols and creates four portfolios of them.
func (s *suite) grow(symbols int) {
	s.t.Helper()
	s.Import(market(symbols, 60, 0), "")
	for i := range 4 {
		s.ids = append(s.ids,
			s.Portfolio(fmt.Sprintf(`{"name":"p%d","assets":[{"symbol":"S000","weight":"0.4"},`+
				`{"symbol":"S00%d","weight":"0.6"}]}`, i, 1+i)))
	}
}

// views returns the read views of all services with views, byte for byte.
func views(t *testing.T, urls map[string]string) map[string]string {
	t.Helper()
	return map[string]string{
		"returns":      stegatest.Views(t, urls["returns"]),
		"correlations": stegatest.CorrelationsViews(t, urls["correlations"]),
		"optimization": stegatest.OptimizationViews(t, urls["optimization"]),
	}
}

// exec runs statements on the database of a service.
func (s *suite) exec(service string, statements ...string) {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), service, s.urls[service])
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, db.Close()) }()
	require.NoError(s.t, db.Do(s.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (s *suite) rebuild(service string) store.Operation {
	s.t.Helper()
	var o store.Operation
	s.Do(http.MethodPost, "/v1/rebuild/"+service, "", "Prefer", "wait=0").JSON(&struct {
		ID *string `json:"operation_id"`
	}{&o.ID})
	defer func() {
		if !o.Done() {
			s.t.Logf("%s: %s\n%s", service, s.Do(http.MethodGet, "/v1/operations/"+o.ID, "").Body,
				s.Do(http.MethodGet, "/v1/dead", "").Body)
		}
	}()
	s.Eventually("the rebuild has ended", func() bool {
		s.Get("/v1/operations/"+o.ID, &o)
		return o.Done()
	})
	return o
}

// A rebuild replaces every damaged row of a view by the state of its owner, and keeps correct rows.
func TestARebuildRepairsEveryDamage(t *testing.T) {
	t.Parallel()
	data, urls := onSQLite(t)
	repairs(t, grown(t, data, urls, 12))
}

func TestARebuildRepairsEveryDamageOnPostgreSQL(t *testing.T) {
	t.Parallel()
	data, urls := onPostgreSQL(t)
	repairs(t, grown(t, data, urls, 12))
}

func repairs(t *testing.T, s *suite) {
	t.Helper()
	before := views(t, s.urls)
	s.damage()
	for _, service := range inOrder { // each needs the previous one
		o := s.rebuild(service)
		require.Nil(t, o.Error, "%s: %+v", service, o.Error)
		require.NotNil(t, o.Progress, service)
		assert.Equal(t, o.Progress.Total, o.Progress.Total+min(0, o.Progress.Done), service)
		assert.Equal(t, before[service], views(t, s.urls)[service], service)
	}
}

// inOrder lists the services with views, in the order in which they can be rebuilt.
var inOrder = []string{"returns", "correlations", "optimization"}

// damage corrupts every kind of row of every view.
func (s *suite) damage() {
	s.t.Helper()
	ghost, junk := events.NewID(), "X'7a7a7a'"
	if strings.HasPrefix(s.urls["returns"], "postgres") {
		junk = `'\x7a7a7a'::bytea`
	}
	portfolios := []string{
		"UPDATE portfolios SET version = 99, assets = '[]' WHERE id = '" + s.ids[0] + "'",
		"DELETE FROM portfolios WHERE id = '" + s.ids[1] + "'",
		"INSERT INTO portfolios (id, version, assets) VALUES ('" + ghost + "', 1, '[]')",
	}
	holdings := []string{
		"DELETE FROM holdings WHERE portfolio_id = '" + s.ids[2] + "'",
		"INSERT INTO holdings (symbol, portfolio_id) VALUES ('S009', '" + s.ids[3] + "'), ('S009', '" + ghost + "')",
	}
	s.exec("returns", append(append(portfolios, holdings...),
		"UPDATE series SET data = (SELECT data FROM series WHERE symbol = 'S001' AND year = 2023) "+
			"WHERE symbol = 'S002' AND year = 2023",
		"UPDATE series SET data = "+junk+" WHERE symbol = 'S003' AND year = 2024",
		"DELETE FROM series WHERE symbol = 'S004' AND year = 2023",
		"DELETE FROM series WHERE symbol = 'S005'",
		"UPDATE series SET days = 7, last_day = first_day WHERE symbol = 'S006'",
		"INSERT INTO series SELECT 'GHOST', year, first_day, last_day, days, data, format FROM series WHERE symbol "+
			"= 'S007'",
		"INSERT INTO series SELECT symbol, 2020, first_day, last_day, days, data, format FROM series "+
			"WHERE symbol = 'S008' AND year = 2023",
		"UPDATE closes SET day = day + 900, close = '999' WHERE symbol = 'S001'",
		"INSERT INTO closes (symbol, day, close) VALUES ('GHOST2', 1, '1')",
		"DELETE FROM closes WHERE symbol = 'S002'",
	)...)
	s.exec("correlations", append(portfolios,
		"UPDATE series SET data = (SELECT data FROM series WHERE symbol = 'S001' AND year = 2023) "+
			"WHERE symbol = 'S002' AND year = 2023",
		"UPDATE series SET data = "+junk+" WHERE symbol = 'S003' AND year = 2024",
		"DELETE FROM series WHERE symbol = 'S004' AND year = 2023",
		"DELETE FROM symbols WHERE symbol = 'S005'",
		"UPDATE symbols SET days = 7, stamps = "+junk+" WHERE symbol = 'S006'",
		"INSERT INTO symbols SELECT 'GHOST', first_day, last_day, days, stamps FROM symbols WHERE symbol = 'S007'",
		"INSERT INTO series SELECT 'GHOST', year, data FROM series WHERE symbol = 'S007'",
		"INSERT INTO series SELECT symbol, 2020, data FROM series WHERE symbol = 'S008' AND year = 2023",
	)...)
	s.exec("optimization", append(append(portfolios, holdings...),
		"UPDATE series SET data = (SELECT data FROM series WHERE symbol = 'S001' AND year = 2023) "+
			"WHERE symbol = 'S002' AND year = 2023",
		"UPDATE series SET data = "+junk+" WHERE symbol = 'S003' AND year = 2024",
		"DELETE FROM series WHERE symbol = 'S004' AND year = 2023",
		"INSERT INTO series SELECT 'GHOST', year, first_day, last_day, days, data FROM series WHERE symbol = 'S007'",
		"UPDATE closes SET day = day + 900, close = '999' WHERE symbol = 'S001'",
		"INSERT INTO closes (symbol, day, close) VALUES ('GHOST', 1, '1')",
		"DELETE FROM closes WHERE symbol = 'S002'",
	)...)
}

// The program is killed with SIGKILL at random instants of rebuilds. Each rebuild continues after the restart, and
// ends with the views of an undisturbed one.
func TestARebuildOutlastsKills(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program a dozen times")
	}
	t.Parallel()
	rng := stegatest.Rand(t, 3)
	data, urls := onSQLite(t)
	var p *stegatest.Program
	s := &suite{t: t, urls: urls}
	launch := func() {
		var ok bool
		p, ok = stegatest.Launch(t, nil, "up", "--data", data, "--addr", "127.0.0.1:0", "--log-level", "error")
		require.True(t, ok, "%s", p.Output())
		s.Server = p.Server()
	}
	launch()
	s.grow(40)
	before := views(t, urls)
	s.damage()
	for _, service := range inOrder {
		id := events.NewID()
		a := s.Do(http.MethodPost, "/v1/rebuild/"+service, "", "Operation-Id", id)
		require.Equal(t, http.StatusAccepted, a.Status, "%s", a.Body)
		kills, began := 0, time.Now()
		for range 4 {
			time.Sleep(time.Duration(rng.IntN(120)) * time.Millisecond) // the random instant
			p.Kill()
			kills++
			launch()
			var o store.Operation
			if s.Get("/v1/operations/"+id, &o); o.Done() {
				break
			}
		}
		var o boundary.Operation
		s.Eventually("the rebuild of "+service+" is settled", func() bool {
			s.Get("/v1/operations/"+id, &o)
			return o.Settled
		})
		require.Nil(t, o.Error, "%s: %+v", service, o.Error)
		assert.Equal(t, before[service], views(t, urls)[service], "%s, after %d kills", service, kills)
		t.Logf("%s was killed %d times and settled after %s", service, kills, time.Since(began))
	}
	assert.Zero(t, p.Stop(), "%s", p.Output())
}

// During a rebuild a view gives the same answers as before, it includes new writes, and at the end it equals a view
// that was never rebuilt.
func TestAViewAnswersDuringARebuild(t *testing.T) {
	t.Parallel()
	data, urls := onSQLite(t)
	answers(t, grown(t, data, urls, 30))
}

func TestAViewAnswersDuringARebuildOnPostgreSQL(t *testing.T) {
	t.Parallel()
	data, urls := onPostgreSQL(t)
	answers(t, grown(t, data, urls, 30))
}

func answers(t *testing.T, s *suite) {
	t.Helper()
	before := views(t, s.urls)
	want := map[string]string{}
	paths := []string{"/v1/returns/portfolios/" + s.ids[0], "/v1/correlations?symbols=S000,S001,S002"}
	for i := range 5 {
		paths = append(paths, fmt.Sprintf("/v1/returns/assets/S%03d", i))
	}
	for _, path := range paths {
		want[path] = string(s.Do(http.MethodGet, path, "").Body)
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			path := paths[i%len(paths)]
			a := s.Do(http.MethodGet, path, "")
			if !assert.Equal(t, http.StatusOK, a.Status, "%s: %s", path, a.Body) ||
				!assert.Equal(t, want[path], string(a.Body), path) {
				return
			}
		}
	})
	for _, service := range []string{"returns", "correlations", "optimization"} {
		require.Nil(t, s.rebuild(service).Error)
	}
	close(done)
	readers.Wait()
	assert.Equal(t, before, views(t, s.urls))

	// Live writes during a rebuild.
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := range 6 {
			s.Import(strings.ReplaceAll(market(3, 5, 100+n), "S0", fmt.Sprintf("N%d", n)), "")
			s.Import(market(6, 5, 200+n), "")
			id := s.Portfolio(fmt.Sprintf(`{"name":"n%d","assets":[{"symbol":"S000","weight":"1"}]}`, n))
			if n%2 == 0 {
				s.Write(http.MethodDelete, "/v1/portfolios/"+id, "")
			}
		}
	})
	for range 3 {
		for _, service := range []string{"returns", "correlations", "optimization"} {
			require.Nil(t, s.rebuild(service).Error)
		}
	}
	writer.Wait()
	after := views(t, s.urls)
	assert.Contains(t, after["returns"], fmt.Sprintf("series %x", "N500"))
	for service, view := range after {
		require.Nil(t, s.rebuild(service).Error)
		assert.Equal(t, view, views(t, s.urls)[service], service)
	}
}

// However large the state is, a unit of work replays one page of it.
func TestAReplayIsInPages(t *testing.T) {
	t.Parallel()
	data, urls := onSQLite(t)
	s := &suite{t: t, urls: urls, Server: stegatest.Start(t, stegatest.Config(data))}
	const symbols = 600
	s.Import(market(symbols, 2, 0), "")
	require.Nil(t, s.rebuild("returns").Error)
	of := map[string]int{}
	for _, line := range s.Log() {
		var e events.PricesImported
		if line.Type == e.Topic() && json.Unmarshal(line.Data, &e) == nil && e.Replay != nil {
			of[line.Causation]++
		}
	}
	all := 0
	for _, n := range of {
		all += n
		assert.LessOrEqual(t, n, 250)
	}
	assert.Equal(t, symbols, all)
}

// While the owner of the prices is away, a rebuild is running: another one is refused until the first is cancelled.
func TestARebuildUnderWayRefusesAnother(t *testing.T) {
	t.Parallel()
	data, urls := onSQLite(t)
	grown(t, data, urls, 5).Stop()
	config := func(names ...string) process.Config {
		return stegatest.Config(data, func(c *process.Config) { c.Services = names })
	}
	s := stegatest.Start(t, config("boundary", "correlations", "optimization", "portfolio", "returns")).Unsettled()
	start := func() (id string) {
		s.Do(http.MethodPost, "/v1/rebuild/returns", "").JSON(&struct {
			ID *string `json:"operation_id"`
		}{&id})
		return id
	}
	await := func(id string, so func(o store.Operation) bool) (o store.Operation) {
		s.Eventually("operation "+id+" has the expected state", func() bool {
			o = store.Operation{}
			return s.Do(http.MethodGet, "/v1/operations/"+id, "").Status == http.StatusOK && func() bool {
				s.Get("/v1/operations/"+id, &o)
				return so(o)
			}()
		})
		return o
	}
	first := start()
	await(first, func(o store.Operation) bool { return o.Progress != nil && o.Progress.Done == 4 }) // the portfolios
	second := await(start(), store.Operation.Done)
	require.NotNil(t, second.Error)
	assert.Equal(t, "rebuild_running", second.Error.Code)
	assert.Contains(t, second.Error.Detail, first)
	require.Less(t, s.Do(http.MethodPost, "/v1/operations/"+first+"/cancel", "").Status, 300)
	third := start()
	assert.Equal(t, "operation_cancelled", await(first, store.Operation.Done).Error.Code)
	await(third, func(o store.Operation) bool { return o.Status == store.Running })
	s.Stop()
	before := views(t, urls)["returns"]
	s = stegatest.Start(t, config(process.Names()...))
	assert.Equal(t, store.Succeeded, await(third, store.Operation.Done).Status)
	assert.Equal(t, before, views(t, urls)["returns"])
}

// A dead price, or the returns that follow from it, are retried after their correction was applied: the views keep the
// correction, as after a rebuild.
func TestARetriedDeadPriceDoesNotReplaceItsCorrection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ service, table, topic string }{
		{"returns", "series", events.PricesImported{}.Topic()},
		{"returns", "closes", events.PricesImported{}.Topic()},
		{"optimization", "closes", events.AssetUpdated{}.Topic()},
	} {
		t.Run(c.table+" of "+c.service, func(t *testing.T) {
			t.Parallel()
			data, urls := onSQLite(t)
			s := grown(t, data, urls, 3)
			s.exec(c.service, "ALTER TABLE "+c.table+" RENAME TO mislaid")
			s.Unsettled().Import("date,symbol,close\n2024-02-01,S000,999\n", "")
			s.Eventually("the message is parked", func() bool { return s.parked(c.service) > 0 })
			// Like a message that the broker gave up and that is listed only after its successor was applied.
			s.exec(c.service, "UPDATE parked SET state = 'dead', holds = FALSE, died_at = parked_at "+
				"WHERE topic = '"+c.topic+"'",
				"ALTER TABLE mislaid RENAME TO "+c.table)
			s.Unsettled().Import("date,symbol,close\n2024-02-01,S000,121\n", "")
			s.Eventually("the correction is applied", func() bool {
				var series struct{ Dates events.Days }
				s.Get("/v1/returns/assets/S000/series?kind=simple", &series)
				return len(series.Dates) > 0 && series.Dates[len(series.Dates)-1] == civil.Of(2024, 2, 1)
			})
			s.Eventually("the corrected close is carried", func() bool {
				return strings.Contains(views(t, urls)["optimization"], fmt.Sprintf(" %x\n", "121"))
			})
			corrected := s.Do(http.MethodGet, "/v1/returns/assets/S000/series?kind=cumulative", "").Body

			var letters struct {
				Items []struct {
					ID      int64
					Service string
					State   string
				}
			}
			s.Get("/v1/dead?state=dead", &letters)
			require.Len(t, letters.Items, 1)
			l := letters.Items[0]
			a := s.Do(http.MethodPost, fmt.Sprintf("/v1/dead/%s/%d/retry", l.Service, l.ID), "{}")
			require.Less(t, a.Status, 300, "%s", a.Body)
			s.Eventually("nothing is parked", func() bool { return s.parked(c.service) == 0 })
			var operations struct{ Items []struct{ Outcome string } }
			s.Eventually("all is settled", func() bool {
				s.Get("/v1/operations?limit=100", &operations)
				return !slices.ContainsFunc(operations.Items, func(o struct{ Outcome string }) bool {
					return o.Outcome != "settled"
				})
			})
			require.Equal(t, string(corrected),
				string(s.Do(http.MethodGet, "/v1/returns/assets/S000/series?kind=cumulative", "").Body))
			before := views(t, urls)
			for service := range before {
				require.Equal(t, store.Succeeded, s.rebuild(service).Status)
			}
			require.Equal(t, before, views(t, urls))
		})
	}
}

// Returns are floating-point numbers, but closes are exact all the way to optimization: also a correction that no
// return shows, and after a rebuild of either service.
func TestClosesAreExactThroughTheReturns(t *testing.T) {
	t.Parallel()
	data, urls := onSQLite(t)
	s := &suite{t: t, urls: urls, Server: stegatest.Start(t, stegatest.Config(data))}
	const first, second = "12.345678901234567", "12.345678901234568" // equal as floating-point numbers
	s.Import("date,symbol,close\n2024-01-31,A,100\n2024-02-01,A,"+first+"\n", "")
	require.Contains(t, views(t, urls)["optimization"], fmt.Sprintf("%x", first))
	s.Import("date,symbol,close\n2024-02-01,A,"+second+"\n", "")
	require.Contains(t, views(t, urls)["optimization"], fmt.Sprintf("%x", second))
	s.Import("date,symbol,close\n2024-01-31,A,101\n", "") // an earlier day
	before := views(t, urls)
	require.Contains(t, before["optimization"], fmt.Sprintf("%x", second))
	for service := range before {
		require.Equal(t, store.Succeeded, s.rebuild(service).Status)
	}
	require.Equal(t, before, views(t, urls))

	// Before the first import of a version that stores closes, there are none in returns.
	s.Import("date,symbol,close\n2024-02-02,A,0.1234\n", "")
	before = views(t, urls)
	s.exec("returns", "DELETE FROM closes")
	require.Equal(t, store.Succeeded, s.rebuild("optimization").Status)
	require.Equal(t, before["optimization"], views(t, urls)["optimization"])
}

// parked returns the number of parked messages of a service.
func (s *suite) parked(service string) (n int) {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), service, s.urls[service])
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, db.Close()) }()
	require.NoError(s.t, db.Read().NewRaw("SELECT count(*) FROM parked").Scan(s.t.Context(), &n))
	return n
}
