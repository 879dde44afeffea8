package returns_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/events"
	"stega/internal/reference"
	"stega/internal/servers"
	"stega/internal/stegatest"
)

func TestMain(m *testing.M) { servers.Main(m) }

// summary holds the fields of an answer that the tests check.
type summary struct {
	From, To          string
	Observations      int
	AnnualReturn      float64 `json:"annual_return"`
	CumulativeReturn  float64 `json:"cumulative_return"`
	AnnualVolatility  float64 `json:"annual_volatility"`
	Sharpe, Sortino   float64
	MaxDrawdown       float64 `json:"max_drawdown"`
	MaxDrawdownStart  string  `json:"max_drawdown_start"`
	MaxDrawdownTrough string  `json:"max_drawdown_trough"`
	Version           int64
}

const sixtyForty = `{"name":"core","assets":[{"symbol":"AAPL","weight":"0.6"},{"symbol":"MA","weight":"0.4"}]}`

// The annual returns come from table A of the reference (A4). The others come from a direct computation over the file
// with exact sums (Python's math.fsum).
func TestStatisticsOfRealPrices(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	id := s.Portfolio(sixtyForty) // created before its prices
	assert.Equal(t, http.StatusConflict, s.Do(http.MethodGet, "/v1/returns/portfolios/"+eventually(s, id), "").Status)
	s.Import(string(reference.Read(t, "stock_prices.csv")), "")

	annual := []float64{
		0.247967, 0.294304, 0.284037, 0.1923164, 0.371327, 0.1360093, 0.0328503, 0.1200115, 0.105540, 0.0423457,
		0.1002559,
		0.1442237, -0.0792602,
		0.1430506, 0.0736356, 0.238835, 0.388665, 0.226717, 0.1561701, 0.2318153,
	}
	for i, symbol := range strings.Fields(
		"GOOG AAPL FB BABA AMZN GE AMD WMT BAC GM T UAA SHLD XOM RRC BBY MA PFE JPM SBUX",
	) {
		var a summary
		s.Found("/v1/returns/assets/"+symbol, &a)
		assert.InDelta(t, annual[i], a.AnnualReturn, 1e-6, symbol)
	}

	check := func(path string, want summary) {
		t.Helper()
		var got summary
		s.Found(path, &got)
		const tiny = 1e-9
		assert.Equal(t, want.Observations, got.Observations)
		assert.InEpsilon(t, want.AnnualReturn, got.AnnualReturn, tiny)
		assert.InEpsilon(t, want.CumulativeReturn, got.CumulativeReturn, tiny)
		assert.InEpsilon(t, want.AnnualVolatility, got.AnnualVolatility, tiny)
		assert.InEpsilon(t, want.Sharpe, got.Sharpe, tiny)
		assert.InEpsilon(t, want.Sortino, got.Sortino, tiny)
		assert.InEpsilon(t, want.MaxDrawdown, got.MaxDrawdown, tiny)
		assert.Equal(t, want.MaxDrawdownStart, got.MaxDrawdownStart)
		assert.Equal(t, want.MaxDrawdownTrough, got.MaxDrawdownTrough)
	}
	portfolio := "/v1/returns/portfolios/" + id
	check(portfolio, summary{
		Observations: 2989, AnnualReturn: 0.3697264243276721, CumulativeReturn: 40.74736682270032,
		AnnualVolatility: 0.2806202349413446,
		Sharpe:           1.26210983790488, Sortino: 1.878269508763308, MaxDrawdown: -0.5847219823694969,
		MaxDrawdownStart: "2008-06-02", MaxDrawdownTrough: "2009-01-20",
	})
	check(portfolio+"?rebalance=none", summary{
		Observations: 2989, AnnualReturn: 0.35362378903836733, CumulativeReturn: 35.283747023230774,
		AnnualVolatility: 0.2833791811365394,
		Sharpe:           1.2106064403694643, Sortino: 1.8079374123011824, MaxDrawdown: -0.6041459952249922,
		MaxDrawdownStart: "2008-06-02", MaxDrawdownTrough: "2009-01-20",
	})
	check(portfolio+"?rebalance=monthly", summary{
		Observations: 2989, AnnualReturn: 0.3643937619096993, CumulativeReturn: 38.85979611625742,
		AnnualVolatility: 0.28019146496737307,
		Sharpe:           1.249700072289129, Sortino: 1.8566954727083829, MaxDrawdown: -0.5930024259730062,
		MaxDrawdownStart: "2008-06-02", MaxDrawdownTrough: "2009-01-20",
	})
	check("/v1/returns/assets/AAPL?from=2010-01-01&to=2010-12-31", summary{
		Observations: 251, AnnualReturn: 0.5096854069227343, CumulativeReturn: 0.5072197980595097,
		AnnualVolatility: 0.2677643751629172,
		Sharpe:           1.6724718419131563, Sortino: 2.592932140416245, MaxDrawdown: -0.1291214499388158,
		MaxDrawdownStart: "2010-04-23", MaxDrawdownTrough: "2010-05-07",
	})
}

// eventually waits until the service has stored a portfolio, and returns its id.
func eventually(s *stegatest.Server, id string) string {
	s.Eventually("the portfolio is known", func() bool {
		return s.Do(http.MethodGet, "/v1/returns/portfolios/"+id, "").Status != http.StatusNotFound
	})
	return id
}

func TestSeriesOfEveryKind(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	s.Import("date,A\n2024-01-30,100\n2024-01-31,110\n2024-02-01,99\n2024-02-05,121\n", "")
	type series struct {
		Kind   string
		Dates  []string
		Values []float64
	}
	get := func(query string) (got series) {
		s.Found("/v1/returns/assets/A/series"+query, &got)
		return got
	}
	near := func(want, got []float64) {
		t.Helper()
		require.Len(t, got, len(want))
		for i := range want {
			assert.InDelta(t, want[i], got[i], 1e-12)
		}
	}
	simple := get("")
	assert.Equal(t, []string{"2024-01-31", "2024-02-01", "2024-02-05"}, simple.Dates)
	near([]float64{0.1, -0.1, 121.0/99 - 1}, simple.Values)
	near([]float64{math.Log(1.1), math.Log(0.9), math.Log(121.0 / 99)}, get("?kind=log").Values)
	near([]float64{0, 0.1, -0.01, 0.21}, get("?kind=cumulative").Values)
	near([]float64{0, 0, -0.1, 0}, get("?kind=drawdown").Values)
	monthly := get("?frequency=monthly")
	assert.Equal(t, []string{"2024-01-31", "2024-02-05"}, monthly.Dates)
	near([]float64{0.1, 0.1}, monthly.Values)
	weekly := get("?frequency=weekly")
	assert.Equal(t, []string{"2024-02-01", "2024-02-05"}, weekly.Dates)
	near([]float64{-0.01, 121.0/99 - 1}, weekly.Values)
	window := get("?from=2024-01-31&to=2024-02-01")
	assert.Equal(t, []string{"2024-02-01"}, window.Dates)

	for path, status := range map[string]int{
		"/v1/returns/assets/NONE": 404, "/v1/returns/portfolios/" + events.NewID(): 404,
		"/v1/returns/assets/A?kind=wild":       422,
		"/v1/returns/assets/A?from=2025-01-01": 422, "/v1/returns/assets/A?from=2024-02-01&to=2024-01-01": 422,
		"/v1/returns/assets/A?from=x":          422,
		"/v1/returns/assets/A?rebalance=daily": 422, "/v1/returns/assets/A?risk_free=NaN": 422,
		"/v1/returns/assets/A?to=2024-01-30":   422,
		"/v1/returns/assets/A?form=2024-01-01": 422,
	} {
		a := s.Do(http.MethodGet, path, "")
		assert.Equal(t, status, a.Status, "%s: %s", path, a.Body)
		assert.NotEmpty(t, a.Problem().Hint, path)
	}
}

// The same prices in any order, in pieces, repeated and corrected, give the same read views. A rebuild gives them too.
func TestEventsInAnyOrderGiveTheSameViews(t *testing.T) {
	t.Parallel()
	type environment struct {
		s        *stegatest.Server
		database string
	}
	environments := make([]environment, 2)
	for i := range environments {
		dir := t.TempDir()
		environments[i] = environment{
			stegatest.Start(t, stegatest.Config(dir)), "sqlite://" + filepath.Join(dir, "returns.db"),
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var rows []string
	for _, symbol := range []string{"A", "B", "C"} {
		for day := 1; day <= 28; day++ {
			for _, year := range []int{2023, 2024} {
				rows = append(rows,
					fmt.Sprintf("%d-02-%02d,%s,%d.%02d", year, day, symbol, 50+rng.IntN(50), rng.IntN(100)))
			}
		}
	}
	const head = "date,symbol,close\n"
	environments[0].s.Import(head+strings.Join(rows, "\n")+"\n", "")
	rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	for chunk := range slices.Chunk(rows, 17) {
		wrong := strings.Replace(head+chunk[0], ".", "1.", 1)
		environments[1].s.Import(wrong+"\n", "") // corrected by what follows
		environments[1].s.Import(head+strings.Join(chunk, "\n")+"\n", "")
		environments[1].s.Import(head+strings.Join(chunk[:1], "\n")+"\n", "")
	}
	want := ""
	environments[0].s.Eventually("the first is complete", func() bool {
		want = stegatest.Views(t, environments[0].database)
		return strings.Count(want, "\n") == 3*(2+1) // two years and a last close of each symbol
	})
	environments[1].s.Eventually("both are the same", func() bool {
		return stegatest.Views(t, environments[1].database) == want
	})
	environments[1].s.Portfolio(`{"name":"p","assets":[{"symbol":"A","weight":"0.5"},{"symbol":"B","weight":"0.5"}]}`)
	gone := environments[1].s.Portfolio(`{"name":"q","assets":[{"symbol":"A","weight":"1"}]}`)
	require.Nil(t, environments[1].s.Write(http.MethodDelete, "/v1/portfolios/"+gone, "").Error)
	environments[1].s.Eventually("the portfolios are followed", func() bool {
		return strings.Count(stegatest.Views(t, environments[1].database), "holdings") == 2
	})
	environments[1].s.Rebuilt(environments[1].database)
}

func TestEventsOfReturns(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	id := s.Portfolio(sixtyForty)
	published := func() (assets []events.AssetUpdated, portfolios []events.PortfolioReturnsUpdated) {
		for _, line := range s.Log() {
			switch line.Type {
			case "returns.asset_updated":
				var e events.AssetUpdated
				require.NoError(t, json.Unmarshal(line.Data, &e))
				assets = append(assets, e)
			case "returns.portfolio_updated":
				var e events.PortfolioReturnsUpdated
				require.NoError(t, json.Unmarshal(line.Data, &e))
				assert.Equal(t, id, e.PortfolioID)
				portfolios = append(portfolios, e)
			}
		}
		return assets, portfolios
	}
	s.Eventually("the portfolio is published", func() bool { _, p := published(); return len(p) == 1 })
	_, portfolios := published()
	assert.Equal(t, []string{"AAPL", "MA"}, portfolios[0].Missing)

	s.Import("date,AAPL\n2024-01-02,1\n2024-01-03,2\n", "")
	s.Eventually("the asset and its portfolio are published", func() bool {
		a, p := published()
		return len(a) == 1 && len(p) == 2
	})
	assets, portfolios := published()
	assert.Equal(t, []string{"MA"}, portfolios[1].Missing)
	assert.Equal(t, 2, assets[0].Observations)

	s.Import("date,AAPL\n2024-01-03,3\n", "")
	s.Eventually("the correction is published", func() bool { a, _ := published(); return len(a) == 2 })
	assets, _ = published()
	assert.Equal(t, "2024-01-03", assets[1].ChangedFrom.String())
	assert.Equal(t, "2024-01-02", assets[1].First.String())

	// An asset of no portfolio causes no event of a portfolio.
	s.Import("date,OTHER\n2024-01-03,3\n", "")
	s.Eventually("the other asset is published", func() bool { a, _ := published(); return len(a) == 3 })
	_, portfolios = published()
	assert.Len(t, portfolios, 3)
}

// A follower that merges the events of a symbol by day has the series of the answer, in whatever order prices came.
func TestEventsAddUpToTheSeries(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	random := rand.New(rand.NewPCG(4, 2))
	first := civil.Of(2019, 12, 1)
	const n = 90
	for _, i := range append(random.Perm(n), 7, 0, n-1) {
		if i%9 == 4 {
			continue // no price on these
		}
		s.Import(fmt.Sprintf("date,AAPL\n%s,%d.%02d\n", first.AddDays(i), 90+random.IntN(20), random.IntN(100)), "")
	}
	var want struct {
		Dates  events.Days
		Values []float64
	}
	var published map[civil.Date]float64
	s.Eventually("all returns are published", func() bool {
		published = map[civil.Date]float64{}
		for _, line := range s.Log() {
			var e events.AssetUpdated
			if line.Type != e.Topic() {
				continue
			}
			require.NoError(t, json.Unmarshal(line.Data, &e))
			require.NoError(t, e.Check())
			for i, day := range e.Days {
				published[day] = e.Returns[i]
			}
		}
		a := s.Do(http.MethodGet, "/v1/returns/assets/AAPL/series", "")
		if a.Status != http.StatusOK || json.Unmarshal(a.Body, &want) != nil || len(want.Dates) != n-n/9-1 ||
			len(published) != n-n/9 {
			return false
		}
		for i, r := range want.Values {
			if math.Abs(published[want.Dates[i]]-r) > 1e-12 {
				return false
			}
		}
		return math.IsNaN(published[first])
	})
}
