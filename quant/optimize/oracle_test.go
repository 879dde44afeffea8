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

// table is a file of prices: a column of dates, and one for each symbol.
type table struct {
	symbols []string
	dates   []time.Time
	prices  [][]float64 // by symbol
}

func read(t testing.TB, name, layout string) *table {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(reference.Read(t, name))).ReadAll()
	require.NoError(t, err)
	out := &table{symbols: rows[0][1:], prices: make([][]float64, len(rows[0])-1)}
	for _, row := range rows[1:] {
		date, err := time.Parse(layout, row[0])
		require.NoError(t, err)
		out.dates = append(out.dates, date)
		for i, cell := range row[1:] {
			price := math.NaN()
			if cell != "" {
				price, err = strconv.ParseFloat(cell, 64)
				require.NoError(t, err)
			}
			out.prices[i] = append(out.prices[i], price)
		}
	}
	return out
}

// d20 returns the file of 20 stocks that the tests of PyPortfolioOpt use.
func d20(t testing.TB) *table { return read(t, "stock_prices.csv", time.DateOnly) }

func (d *table) returns() [][]float64 {
	out := make([][]float64, len(d.prices))
	for i, p := range d.prices {
		out[i] = quant.Simple(p)
	}
	return out
}

// geometric are the annual returns over the days that each symbol has.
func (d *table) geometric(periods float64) []float64 {
	var out []float64
	for _, r := range d.returns() {
		out = append(out, quant.GeometricReturn(r, periods))
	}
	return out
}

// complete drops the rows with a missing value.
func complete(series [][]float64) [][]float64 {
	out := make([][]float64, len(series))
rows:
	for t := range series[0] {
		for _, s := range series {
			if math.IsNaN(s[t]) {
				continue rows
			}
		}
		for i, s := range series {
			out[i] = append(out[i], s[t])
		}
	}
	return out
}

func (d *table) covariance(t testing.TB) *mat.SymDense {
	t.Helper()
	s, err := quant.Covariance(t.Context(), d.returns(), quant.Daily)
	require.NoError(t, err)
	return s
}

func problem(t testing.TB) optimize.Problem {
	t.Helper()
	d := d20(t)
	return optimize.Problem{Names: d.symbols, Returns: d.geometric(quant.Daily), Covariance: d.covariance(t),
		RiskFree: .02}
}

func between(lower, upper float64) []optimize.Bound {
	return []optimize.Bound{{Lower: lower, Upper: upper}}
}

// requirePortfolio compares return, volatility and Sharpe ratio, as far as they are given.
func requirePortfolio(t *testing.T, p *optimize.Portfolio, err error, tolerance float64, want ...float64) {
	t.Helper()
	require.NoError(t, err)
	got := []float64{p.Return, p.Volatility, p.Sharpe}
	for i, w := range want {
		assert.InEpsilon(t, w, got[i], tolerance, []string{"return", "volatility", "Sharpe ratio"}[i])
	}
}

// PyPortfolioOpt, tests/test_efficient_frontier.py; rows B of the reference figures. Its solvers are good to about
// 1e-5 themselves.
func TestEfficientFrontierValues(t *testing.T) {
	t.Parallel()
	base := problem(t)
	ctx := context.Background()
	free := []optimize.Bound{unbounded}
	equal := make([]float64, 20)
	for i := range equal {
		equal[i] = 1. / 20
	}
	type problem = optimize.Problem
	for _, c := range []struct {
		name      string
		change    func(*problem)
		solve     func(problem) (*optimize.Portfolio, error)
		tolerance float64
		want      [3]float64
	}{
		{"B1 least volatility", nil, least(ctx), 1e-6,
			[3]float64{0.15056821399482578, 0.15915084514118694, 0.8204054077060996}},
		{"B2 without bounds", func(p *problem) { p.Bounds = free }, least(ctx), 1e-6,
			[3]float64{0.1516319319875544, 0.1555915367269669, 0.8460095886741129}},
		{"B3 with L2", func(p *problem) { p.L2 = 1 }, least(ctx), 1e-5,
			[3]float64{0.17356099329164965, 0.1955254118258614, 0.785376140408869}},
		{
			"B4 with L2 and costs", func(p *problem) { p.L2, p.Cost, p.Before = 1, .001, equal }, least(ctx), 1e-4,
			[3]float64{0.17363446634404042, 0.1959773703677164, 0.7839398296638683},
		},
		{"B5 highest Sharpe ratio", nil, sharpe(ctx), 1e-5,
			[3]float64{0.3047768672819914, 0.22165566922402932, 1.2847714127003216}},
		{"B6 without bounds", func(p *problem) { p.Bounds = free }, sharpe(ctx), 1e-5,
			[3]float64{0.4937195216716211, 0.29516576454651955, 1.6049270564945908}},
		{"B7 with L2 of 5", func(p *problem) { p.L2 = 5 }, sharpe(ctx), 1e-5,
			[3]float64{0.2516854357026833, 0.22043282695478603, 1.051047790401043}},
		{"B8 with L2, without bounds", func(p *problem) { p.L2, p.Bounds = 1, free }, sharpe(ctx), 1e-5,
			[3]float64{0.2995338981166366, 0.2234696161770517, 1.2508810052063901}},
		{"B9 utility", nil, utility(ctx, 2), 1e-5,
			[3]float64{0.3677732711751504, 0.2921342197778279, 1.1904571516463793}},
		{"B10 utility with short positions", func(p *problem) { p.Bounds = between(-1, 1) }, utility(ctx, 1), 1e-5,
			[3]float64{1.4170505733098597, 1.0438577623242156, 1.3383533884915872}},
		{
			"B11 market neutral", func(p *problem) {
				p.Bounds, p.MarketNeutral = between(-1, 1), true
			}, utility(ctx, 1), 1e-5,
			[3]float64{1.248936321062371, 1.0219175004907117, 1.2025787996313317},
		},
		{"B12 utility with L2", func(p *problem) { p.L2 = 5 }, utility(ctx, 1), 1e-5,
			[3]float64{0.19774277217586125, 0.2104822672707046, 0.8444548535162986}},
		{"a volatility of .19 (not in the table)", func(p *problem) { p.Bounds = between(-1, 1) }, risk(ctx, .19), 1e-5,
			[3]float64{0.30035471606347336, 0.19, 1.4755511348079207}},
		{"with L2 (not in the table)", func(p *problem) { p.L2 = 5 }, risk(ctx, .19), 1e-4,
			[3]float64{0.1931352562313653, 0.18999999989010993, 0.9112381912184281}},
		{
			"B15 a volatility of .21, market neutral", func(p *problem) {
				p.Bounds, p.MarketNeutral = between(-1, 1), true
			}, risk(ctx, .21), 1e-5,
			[3]float64{0.28640632960825885, 0.21, 1.2686015698590967},
		},
		{
			"market neutral with L2 (not in the table)", func(p *problem) {
				p.Bounds, p.MarketNeutral, p.L2 = between(-1, 1), true, 1
			}, risk(ctx, .19), 1e-5,
			[3]float64{0.12790320789339854, 0.1175336636355454, 0.9180621496492316},
		},
		{"B16 a return of .25", nil, earning(ctx, .25), 1e-5,
			[3]float64{0.25, 0.18723269942026335, 1.2284179030274036}},
		{"B19 with L2", func(p *problem) { p.L2 = 1 }, earning(ctx, .25), 1e-5,
			[3]float64{0.25, 0.20961660883459776, 1.0972412981906703}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := base
			if c.change != nil {
				c.change(&p)
			}
			got, err := c.solve(p)
			requirePortfolio(t, got, err, c.tolerance, c.want[:]...)
		})
	}
}

type solver = func(optimize.Problem) (*optimize.Portfolio, error)

func least(ctx context.Context) solver {
	return func(p optimize.Problem) (*optimize.Portfolio, error) { return optimize.MinVolatility(ctx, p) }
}

func sharpe(ctx context.Context) solver {
	return func(p optimize.Problem) (*optimize.Portfolio, error) { return optimize.MaxSharpe(ctx, p) }
}

func utility(ctx context.Context, aversion float64) solver {
	return func(p optimize.Problem) (*optimize.Portfolio, error) { return optimize.MaxUtility(ctx, p, aversion) }
}

func risk(ctx context.Context, target float64) solver {
	return func(p optimize.Problem) (*optimize.Portfolio, error) { return optimize.EfficientRisk(ctx, p, target) }
}

func earning(ctx context.Context, target float64) solver {
	return func(p optimize.Problem) (*optimize.Portfolio, error) { return optimize.EfficientReturn(ctx, p, target) }
}

// B17: without bounds, the answer is that of [[Σ μ 1], [μᵀ 0 0], [1ᵀ 0 0]].
func TestWithoutBoundsAReturnIsALinearSystem(t *testing.T) {
	t.Parallel()
	p := problem(t)
	p.Bounds = []optimize.Bound{unbounded}
	got, err := optimize.EfficientReturn(context.Background(), p, .25)
	require.NoError(t, err)
	n := 20
	m, b := mat.NewDense(n+2, n+2, nil), mat.NewVecDense(n+2, nil)
	for i := range n {
		for j := range n {
			m.Set(i, j, p.Covariance.At(i, j))
		}
		m.Set(i, n, p.Returns[i])
		m.Set(n, i, p.Returns[i])
		m.Set(i, n+1, 1)
		m.Set(n+1, i, 1)
	}
	b.SetVec(n, .25)
	b.SetVec(n+1, 1)
	var x mat.VecDense
	require.NoError(t, x.SolveVec(m, b))
	for i, w := range got.Weights {
		assert.InDelta(t, x.AtVec(i), w, 5e-7, "B17 %s", p.Names[i])
	}
}
