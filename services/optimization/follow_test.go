package optimization_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/internal/stegatest"
	"stega/process"
	"stega/store"
)

// slowRequest returns a request that takes seconds: the least drawdown at risk of many assets over many days.
func slowRequest(n int) string {
	var symbols []string
	for i := range n {
		symbols = append(symbols, strconv.Quote(symbol(i)))
	}
	return `"objective":"min_cdar","symbols":[` + strings.Join(symbols, ",") + `]`
}

func running(s *stegatest.Server, id string) {
	s.Eventually("the optimization runs", func() bool {
		var a answer
		s.Get("/v1/optimizations/"+id, &a)
		return a.Status == "running"
	})
}

func TestARunCanBeCancelledAndTimesOut(t *testing.T) {
	t.Parallel()
	w := environment{Server: stegatest.Up(t), t: t}
	w.settled(w.Import(market(200, 2500, nil), ""))
	accepted := w.Do(http.MethodPost, "/v1/optimizations", "{"+slowRequest(200)+"}")
	require.Equal(t, http.StatusAccepted, accepted.Status)
	var ids struct {
		ID          string
		OperationID string `json:"operation_id"`
	}
	accepted.JSON(&ids)
	assert.Equal(t, ids.OperationID, ids.ID)
	running(w.Server, ids.ID)
	var listed struct{ Items []answer }
	w.Get("/v1/optimizations", &listed)
	require.Len(t, listed.Items, 1)
	assert.Equal(t, "running", listed.Items[0].Status)
	assert.Equal(
		t, http.StatusConflict, w.Do(http.MethodPost, "/v1/optimizations/"+ids.ID+"/allocation", `{"amount":1}`).Status,
	)
	w.Eventually("it reports progress", func() bool {
		var o store.Operation
		w.Get("/v1/operations/"+ids.ID, &o)
		return o.Progress != nil && strings.HasPrefix(o.Progress.Text, "solving")
	})
	require.Equal(t, http.StatusAccepted, w.Do(http.MethodPost, "/v1/operations/"+ids.ID+"/cancel", "").Status)
	w.Eventually("it ends", func() bool {
		var a answer
		w.Get("/v1/optimizations/"+ids.ID, &a)
		return a.Status == "failed" && a.Error != nil && a.Error.Code == "operation_cancelled"
	})

	op := w.Write(http.MethodPost, "/v1/optimizations", `{"timeout":0.05,`+slowRequest(200)+`}`)
	require.NotNil(t, op.Error)
	assert.Equal(t, "optimization_timeout", op.Error.Code)
	assert.Contains(t, op.Error.Detail, "0.05 s")
	var dead struct{ Items []json.RawMessage }
	w.Get("/v1/dead", &dead)
	assert.Empty(t, dead.Items)
	assert.NotContains(t, strings.Join(w.Events(), "\n"), "optimization.completed")
}

// completions returns the events of an optimization's results.
func completions(t *testing.T, s *stegatest.Server, id string) []events.OptimizationCompleted {
	t.Helper()
	var all []events.OptimizationCompleted
	for _, line := range s.Log() {
		if line.Type == "optimization.completed" && line.Subject == id {
			var e events.OptimizationCompleted
			require.NoError(t, json.Unmarshal(line.Data, &e))
			all = append(all, e)
		}
	}
	return all
}

// days returns prices of two symbols on n days.
func days(from, n int) string {
	var b strings.Builder
	b.WriteString("date,A,B\n")
	for i := from; i < from+n; i++ {
		_, _ = fmt.Fprintf(&b, "%s,%d.5,%d.25\n", time.Date(2024, 1, 1+i, 0, 0, 0, 0, time.UTC).
			Format(time.DateOnly), 100+i*7%13, 80+i*5%11)
	}
	return b.String()
}

const half = `{"name":"core","assets":[{"symbol":"A","weight":"0.5"},{"symbol":"B","weight":"0.5"}]}`

func TestAnOptimizationFollowsItsPortfolio(t *testing.T) {
	t.Parallel()
	const quiet = 400 * time.Millisecond
	w := environment{Server: stegatest.Up(t, func(c *process.Config) { c.Options.Optimization.Quiet = quiet }), t: t}
	w.settled(w.Import(days(0, 30), ""))
	created := w.Write(http.MethodPost, "/v1/portfolios", half)
	w.settled(created)
	portfolio := created.EntityID
	a := w.optimize(t, `"portfolio_id":"`+portfolio+`","objective":"min_volatility","follow":true,"name":"calm"`)
	require.NotNil(t, a.Distance)
	assert.Equal(t, 1, a.Data.PortfolioVersion)
	w.Eventually("its result is published", func() bool { return len(completions(t, w.Server, a.ID)) == 1 })
	completed := completions(t, w.Server, a.ID)[0]
	require.NotNil(t, completed.Turnover)
	assert.InDelta(t, (abs(a.Weights["A"]-.5)+abs(a.Weights["B"]-.5))/2, *completed.Turnover, 1e-12)
	require.Len(t, completed.Trades, 2)
	for _, trade := range completed.Trades {
		assert.InDelta(t, .5, trade.From, 1e-15)
		assert.InDelta(t, a.Weights[trade.Symbol]-.5, trade.Change, 1e-12)
	}

	look := func() (now answer) {
		w.Get("/v1/optimizations/"+a.ID, &now)
		return now
	}

	// When an import is settled, everything that follows from it is done.
	w.settled(w.Import(days(30, 1), ""))
	b := look()
	assert.Equal(t, 2, b.Runs)
	assert.Equal(t, "2024-01-31", b.Data.AsOf)

	// Many events cause few runs, and the last run uses all of them.
	began := time.Now()
	for i := range 250 {
		w.Unsettled().Import(days(31+i, 1), "")
	}
	last := time.Date(2024, 1, 1+30+250, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	w.Eventually("it has caught up", func() bool {
		b = look()
		return b.Data.AsOf == last
	})
	assert.Less(t, b.Runs, 5+int(time.Since(began)/quiet), "500 events, and a run at most in each time of quiet")
	assert.Less(t, b.Runs, 125, "not one for each event")
	fresh := w.optimize(t, `"portfolio_id":"`+portfolio+`","objective":"min_volatility"`)
	assert.Equal(t, fresh.Weights, b.Weights)

	// The portfolio changes.
	runs := b.Runs
	changed := w.Write(
		http.MethodPut, "/v1/portfolios/"+portfolio,
		`{"name":"core","assets":[{"symbol":"A","weight":"0.9"},{"symbol":"B","weight":"0.1"}]}`,
	)
	require.Nil(t, changed.Error)
	w.settled(changed)
	b = look()
	assert.Equal(t, runs+1, b.Runs)
	assert.InDelta(t, abs(b.Weights["A"]-.9), b.Distance.Turnover, 1e-9)

	// A run that fails reports its reason, keeps the last result, and goes on following.
	w.settled(
		w.Write(
			http.MethodPut, "/v1/portfolios/"+portfolio,
			`{"name":"core","assets":[{"symbol":"A","weight":"0.9"},{"symbol":"C","weight":"0.1"}]}`,
		),
	)
	b = look()
	assert.Equal(t, "failed", b.Status)
	assert.Equal(t, "symbol_unknown", b.Error.Code)
	assert.True(t, b.Follow)
	assert.NotEmpty(t, b.Weights)
	w.settled(w.Import(strings.Replace(days(0, 40), "date,A,B", "date,A,C", 1), ""))
	b = look()
	assert.Equal(t, "succeeded", b.Status, "%v", b.Error)
	assert.Nil(t, b.Error)
	assert.Contains(t, b.Weights, "C")

	// Following ends and begins again: the next run covers the changes between.
	w.settled(w.Write(http.MethodPut, "/v1/optimizations/"+a.ID+"/follow", `{"follow":false}`))
	b = look()
	runs = b.Runs
	w.settled(w.Import(days(290, 1), ""))
	b = look()
	assert.Equal(t, runs, b.Runs)
	w.settled(w.Write(http.MethodPut, "/v1/optimizations/"+a.ID+"/follow", `{"follow":true}`))
	b = look()
	assert.Equal(t, runs+1, b.Runs)
	assert.Equal(t, b.Runs, len(completions(t, w.Server, a.ID))+1, "one run failed, and every other is published")

	repeated := w.Write(http.MethodPost, "/v1/optimizations/"+fresh.ID+"/repeat", "")
	require.Nil(t, repeated.Error)
	var same answer
	w.Get("/v1/optimizations/"+repeated.EntityID, &same)
	assert.Equal(t, last, same.Data.AsOf, "later prices are not used")
	w.settled(w.Write(http.MethodDelete, "/v1/portfolios/"+portfolio, ""))
	b = look()
	assert.False(t, b.Follow, "its portfolio is deleted")
	require.Nil(t, w.Write(http.MethodDelete, "/v1/optimizations/"+a.ID, "").Error)
	assert.Equal(t, http.StatusNotFound, w.Do(http.MethodGet, "/v1/optimizations/"+a.ID, "").Status)
}

func abs(v float64) float64 { return max(v, -v) }

// A change of the inputs during a run causes one more run.
func TestChangesDuringARunCauseAnother(t *testing.T) {
	t.Parallel()
	w := environment{Server: stegatest.Up(t), t: t}
	w.settled(w.Import(market(80, 1500, nil), ""))
	var assets []string
	for i := range 80 {
		assets = append(assets, fmt.Sprintf(`{"symbol":%q,"weight":"0.0125"}`, symbol(i)))
	}
	created := w.Write(http.MethodPost, "/v1/portfolios", `{"name":"wide","assets":[`+strings.Join(assets, ",")+`]}`)
	require.Nil(t, created.Error)
	w.settled(created)
	var ids struct{ ID string }
	w.Do(
		http.MethodPost, "/v1/optimizations",
		`{"portfolio_id":"`+created.EntityID+`","objective":"min_cdar","follow":true}`,
	).JSON(&ids)
	running(w.Server, ids.ID)
	w.Import("date,S000\n2030-01-02,77\n", "") // the first run is under way
	w.Eventually("it has caught up", func() bool {
		var a answer
		w.Get("/v1/optimizations/"+ids.ID, &a)
		return a.Data.AsOf == "2030-01-02"
	})
}

// A job that is interrupted runs again when the process is back.
func TestAnInterruptedRunIsRepeated(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	env := []string{"STEGA_DATA=" + data}
	p, ready := stegatest.Launch(t, env, "up", "--addr", "127.0.0.1:0")
	require.True(t, ready, p.Output())
	w := environment{Server: p.Server(), t: t}
	w.settled(w.Import(market(100, 2500, nil), ""))
	var ids struct{ ID string }
	w.Do(http.MethodPost, "/v1/optimizations", "{"+slowRequest(100)+"}").JSON(&ids)
	running(w.Server, ids.ID)
	p.Kill()
	p, ready = stegatest.Launch(t, env, "up", "--addr", "127.0.0.1:0")
	require.True(t, ready, p.Output())
	s := p.Server()
	s.Eventually("it is done", func() bool {
		var a answer
		s.Get("/v1/optimizations/"+ids.ID, &a)
		return a.Status == "succeeded"
	})
	assert.Len(t, completions(t, s, ids.ID), 1)
	assert.Zero(t, p.Stop())
}

// Rebuilt views equal the views that grew from events.
func TestViewsCanBeRebuilt(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := stegatest.Start(t, stegatest.Config(data))
	w := environment{Server: s, t: t}
	w.settled(s.Import(days(0, 40), ""))
	w.settled(s.Import("date,A\n2023-12-01,90\n2024-01-05,111\n", "")) // an earlier day and a correction
	w.settled(s.Write(http.MethodPost, "/v1/portfolios", half))
	views := func() string {
		return stegatest.OptimizationViews(t, "sqlite://"+filepath.Join(data, "optimization.db"))
	}
	before := views()
	require.Contains(t, before, "closes 41")      // A
	require.Contains(t, before, "series 41 2023") // of A
	require.Contains(t, before, "holdings 41")    // of A
	require.Nil(t, s.Write(http.MethodPost, "/v1/rebuild/optimization", "").Error)
	s.Eventually("the views are as they were", func() bool { return views() == before })
}

// Prices in any order, repeated, and wrong at first, give the same views.
func TestViewsDoNotDependOnTheOrderOfEvents(t *testing.T) {
	t.Parallel()
	straight, mixed := t.TempDir(), t.TempDir()
	head, rows, _ := strings.Cut(days(0, 60), "\n")
	lines := strings.Split(strings.TrimSpace(rows), "\n")
	one, other := stegatest.Start(t, stegatest.Config(straight)), stegatest.Start(t, stegatest.Config(mixed))
	environment{Server: one, t: t}.settled(one.Import(days(0, 60), ""))
	rng := rand.New(rand.NewPCG(3, 4))
	rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	for chunk := range slices.Chunk(lines, 7) {
		other.Import(head+"\n"+strings.Replace(chunk[0], ".5,", ".75,", 1)+"\n", "") // corrected by what follows
		other.Import(head+"\n"+strings.Join(chunk, "\n")+"\n", "")
		other.Import(head+"\n"+chunk[len(chunk)-1]+"\n", "")
	}
	views := func(dir string) string {
		return stegatest.OptimizationViews(t, "sqlite://"+filepath.Join(dir, "optimization.db"))
	}
	want := views(straight)
	require.Equal(t, 4, strings.Count(want, "\n"), "two symbols, of one year, with a last price")
	other.Eventually("the views are the same", func() bool { return views(mixed) == want })
}
