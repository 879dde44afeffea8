package optimize_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"stega/internal/reference"
	"stega/quant"
	"stega/quant/optimize"
)

// PyPortfolioOpt, tests/test_hrp.py; rows C7, C8 and C11.
func TestHierarchicalRiskParityValues(t *testing.T) {
	t.Parallel()
	d := d20(t)
	returns := d.returns()
	correlation, err := quant.Correlation(t.Context(), returns)
	require.NoError(t, err)
	covariance := d.covariance(t)
	w, err := optimize.HierarchicalRiskParity(covariance, correlation, quant.SingleLinkage, d.symbols)
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(reference.Read(t, "weights_hrp.csv"))).ReadAll()
	require.NoError(t, err)
	want := map[string]float64{}
	for _, r := range rows[1:] {
		want[r[0]], err = strconv.ParseFloat(r[1], 64)
		require.NoError(t, err)
	}
	mean := 0.0
	for i, s := range d.symbols {
		assert.InEpsilon(t, want[s], w[i], 1e-8, "C7 %s", s)
		mean += w[i] * quant.Mean(returns[i]) * quant.Daily
	}
	vol := math.Sqrt(mat.Inner(mat.NewVecDense(20, w), covariance, mat.NewVecDense(20, w)))
	assert.InEpsilon(t, 0.21353402380950973, mean, 1e-7, "C8 return")
	assert.InEpsilon(t, 0.17844159743748936, vol, 1e-7, "C8 volatility")
	assert.InEpsilon(t, 1.084579081272277, (mean-.02)/vol, 1e-7, "C8 Sharpe ratio")
	merges, err := quant.Linkage(quant.CorrelationDistance(correlation), quant.SingleLinkage)
	require.NoError(t, err)
	assert.Equal(t, []int{12, 6, 15, 14, 2}, quant.LeafOrder(merges)[:5], "C11")
}

var capitalizations = []float64{
	927e9, 1.19e12, 574e9, 533e9, 867e9, 96e9, 43e9, 339e9, 301e9, 51e9, 61e9, 78e9, 0, 295e9, 1e9, 22e9, 288e9, 212e9,
	422e9, 102e9,
}

// PyPortfolioOpt, tests/test_black_litterman.py; rows C25 to C30.
func TestBlackLittermanValues(t *testing.T) {
	t.Parallel()
	d := d20(t)
	covariance := d.covariance(t)
	spy := quant.Simple(read(t, "spy_prices.csv", time.DateOnly).prices[0])
	at := func(symbol string) int {
		for i, s := range d.symbols {
			if s == symbol {
				return i
			}
		}
		return -1
	}
	aversion := (quant.Mean(spy)*quant.Daily - .02) / (quant.Deviation(spy) * quant.Deviation(spy) * quant.Daily)
	assert.InDelta(t, 2.68549, aversion, 5e-6)
	prior, err := optimize.MarketImpliedReturns(covariance, capitalizations, aversion, .02)
	require.NoError(t, err)
	assert.InDeltaSlice(t, []float64{
		0.14933293, 0.2168623, 0.11219185, 0.10362374, 0.28416295, 0.12196098, 0.19036819, 0.08860159, 0.17724273,
		0.08779627,
		0.0791797, 0.16460474, 0.12854665, 0.08657863, 0.11230036, 0.13875465, 0.15017163, 0.09066484, 0.1696369,
		0.13270213,
	}, prior, 1e-6, "C25")
	views := func(of map[string]float64) []optimize.View {
		var out []optimize.View
		for i, s := range d.symbols {
			if r, ok := of[s]; ok {
				out = append(out, absolute(20, i, r))
			}
		}
		return out
	}
	check := func(name string, prior []float64, of map[string]float64, want ...float64) []float64 {
		p, err := optimize.BlackLitterman(optimize.Views{Covariance: covariance, Prior: prior, Views: views(of)})
		require.NoError(t, err)
		w := impliedWeights(t, covariance, p.Returns)
		if want != nil {
			r := 0.0
			for i := range w {
				r += w[i] * p.Returns[i]
			}
			vol := math.Sqrt(mat.Inner(mat.NewVecDense(20, w), p.Covariance, mat.NewVecDense(20, w)))
			for i, got := range []float64{r, vol, (r - .02) / vol} {
				assert.InEpsilon(t, want[i], got, 1e-6, name)
			}
		}
		return w
	}
	five := map[string]float64{"AAPL": .20, "BBY": -.30, "BAC": 0, "SBUX": -.2, "T": .131321}
	equal := make([]float64, 20)
	for i := range equal {
		equal[i] = .05
	}
	check("C26", equal, five, 0.1877432247395778, 0.3246889329226965, 0.5166274785827545)
	check("with the market's prior (not in the table)", prior,
		map[string]float64{"GOOG": .40, "AAPL": -.30, "FB": .30, "BABA": 0}, 0.2580693114409672, 0.265445955488424,
		0.8968654692926723)
	w := check("C28", nil, five)
	want := make([]float64, 20)
	for s, v := range map[string]float64{
		"AAPL": 1.40675,
		"BAC":  .02651,
		"T":    2.81117,
		"BBY":  -1.44667,
		"SBUX": -1.79776,
	} {
		want[at(s)] = v
	}
	assert.InDeltaSlice(t, want, w, 5.1e-6, "C28")
	for c := 0.0; c <= 1; c += .125 {
		identity := mat.NewSymDense(5, nil)
		prior := make([]float64, 5)
		var all []optimize.View
		for i := range 5 {
			identity.SetSym(i, i, 1)
			prior[i] = .1
			v := absolute(5, i, .3)
			v.Confidence = c
			all = append(all, v)
		}
		p, err := optimize.BlackLitterman(optimize.Views{Covariance: identity, Prior: prior, Views: all,
			Uncertainty: optimize.Idzorek})
		require.NoError(t, err)
		for _, r := range p.Returns {
			assert.InDelta(t, .1+.2*c, r, 1e-12, "C30")
		}
	}
}

// absolute is the view that one of n assets will have an annual return.
func absolute(n, asset int, annual float64) optimize.View {
	v := optimize.View{Weights: make([]float64, n), Return: annual}
	v.Weights[asset] = 1
	return v
}

// impliedWeights are the weights of an unconstrained investor who expects the returns: Σ⁻¹r, scaled to sum to one.
func impliedWeights(t *testing.T, covariance *mat.SymDense, returns []float64) []float64 {
	t.Helper()
	var w mat.VecDense
	require.NoError(t, w.SolveVec(covariance, mat.NewVecDense(len(returns), returns)))
	w.ScaleVec(1/mat.Sum(&w), &w)
	return w.RawVector().Data
}

func TestViewsOnUnknownAssetsAreRefused(t *testing.T) {
	t.Parallel()
	for _, v := range []optimize.View{{Return: .1}} {
		_, err := optimize.BlackLitterman(optimize.Views{Covariance: mat.NewSymDense(2, []float64{1, 0, 0, 1}),
			Views: []optimize.View{v}})
		assert.EqualError(t, err, "view 0: 0 for 2 assets")
	}
}

// PyPortfolioOpt, tests/test_discrete_allocation.py; rows C31 and C32.
func TestDiscreteAllocationValues(t *testing.T) {
	t.Parallel()
	d := d20(t)
	p := problem(t)
	last := make([]float64, 20)
	for i, s := range d.prices {
		last[i] = s[len(s)-1]
	}
	shares := func(a *optimize.Allocation) map[string]int64 {
		out := map[string]int64{}
		for i, n := range a.Shares {
			if n != 0 {
				out[d.symbols[i]] = n
			}
		}
		return out
	}
	cost := func(a *optimize.Allocation) float64 {
		sum := 0.0
		for i, n := range a.Shares {
			sum += math.Abs(float64(n)) * last[i]
		}
		return sum
	}
	best, err := optimize.MaxSharpe(context.Background(), p)
	require.NoError(t, err)
	order := optimize.Order{Names: d.symbols, Weights: best.Weights, Prices: last, Money: 10_000, Short: .3}
	a, err := optimize.AllocateGreedily(order)
	require.NoError(t, err)
	assert.Equal(t,
		map[string]int64{"MA": 20, "FB": 12, "PFE": 54, "BABA": 4, "AAPL": 4, "BBY": 2, "SBUX": 1, "GOOG": 1},
		shares(a), "C31")
	assert.InDelta(t, 0.017086185150415774, a.RMSE, 1e-5, "C31")
	assert.InDelta(t, 10_000, cost(a)+a.Leftover, 1e-9)
	start := time.Now()
	e, err := optimize.AllocateExactly(context.Background(), order)
	require.NoError(t, err)
	t.Log(time.Since(start), shares(e), e.Leftover, e.RMSE)
	assert.True(t, e.Exact)
	assert.Less(t, e.RMSE, .02)
	assert.InDelta(t, 10_000, cost(e)+e.Leftover, 1e-9)

	p.Bounds = between(-1, 1)
	best, err = optimize.MaxSharpe(context.Background(), p)
	require.NoError(t, err)
	order.Weights = best.Weights
	a, err = optimize.AllocateGreedily(order)
	require.NoError(t, err)
	assert.Equal(t, map[string]int64{
		"MA": 19, "PFE": 42, "FB": 7, "GOOG": 1, "BABA": 5, "AAPL": 4, "SBUX": 8, "BBY": 6, "XOM": 4, "WMT": 3,
		"BAC": -32, "AMD": -48, "SHLD": -132, "GM": -9, "RRC": -19, "GE": -14, "T": -5, "UAA": -8,
	}, shares(a), "C32")
	assert.InDelta(t, 0.06063511265243106, a.RMSE, 1e-5, "C32")
	assert.InDelta(t, 13_000, cost(a)+a.Leftover, 1e-8)
	e, err = optimize.AllocateExactly(context.Background(), order)
	require.NoError(t, err)
	assert.True(t, e.Exact)
	order.Money, order.Short, order.Reinvest = 50_000, .5, true
	a, err = optimize.AllocateGreedily(order)
	require.NoError(t, err)
	assert.Equal(t, map[string]int64{
		"MA": 145, "PFE": 317, "FB": 53, "GOOG": 6, "BABA": 34, "AAPL": 27, "SBUX": 58, "AMZN": 2, "BBY": 41, "XOM": 30,
		"WMT": 17, "JPM": 1,
		"BAC": -269, "AMD": -399, "SHLD": -1099, "GM": -78, "RRC": -154, "GE": -119, "T": -41, "UAA": -64,
	}, shares(a), "reinvested (not in the table)")
}

// ffn, tests/test_core.py; row F31.
func TestWeightsOfFFN(t *testing.T) {
	t.Parallel()
	d := read(t, "ffn_prices.csv", "1/2/2006")
	var returns [][]float64
	for _, p := range d.prices {
		returns = append(returns, quant.Simple(p[:11]))
	}
	covariance, err := quant.Covariance(t.Context(), returns, 1)
	require.NoError(t, err)
	p, err := optimize.RiskParity(context.Background(), optimize.Problem{Covariance: covariance}, nil)
	require.NoError(t, err)
	assert.InDeltaSlice(t, []float64{.234, .409, .356}, p.Weights, 6e-4, "F31")
}

// Two certain views on one asset must agree: no returns fulfil both 20 % and 10 %.
func TestCertainViewsThatContradictAreRefused(t *testing.T) {
	t.Parallel()
	views := func(returns ...float64) optimize.Views {
		v := optimize.Views{Covariance: mat.NewSymDense(2, []float64{.04, .01, .01, .09}), Prior: []float64{.05, .07},
			Uncertainty: optimize.Idzorek}
		for _, r := range returns {
			v.Views = append(v.Views, optimize.View{Weights: []float64{1, 0}, Return: r, Confidence: 1})
		}
		return v
	}
	_, err := optimize.BlackLitterman(views(.2, .1))
	var invalid *optimize.InvalidError
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, "views", invalid.Field)
	p, err := optimize.BlackLitterman(views(.2, .2))
	require.NoError(t, err)
	assert.InDelta(t, .2, p.Returns[0], 1e-12, "a view that repeats another is no contradiction")
	chain := views(.2)
	chain.Views = append(chain.Views, optimize.View{Weights: []float64{-1, 1}, Return: .05, Confidence: 1},
		optimize.View{Weights: []float64{0, 1}, Return: .1, Confidence: 1}) // 20 % and 5 % more are 25 %
	_, err = optimize.BlackLitterman(chain)
	require.ErrorAs(t, err, &invalid)
	chain.Views[2].Confidence = .99
	_, err = optimize.BlackLitterman(chain)
	require.NoError(t, err, "a view that is not certain yields")
}
