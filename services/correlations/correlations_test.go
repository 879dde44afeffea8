package correlations_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"stega/civil"
	"stega/events"
	"stega/internal/reference"
	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/quant"
	"stega/quant/optimize"
	"stega/series"
)

func TestMain(m *testing.M) { servers.Main(m) }

// matrix holds the fields of an answer that the tests check.
type matrix struct {
	PortfolioID  string `json:"portfolio_id"`
	Version      int64
	Symbols      []string
	Frequency    string
	Kind, Method string
	Shrinkage    *float64
	From, To     string
	Semidefinite *bool `json:"positive_semidefinite"`
	Repaired     *struct {
		Method            string
		Distance, Largest float64
	}
	Order     []string
	Undefined []struct {
		Symbols      []string
		Code, Detail string
	}
	Matrix       [][]*float64
	Observations [][]int
}

// symmetric returns the matrix, whose cells must all be defined.
func (m matrix) symmetric(t *testing.T) *mat.SymDense {
	t.Helper()
	n := len(m.Symbols)
	s := mat.NewSymDense(n, nil)
	for i := range n {
		for j := range n {
			require.NotNil(t, m.Matrix[i][j])
			require.Equal(t, *m.Matrix[i][j], *m.Matrix[j][i])
			s.SetSym(i, j, *m.Matrix[i][j])
		}
	}
	return s
}

// environment is a running server, with the database of the service.
type environment struct {
	*stegatest.Server
	t        *testing.T
	database string // of the service
}

func up(t *testing.T) environment {
	t.Helper()
	dir := t.TempDir()
	return environment{stegatest.Start(t, stegatest.Config(dir)), t,
		"sqlite://" + filepath.Join(dir, "correlations.db")}
}

// settled imports prices and waits until the operation is settled.
func (w environment) settled(csv string) {
	w.t.Helper()
	op := w.Import(csv, "")
	w.Eventually("the import settles", func() bool {
		var state struct{ Settled bool }
		w.Get("/v1/operations/"+op.ID, &state)
		return state.Settled
	})
}

func (w environment) matrix(query string) (m matrix) {
	w.t.Helper()
	w.Get("/v1/correlations"+query, &m)
	return m
}

const realSymbols = "GOOG AAPL FB BABA AMZN GE AMD WMT BAC GM T UAA SHLD XOM RRC BBY MA PFE JPM SBUX"

// The expected values are those of PyPortfolioOpt's tests on the same file, from tables A, B and C of the reference.
func TestMatricesOfRealPrices(t *testing.T) {
	t.Parallel()
	w := up(t)
	w.settled(string(reference.Read(t, "stock_prices.csv")))
	symbols := strings.Fields(realSymbols)
	query := "?symbols=" + strings.Join(symbols, ",")
	covariance := func(how string) *mat.SymDense {
		m := w.matrix(query + "&kind=covariance" + how)
		require.Equal(t, symbols, m.Symbols)
		require.Nil(t, m.Repaired)
		require.True(t, *m.Semidefinite)
		return m.symmetric(t)
	}
	expected := make([]float64, len(symbols))
	for i, symbol := range symbols {
		var a struct {
			AnnualReturn float64 `json:"annual_return"`
		}
		w.Get("/v1/returns/assets/"+symbol, &a)
		expected[i] = a.AnnualReturn
	}
	check := func(name string, p *optimize.Portfolio, err error, want [3]float64, tolerance float64) {
		t.Helper()
		require.NoError(t, err, name)
		assert.InDelta(t, want[0], p.Return, 10*tolerance, name)
		assert.InDelta(t, want[1], p.Volatility, tolerance, name)
		assert.InDelta(t, want[2], p.Sharpe, 10*tolerance, name)
	}
	of := func(how string) optimize.Problem {
		return optimize.Problem{Returns: expected, Covariance: covariance(how), RiskFree: .02}
	}

	sample, sum := covariance(""), 0.0
	for i := range symbols {
		for j := range symbols {
			sum += sample.At(i, j) / 400
		}
	}
	assert.InDelta(t, 0.04498224489292057, sum, 1e-7, "A14")
	ctx := t.Context()
	p, err := optimize.MinVolatility(ctx, of(""))
	check("B1", p, err, [3]float64{0.15056821399482578, 0.15915084514118694, 0.8204054077060996}, 1e-6)
	p, err = optimize.MaxSharpe(ctx, of(""))
	check("B5", p, err, [3]float64{0.3047768672819914, 0.22165566922402932, 1.2847714127003216}, 1e-5)
	p, err = optimize.EfficientReturn(ctx, of(""), .25)
	check("B16", p, err, [3]float64{0.25, 0.18723269942026335, 1.2284179030274036}, 1e-6)
	p, err = optimize.MaxSharpe(ctx, of("&method=semi&missing=zero"))
	check("B21", p, err, [3]float64{0.2762965426962885, 0.07372667096108301, 3.476307004714425}, 1e-5)
	problem := of("&method=ledoit_wolf&target=constant_correlation&missing=zero")
	problem.L2 = 1
	p, err = optimize.MinVolatility(ctx, problem)
	check("B23", p, err, [3]float64{0.17358178582309983, 0.19563960638632416, 0.7850239972361532}, 1e-5)
	p, err = optimize.EfficientReturn(ctx, of("&method=ledoit_wolf&target=single_factor&missing=zero"), .22)
	check("B24", p, err, [3]float64{0.22, 0.08892163937693882, 2.2491713085967766}, 1e-5)
	problem = of("&method=exponential") // C5 maximises without a risk-free rate
	problem.RiskFree = 0
	p, err = optimize.MaxSharpe(ctx, problem)
	require.NoError(t, err)
	assert.InDelta(t, 0.17670121760851704, p.Volatility, 1e-4, "C5")
	assert.InDelta(t, 0.32971891062187103, p.Return, 1e-3, "C5")

	m := w.matrix(query + "&linkage=single")
	assert.Equal(t, []string{"SHLD", "AMD", "BBY", "RRC", "FB"}, m.Order[:5], "C11")
	weights, err := optimize.HierarchicalRiskParity(sample, m.symmetric(t), quant.SingleLinkage, symbols)
	require.NoError(t, err)
	assert.InDelta(t, .022258941278778387, weights[slices.Index(symbols, "AAPL")], 1e-9, "C7")
	assert.InDelta(t, .11175337115721229, weights[slices.Index(symbols, "XOM")], 1e-9, "C7")

	identity := func(a, b *mat.SymDense, tolerance float64, name string) {
		t.Helper()
		for i := range symbols {
			for j := range symbols {
				assert.InDelta(t, a.At(i, j), b.At(i, j), tolerance, name)
			}
		}
	}
	identity(sample, covariance("&method=exponential&span=1e9"), 1e-3, "A13")
	all := w.matrix("?kind=covariance")
	assert.True(t, slices.IsSorted(all.Symbols), "a query without symbols returns all")
	assert.Len(t, all.Symbols, 20)
	assert.Equal(t, 7125, all.Observations[slices.Index(all.Symbols, "GE")][slices.Index(all.Symbols, "GE")])

	// The values come from pandas 1.5: resample("W-SUN" and "M").last().pct_change(fill_method=None).corr()
	for frequency, want := range map[string][]float64{
		"weekly":  {0.47325621356927194, 0.12362346647146645, 0.34007497733973796},
		"monthly": {0.4865187928054242, 0.05343397490818151, 0.1947542761732578},
	} {
		m := w.matrix("?symbols=AAPL,GOOG,FB&frequency=" + frequency).symmetric(t)
		assert.InDeltaSlice(t, want, []float64{m.At(0, 1), m.At(0, 2), m.At(1, 2)}, 1e-12, frequency)
	}
}

// The answer of each method equals the estimate of the returns that the service returns has for the same window.
func TestEveryMethodOverAnyWindow(t *testing.T) {
	t.Parallel()
	w := up(t)
	r := rand.New(rand.NewPCG(3, 1))
	var rows []string
	for day := range 120 {
		for i, symbol := range []string{"A", "B", "C", "D"} {
			if r.IntN(10) > 0 && (i != 3 || day > 50) {
				rows = append(rows,
					fmt.Sprintf("%s,%s,%.2f", firstDay.AddDays(day), symbol, 50+5*r.Float64()+float64(day%7)))
			}
		}
	}
	w.settled("date,symbol,close\n" + strings.Join(rows, "\n") + "\n")
	for _, window := range []string{"", "&from=2024-02-01", "&to=2024-03-20", "&from=2024-02-01&to=2024-03-20"} {
		returns, ages := w.aligned([]string{"A", "B", "C", "D"}, strings.TrimPrefix(window, "&"))
		of := map[quant.Missing][][]float64{
			quant.MissingPairwise: returns, quant.MissingComplete: returns, quant.MissingZero: daily(returns, ages),
		}
		require.Less(t, len(of[quant.MissingZero][0]), len(ages), "some returns of a day span others")
		near := func(query string, want *mat.SymDense, err error) {
			t.Helper()
			require.NoError(t, err)
			m := w.matrix("?repair=none" + query + window)
			for i := range 4 {
				for j := range 4 {
					require.NotNil(t, m.Matrix[i][j], "%s%s", query, window)
					assert.InDelta(t, want.At(i, j), *m.Matrix[i][j], 1e-12, "%s%s: %d %d", query, window, i, j)
				}
			}
		}
		moments, err := quant.NewCoMoments(t.Context(), returns)
		near("", moments.Correlation(), err)
		near("&kind=covariance", moments.Covariance(252), nil)
		m := w.matrix("?kind=covariance" + window)
		for i := range 4 {
			for j := range 4 {
				assert.Equal(t, moments.Observations(i, j), m.Observations[i][j])
			}
		}
		for _, method := range []quant.CorrelationMethod{quant.SpearmanCorrelation, quant.KendallCorrelation} {
			want, err := quant.CorrelationBy(t.Context(), returns, method)
			near("&method="+string(method), want, err)
		}
		for _, missing := range []quant.Missing{quant.MissingPairwise, quant.MissingComplete, quant.MissingZero} {
			want, err := quant.Semicovariance(t.Context(), of[missing], .001, missing, 252)
			near("&kind=covariance&method=semi&benchmark=0.001&missing="+string(missing), want, err)
		}
		want, err := quant.ExponentialCovariance(t.Context(), returns, ages, 20, 252)
		near("&kind=covariance&method=exponential&span=20", want, err)
		want, err = quant.ExponentialCorrelation(t.Context(), returns, ages, 20)
		near("&method=exponential&span=20", want, err)
		want, err = quant.Semicorrelation(t.Context(), returns, .001, quant.MissingPairwise)
		near("&method=semi&benchmark=0.001", want, err)
		for _, target := range []quant.ShrinkageTarget{
			quant.ConstantVariance, quant.SingleFactor, quant.ConstantCorrelation,
		} {
			shrunk, err := quant.LedoitWolf(t.Context(), returns, target, quant.MissingComplete, 252)
			near("&kind=covariance&method=ledoit_wolf&target="+string(target), shrunk.Covariance, err)
			m := w.matrix("?kind=covariance&method=ledoit_wolf&target=" + string(target) + window)
			assert.InDelta(t, shrunk.Intensity, *m.Shrinkage, 1e-12)
		}
		oas, err := quant.OAS(t.Context(), of[quant.MissingZero], quant.MissingZero, 252)
		near("&kind=covariance&method=oas&missing=zero", oas.Covariance, err)

		w.rolls("?symbols=A,B&window=20"+window, returns[0], returns[1], 20)
	}
}

// rolls compares a rolling correlation with that of two rows of returns, over the days that both have.
func (w environment) rolls(query string, a, b []float64, window int) {
	w.t.Helper()
	var rolling struct {
		Dates  []string
		Values []*float64
	}
	w.Get("/v1/correlations/rolling"+query, &rolling)
	var x, y []float64
	for d := range a {
		if !math.IsNaN(a[d] + b[d]) {
			x, y = append(x, a[d]), append(y, b[d])
		}
	}
	values := quant.RollingCorrelation(x, y, window)
	require.Len(w.t, rolling.Values, len(values))
	require.Len(w.t, rolling.Dates, len(values))
	for i, v := range values {
		assert.InDelta(w.t, v, *rolling.Values[i], 1e-12)
	}
}

// Weekly and monthly returns equal those of the service returns. They are compared when they begin and end in the same
// periods, whatever their last days are.
func TestWeeksAndMonths(t *testing.T) {
	t.Parallel()
	w := up(t)
	r := rand.New(rand.NewPCG(8, 1))
	symbols := []string{"A", "B", "C", "FUND"}
	var rows []string
	for day := range 700 {
		for i, symbol := range symbols {
			if i < 3 && r.IntN(5) > 0 && (i != 2 || day > 95) ||
				i == 3 && day%7 == 2 && r.IntN(12) > 0 { // the fund has a price once a week
				rows = append(rows,
					fmt.Sprintf("%s,%s,%.2f", firstDay.AddDays(day), symbol, 50+5*r.Float64()+float64(day%7)))
			}
		}
	}
	w.settled("date,symbol,close\n" + strings.Join(rows, "\n") + "\n")
	for frequency, perYear := range map[series.Frequency]float64{series.Weekly: 52, series.Monthly: 12} {
		for _, window := range []string{"", "&from=2024-02-08&to=2025-07-02"} {
			returns := w.periods(symbols, frequency, window)
			moments, err := quant.NewCoMoments(t.Context(), returns)
			require.NoError(t, err)
			shrunk, err := quant.LedoitWolf(t.Context(), returns, quant.ConstantVariance, quant.MissingComplete,
				perYear)
			require.NoError(t, err)
			ranks, err := quant.CorrelationBy(t.Context(), returns, quant.SpearmanCorrelation)
			require.NoError(t, err)
			for query, want := range map[string]*mat.SymDense{
				"": moments.Correlation(), "&kind=covariance": moments.Covariance(perYear), "&method=spearman": ranks,
				"&kind=covariance&method=ledoit_wolf": shrunk.Covariance,
			} {
				m := w.matrix(
					"?repair=none&symbols=" + strings.Join(symbols, ",") + "&frequency=" + string(frequency) + query +
						window,
				)
				assert.Equal(t, string(frequency), m.Frequency)
				for i := range symbols {
					for j := range symbols {
						require.NotNil(t, m.Matrix[i][j], "%s%s", query, window)
						assert.InDelta(t, want.At(i, j), *m.Matrix[i][j], 1e-12, "%s %s%s: %d %d", frequency, query,
							window, i, j)
						if query == "" {
							assert.Equal(t, moments.Observations(i, j), m.Observations[i][j])
							assert.Greater(
								t, m.Observations[i][j],
								map[series.Frequency]int{series.Weekly: 50, series.Monthly: 10}[frequency],
							)
						}
					}
				}
			}
			w.rolls("?symbols=A,FUND&window=8&frequency="+string(frequency)+window, returns[0], returns[3], 8)
		}
	}
	m := w.matrix("?symbols=A,FUND")
	assert.Nil(t, m.Matrix[0][1])
	assert.Contains(t, m.Undefined[0].Detail, "frequency=weekly")
}

// periods returns the weekly or monthly returns of the service returns, aligned by the periods in which they begin and
// end.
func (w environment) periods(symbols []string, f series.Frequency, window string) [][]float64 {
	parse := func(day string) civil.Date {
		d, err := civil.Parse(day)
		require.NoError(w.t, err)
		return d
	}
	found := make([]map[series.Row]float64, len(symbols))
	rows := map[series.Row]bool{}
	for i, symbol := range symbols {
		var prices struct{ Prices []struct{ Date string } }
		w.Get("/v1/prices/"+symbol+"?"+strings.TrimPrefix(window, "&"), &prices)
		var s struct {
			Dates  []string
			Values []float64
		}
		w.Get("/v1/returns/assets/"+symbol+"/series?frequency="+string(f)+window, &s)
		found[i] = map[series.Row]float64{}
		since := parse(prices.Prices[0].Date)
		for d := range s.Dates {
			day := parse(s.Dates[d])
			row := series.Row{Day: f.End(day), Since: f.End(since)}
			if row.Since == row.Day { // the return begins within the period
				row.Since = since
			}
			found[i][row], rows[row] = s.Values[d], true
			since = day
		}
	}
	returns := make([][]float64, len(symbols))
	for _, row := range slices.SortedFunc(maps.Keys(rows), series.Row.Compare) {
		for i := range returns {
			v, ok := found[i][row]
			if !ok {
				v = math.NaN()
			}
			returns[i] = append(returns[i], v)
		}
	}
	return returns
}

// aligned returns the returns of the service returns, aligned by their first and last days. ages counts the days with a
// return after each row.
func (w environment) aligned(symbols []string, window string) (returns [][]float64, ages []float64) {
	type row struct{ day, since string }
	found := make([]map[row]float64, len(symbols))
	rows := map[row]bool{}
	for i, symbol := range symbols {
		var prices struct{ Prices []struct{ Date string } }
		w.Get("/v1/prices/"+symbol+"?"+window, &prices)
		var s struct {
			Dates  []string
			Values []float64
		}
		w.Get("/v1/returns/assets/"+symbol+"/series?"+window, &s)
		require.Len(w.t, prices.Prices, len(s.Dates)+1)
		found[i] = map[row]float64{}
		for d, day := range s.Dates {
			r := row{day, prices.Prices[d].Date}
			found[i][r], rows[r] = s.Values[d], true
		}
	}
	ordered := slices.SortedFunc(maps.Keys(rows), func(a, b row) int {
		return cmp.Or(strings.Compare(a.day, b.day), strings.Compare(a.since, b.since))
	})
	returns = make([][]float64, len(symbols))
	for i := range returns {
		for _, r := range ordered {
			v, ok := found[i][r]
			if !ok {
				v = math.NaN()
			}
			returns[i] = append(returns[i], v)
		}
	}
	for t := range ordered {
		later := map[string]bool{}
		for _, r := range ordered[t:] {
			later[r.day] = true
		}
		ages = append(ages, float64(len(later)-1))
	}
	return returns, ages
}

// daily puts the returns of each day into one row, whatever days they cover.
func daily(returns [][]float64, ages []float64) [][]float64 {
	out := make([][]float64, len(returns))
	for i, values := range returns {
		for t, v := range values {
			switch last := len(out[i]) - 1; {
			case t == 0 || ages[t] != ages[t-1]:
				out[i] = append(out[i], v)
			case !math.IsNaN(v):
				out[i][last] = v
			}
		}
	}
	return out
}

// The same prices in any order, in pieces, repeated and corrected, give the same read views and the same answers, byte
// for byte. So does a rebuild.
func TestEventsInAnyOrderGiveTheSameViewsAndAnswers(t *testing.T) {
	t.Parallel()
	whole, pieces, daily := up(t), up(t), up(t)
	r := rand.New(rand.NewPCG(1, 2))
	const head = "date,symbol,close\n"
	var rows []string
	for day := range 60 {
		for _, symbol := range []string{"A", "B", "C", "D", "E"} {
			if r.IntN(12) > 0 {
				rows = append(rows,
					fmt.Sprintf("%s,%s,%d.%02d", firstDay.AddDays(day-30), symbol, 50+r.IntN(50), r.IntN(100)))
			}
		}
	}
	whole.settled(head + strings.Join(rows, "\n") + "\n")
	queries := []string{
		"", "?kind=covariance", "?symbols=C,A", "?method=spearman",
		"?kind=covariance&method=ledoit_wolf&from=2023-12-20",
		"/rolling?symbols=A,B&window=10",
	}
	answers := func(w environment) (all []string) {
		for _, q := range queries {
			a := w.Do(http.MethodGet, "/v1/correlations"+q, "")
			all = append(all, fmt.Sprintf("%s %d %s\n%s", q, a.Status, a.Header.Get("ETag"), a.Body))
		}
		return all
	}
	want, view := answers(whole), stegatest.CorrelationsViews(t, whole.database)
	assert.Equal(t, 15, strings.Count(view, "\n"), "%s", view)

	for chunk := range slices.Chunk(rows, 10) { // in the order of days
		daily.Import(head+strings.Join(chunk, "\n")+"\n", "")
		answers(daily) // so that the caches grow too
	}
	shuffled := slices.Clone(rows)
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for chunk := range slices.Chunk(shuffled, 23) {
		pieces.Import(strings.Replace(head+chunk[0], ".", "1.", 1)+"\n", "") // corrected by what follows
		pieces.Import(head+strings.Join(chunk, "\n")+"\n", "")
		answers(pieces)
		pieces.Import(head+strings.Join(chunk[:1], "\n")+"\n", "")
	}
	for _, w := range []environment{daily, pieces} {
		w.Eventually("the views are the same", func() bool {
			return stegatest.CorrelationsViews(t, w.database) == view
		})
		assert.Equal(t, want, answers(w))
	}

	id := pieces.Portfolio(`{"name":"p","assets":[{"symbol":"A","weight":"0.5"},{"symbol":"B","weight":"0.5"}]}`)
	gone := pieces.Portfolio(`{"name":"q","assets":[{"symbol":"A","weight":"1"}]}`)
	require.Nil(t, pieces.Write(http.MethodDelete, "/v1/portfolios/"+gone, "").Error)
	pieces.Eventually("the portfolios are followed", func() bool {
		all := stegatest.CorrelationsViews(t, pieces.database)
		return strings.Count(all, "portfolios") == 1 && strings.Contains(all, fmt.Sprintf("%x", id))
	})
	view = stegatest.CorrelationsViews(t, pieces.database)
	require.Nil(t, pieces.Write(http.MethodPost, "/v1/rebuild/correlations", "").Error)
	pieces.Eventually("the views are as they were", func() bool {
		return stegatest.CorrelationsViews(t, pieces.database) == view
	})
	assert.Equal(t, want, answers(pieces))
}

func TestEventsOfCorrelations(t *testing.T) {
	t.Parallel()
	w := up(t)
	published := func() (all []events.CorrelationsUpdated) {
		for _, line := range w.Log() {
			var e events.CorrelationsUpdated
			if line.Type == e.Topic() {
				require.NoError(t, json.Unmarshal(line.Data, &e))
				require.NoError(t, e.Check())
				all = append(all, e)
			}
		}
		return all
	}
	w.settled("date,A,B,C\n2024-01-02,1,2,3\n2024-01-03,2,3,4\n")
	w.settled("date,B\n2024-01-03,5\n")
	w.settled("date,B\n2024-01-03,5\n") // changes nothing and is not published
	w.settled("date,A\n2024-01-04,5\n")
	want := events.CorrelationsUpdated{Changed: []string{"A"}, Symbols: 3, Last: civil.Of(2024, 1, 4)}
	var all []events.CorrelationsUpdated
	w.Eventually("the last event is published", func() bool {
		all = published()
		return len(all) > 0 && assert.ObjectsAreEqual(want, all[len(all)-1])
	})
	changed := map[string]int{}
	for _, e := range all[:len(all)-2] {
		for _, symbol := range e.Changed {
			changed[symbol]++
		}
	}
	assert.Equal(t, map[string]int{"A": 1, "B": 1, "C": 1}, changed,
		"the first import, in one or several units of work")
	assert.Equal(
		t, events.CorrelationsUpdated{Changed: []string{"B"}, Symbols: 3, Last: civil.Of(2024, 1, 3)}, all[len(all)-2],
	)
}

func TestAnswersHaveAnEntityTag(t *testing.T) {
	t.Parallel()
	w := up(t)
	id := w.Portfolio(`{"name":"core","assets":[{"symbol":"A","weight":"0.6"},{"symbol":"B","weight":"0.4"}]}`)
	w.settled("date,A,B,C\n2024-01-02,1,2,3\n2024-01-03,2,3,4\n2024-01-04,2,4,1\n")
	for _, path := range []string{
		"/v1/correlations?symbols=A,B", "/v1/correlations?portfolio=" + id,
		"/v1/correlations/rolling?symbols=A,B&window=2",
	} {
		tag := w.Do(http.MethodGet, path, "").Header.Get("ETag")
		require.Regexp(t, `^"[0-9a-f]{32}"$`, tag)
		same := w.Do(http.MethodGet, path, "", "If-None-Match", tag)
		assert.Equal(t, http.StatusNotModified, same.Status)
		assert.Equal(t, tag, same.Header.Get("ETag"))
		w.settled("date,C\n2024-01-05,2\n2024-01-04," + strconv.Itoa(2+len(path)) + "\n")
		assert.Equal(
			t, http.StatusNotModified, w.Do(http.MethodGet, path, "", "If-None-Match", tag).Status,
			"C is not in the query",
		)
		assert.Equal(
			t, http.StatusOK, w.Do(http.MethodGet, path+"&from=2024-01-02", "", "If-None-Match", tag).Status,
			"another query",
		)
		w.settled("date,B\n2024-01-04," + strconv.Itoa(4+len(path)) + "\n")
		assert.Equal(t, http.StatusOK, w.Do(http.MethodGet, path, "", "If-None-Match", tag).Status, "B changed")
	}
	var m matrix
	w.Get("/v1/correlations?portfolio="+id, &m)
	assert.Equal(t, id, m.PortfolioID)
	assert.Equal(t, int64(1), m.Version)
	assert.Equal(t, []string{"A", "B"}, m.Symbols)
}

// Weekly returns are compounded from daily ones. Equal returns are ties in spite of rounding; the expected values are
// those of the ranks of the exact ratios of the prices.
func TestTiesOfWeeksAreNotBrokenByRounding(t *testing.T) {
	t.Parallel()
	w := up(t)
	w.settled(string(reference.Read(t, "weekly-spearman-ties.csv")))
	for method, want := range map[string]float64{"spearman": .8728715609439696, "kendall": .7559289460184544} {
		m := w.matrix("?symbols=T1,T2&frequency=weekly&method=" + method)
		assert.InDelta(t, want, *m.Matrix[0][1], 1e-12, method)
	}
}
