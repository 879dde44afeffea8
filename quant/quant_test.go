package quant_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/reference"
	"stega/quant"
)

var nan = math.NaN()

func percent(values ...float64) []float64 {
	for i := range values {
		values[i] /= 100
	}
	return values
}

// The series of empyrical's tests (stefan-jansen/empyrical-reloaded, tests/test_stats.py and conftest.py).
var (
	mixed    = percent(nan, 1, 10, -4, 2, 3, 2, 1, -10)
	positive = percent(1, 2, 1, 1, 1, 1, 1, 1, 1)
	negative = percent(0, -6, -7, -1, -9, -2, -6, -8, -5)
	allNeg   = percent(-2, -6, -7, -1, -9, -2, -6, -8, -5)
	flat     = percent(1, 1, 1, 1, 1, 1, 1, 1, 1)
	sparse   = percent(0, 1, 10, -4, 2, 3, 2, 1, -10) // weekly, monthly
	udu      = percent(10, -10, 10)
	one      = []float64{-0.00171614, 0.01322056, 0.03063862, -0.01422057, -0.00489779, 0.01268925, -0.03357711,
		0.01797036}
	two = []float64{0.01846232, 0.00793951, -0.01448395, 0.00422537, -0.00339611, 0.03756813, 0.0151531, 0.03549769}
)

func near(t *testing.T, want, got float64, name string) {
	t.Helper()
	if math.IsInf(want, 0) {
		assert.Equal(t, want, got, name)
		return
	}
	assert.InDelta(t, want, got, 5e-9, name)
}

func TestEmpyricalValues(t *testing.T) {
	const d, w, m = quant.Daily, quant.Weekly, quant.Monthly
	inf := math.Inf(1)
	for _, c := range []struct {
		name      string
		want, got float64
	}{
		{"D7 annual return, daily", 1.9135925373194231, quant.AnnualReturn(mixed, d)},
		{"D7 weekly", .24690830513998208, quant.AnnualReturn(sparse, w)},
		{"D7 monthly", .052242061386048144, quant.AnnualReturn(sparse, m)},
		{"D8 volatility, daily", .9136465399704637, quant.AnnualVolatility(mixed, d)},
		{"D8 weekly", .38851569394870583, quant.AnnualVolatility(sparse, w)},
		{"D8 monthly", .18663690238892558, quant.AnnualVolatility(sparse, m)},
		{"D8 flat", 0, quant.AnnualVolatility(flat, d)},
		{"D9 calmar, daily", 19.135925373194233, quant.Calmar(mixed, d)},
		{"D9 weekly", 2.4690830513998208, quant.Calmar(sparse, w)},
		{"D9 monthly", .52242061386048144, quant.Calmar(sparse, m)},
		{"D11 sharpe of mixed", 1.7238613961706866, quant.Sharpe(mixed, 0, d)},
		{"D11 positive", 52.915026221291804, quant.Sharpe(positive, 0, d)},
		{"D11 negative", -24.406808633910085, quant.Sharpe(negative, 0, d)},
		{"D11 flat", inf, quant.Sharpe(flat, 0, d)},
		{"D12 downside risk", .60448325038829653, quant.DownsideRisk(mixed, 0, d)},
		{"D12 required .1", 1.7161730681956295, quant.DownsideRisk(mixed, .1, d)},
		{"D12 weekly", .25888650451930134, quant.DownsideRisk(sparse, 0, w)},
		{"D12 weekly .1", .7733045971672482, quant.DownsideRisk(sparse, .1, w)},
		{"D12 monthly", .1243650540411842, quant.DownsideRisk(sparse, 0, m)},
		{"D12 monthly .1", .37148351242013422, quant.DownsideRisk(sparse, .1, m)},
		{"D13 one", .20671788246185202, quant.DownsideRisk(one, 0, d)},
		{"D13 two", .083495680595704475, quant.DownsideRisk(two, 0, d)},
		{"D13 one weekly", .093902996054410062, quant.DownsideRisk(one, 0, w)},
		{"D13 two weekly", .037928477556776516, quant.DownsideRisk(two, 0, w)},
		{"D13 one monthly", .045109540184877193, quant.DownsideRisk(one, 0, m)},
		{"D13 two monthly", .018220251263412916, quant.DownsideRisk(two, 0, m)},
		{"D14 sortino", 2.605531251673693, quant.Sortino(mixed, 0, d)},
		{"D14 required .01", -1.3934779588919977, quant.Sortino(mixed, .01, d)},
		{"D14 positive", inf, quant.Sortino(positive, 0, d)},
		{"D14 negative", -13.532743075043401, quant.Sortino(negative, 0, d)},
		{"D14 weekly", 1.1158901056866439, quant.Sortino(sparse, 0, w)},
		{"D14 monthly", .53605626741889756, quant.Sortino(sparse, 0, m)},
		{"D15 one", 3.0639640966566306, quant.Sortino(one, 0, d)},
		{"D15 two", 38.090963117002495, quant.Sortino(two, 0, d)},
		{"D15 one weekly", 1.3918264112070571, quant.Sortino(one, 0, w)},
		{"D15 two monthly", 8.3121296084492844, quant.Sortino(two, 0, m)},
		{"D20 one return", 11.274002099240244, quant.AnnualReturn([]float64{.01}, d)},
		{"D20 three years", .03, quant.AnnualReturn([]float64{.03, .03, .03}, 1)},
		{"D6 drawdown of mixed", -.1, first(quant.MaxDrawdown(mixed))},
		{"D6 positive", 0, first(quant.MaxDrawdown(positive))},
		{"D6 negative", -.36590730, first(quant.MaxDrawdown(negative))},
		{"D6 all negative", -.378589157, first(quant.MaxDrawdown(allNeg))},
		{"D6 up, down, up", -.10, first(quant.MaxDrawdown(udu))},
		{"D1 cumulative return", .03893, math.Round(quant.CumulativeReturn(mixed)*1e5) / 1e5},
	} {
		near(t, c.want, c.got, c.name)
	}
	for i, want := range []float64{0, .01, .111, .066559, .08789, .12052, .14293, .15436, .03893} {
		assert.InDelta(t, want, quant.Cumulative(mixed)[i], 5e-5, "D1")
	}
	for i, want := range []float64{0, -.06, -.1258, -.13454, -.21243, -.22818, -.27449, -.33253, -.36590} {
		assert.InDelta(t, want, quant.Cumulative(negative)[i], 5e-5, "D3")
	}
}

func first(depth float64, _, _, _ int) float64 { return depth }

func TestUndefinedResultsAreNaN(t *testing.T) {
	for _, v := range []float64{
		quant.AnnualReturn(nil, 252), quant.AnnualVolatility([]float64{.1}, 252), quant.Sharpe(nil, 0, 252),
		quant.Calmar(positive, 252),
		quant.Mean([]float64{nan}), quant.Sharpe([]float64{0, 0}, 0, 252),
	} {
		assert.True(t, math.IsNaN(v))
	}
	assert.Empty(t, quant.Simple([]float64{1}))
	assert.Empty(t, quant.Simple(nil))
	assert.Equal(t, -1.0, quant.AnnualReturn([]float64{.1, -1}, 252))
}

func TestMaxDrawdownHasItsIndexes(t *testing.T) {
	depth, start, trough, end := quant.MaxDrawdown([]float64{.1, -.1, -.1, .05, .3, -.05})
	assert.InDelta(t, -.19, depth, 1e-12)
	assert.Equal(t, []int{0, 2, 4}, []int{start, trough, end})
	depth, start, trough, end = quant.MaxDrawdown([]float64{-.1, .05, -.2})
	assert.InDelta(t, .9*1.05*.8-1, depth, 1e-12)
	assert.Equal(t, []int{-1, 2, -1}, []int{start, trough, end}, "from the start, and never over")
	_, start, trough, end = quant.MaxDrawdown(positive)
	assert.Equal(t, []int{-1, -1, -1}, []int{start, trough, end})
}

func TestMaxDrawdownIsTheWorstOfTheSeries(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		returns := make([]float64, 1+r.IntN(60))
		for i := range returns {
			returns[i] = r.NormFloat64() * .03
		}
		series := quant.Drawdown(returns)
		worst := 0.0
		for _, d := range series {
			worst = math.Min(worst, d)
		}
		depth, start, trough, end := quant.MaxDrawdown(returns)
		assert.InDelta(t, worst, depth, 1e-12)
		if depth < 0 {
			assert.Less(t, start, trough)
			assert.InDelta(t, depth, series[trough], 1e-12)
			wealth := append([]float64{0}, quant.Cumulative(returns)...)
			assert.InDelta(t, depth, (1+wealth[trough+1])/(1+wealth[start+1])-1, 1e-12)
			if end >= 0 {
				assert.Greater(t, end, trough)
				assert.GreaterOrEqual(t, wealth[end+1], wealth[start+1])
			}
		}
	}
}

func TestPortfolios(t *testing.T) {
	returns := [][]float64{{.1, -.2, .05}, {0, .1, -.1}}
	weights := []float64{.6, .4}
	daily, err := quant.PortfolioReturns(returns, weights, func(int) bool { return true })
	require.NoError(t, err)
	assert.InDeltaSlice(t, []float64{.06, -.08, -.01}, daily, 1e-15)
	drift, err := quant.PortfolioReturns(returns, weights, func(int) bool { return false })
	require.NoError(t, err)
	wealth := func(t int) float64 {
		a, b := .6, .4
		for i := range t {
			a, b = a*(1+returns[0][i]), b*(1+returns[1][i])
		}
		return a + b
	}
	for i := range drift {
		assert.InDelta(t, wealth(i+1)/wealth(i)-1, drift[i], 1e-15)
	}
	_, err = quant.PortfolioReturns([][]float64{{1, 0}, {0, 0}}, []float64{-1.5, 2.5}, func(int) bool { return true })
	require.ErrorIs(t, err, quant.ErrRuined)
	_, err = quant.PortfolioReturns(returns, []float64{1}, nil)
	require.Error(t, err)
	assert.False(t, errors.Is(err, quant.ErrRuined))
}

// The reference figures of PyPortfolioOpt's tests over a real file (table A, row A4).
func TestAnnualReturnsOfRealPrices(t *testing.T) {
	rows, err := csv.NewReader(bytes.NewReader(reference.Read(t, "stock_prices.csv"))).ReadAll()
	require.NoError(t, err)
	want := map[string]float64{
		"GOOG": 0.247967, "AAPL": 0.294304, "FB": 0.284037, "BABA": 0.1923164, "AMZN": 0.371327, "GE": 0.1360093,
		"AMD": 0.0328503, "WMT": 0.1200115,
		"BAC": 0.105540, "GM": 0.0423457, "T": 0.1002559, "UAA": 0.1442237, "SHLD": -0.0792602, "XOM": 0.1430506,
		"RRC": 0.0736356, "BBY": 0.238835,
		"MA": 0.388665, "PFE": 0.226717, "JPM": 0.1561701, "SBUX": 0.2318153,
	}
	for column, symbol := range rows[0] {
		if column == 0 {
			continue
		}
		var prices []float64
		for _, row := range rows[1:] {
			if row[column] != "" {
				p, err := strconv.ParseFloat(row[column], 64)
				require.NoError(t, err)
				prices = append(prices, p)
			}
		}
		assert.InDelta(t, want[symbol], quant.AnnualReturn(quant.Simple(prices), quant.Daily), 1e-6, symbol)
	}
}
