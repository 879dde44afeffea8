package optimize_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"stega/quant"
	"stega/quant/optimize"
)

// random returns a problem of n assets with short or long histories.
func random(r *rand.Rand, n int) optimize.Problem {
	returns, mu := market(n, n+20+r.IntN(200), r.Uint64())
	s, err := quant.Covariance(context.Background(), returns, quant.Daily)
	if err != nil {
		panic(err)
	}
	return optimize.Problem{Returns: mu, Covariance: s, RiskFree: .01}
}

// constrained adds groups and bounds that equal weights satisfy.
func constrained(r *rand.Rand, p optimize.Problem) optimize.Problem {
	n := len(p.Returns)
	w := 1 / float64(n)
	p.Bounds = make([]optimize.Bound, n)
	for i := range p.Bounds {
		p.Bounds[i] = optimize.Bound{Lower: w * (r.Float64() - .5), Upper: w * (1.2 + 5*r.Float64())}
	}
	var group optimize.Group
	group.Name = "some"
	for i := range n {
		if r.IntN(2) == 0 {
			group.Assets = append(group.Assets, i)
		}
	}
	share := w * float64(len(group.Assets))
	group.Lower, group.Upper = share*.9, share*1.1
	p.Groups = []optimize.Group{group}
	c := make([]float64, n)
	level := 0.0
	for i := range c {
		c[i] = r.NormFloat64()
		level += w * c[i]
	}
	p.Linear = []optimize.Linear{{Name: "exposure", Coefficients: c, Lower: math.Inf(-1), Upper: level + .05}}
	return p
}

// keeps asserts that weights satisfy their constraints.
func keeps(t *testing.T, c optimize.Constraints, w []float64) {
	t.Helper()
	const tolerance = 1e-7
	sum := 0.0
	for _, v := range w {
		sum += v
	}
	budget := 1.0
	if c.MarketNeutral {
		budget = 0
	}
	assert.InDelta(t, budget, sum, tolerance, "budget")
	for i, v := range w {
		b := optimize.Bound{Lower: 0, Upper: 1}
		switch {
		case len(c.Bounds) == 1:
			b = c.Bounds[0]
		case len(c.Bounds) > 1:
			b = c.Bounds[i]
		case c.MarketNeutral:
			b.Lower = -1
		}
		assert.True(t, v >= b.Lower && v <= b.Upper, "bound of %d: %v in %v", i, v, b)
	}
	for _, g := range c.Groups {
		s := 0.0
		for _, i := range g.Assets {
			s += w[i]
		}
		assert.True(t, s >= g.Lower-tolerance && s <= g.Upper+tolerance, "%s: %v", g.Name, s)
	}
	for _, l := range c.Linear {
		s := 0.0
		for i, v := range l.Coefficients {
			s += v * w[i]
		}
		assert.True(t, s >= l.Lower-tolerance && s <= l.Upper+tolerance, "%s: %v", l.Name, s)
	}
}

func variance(s *mat.SymDense, w []float64) float64 {
	v := mat.NewVecDense(len(w), append([]float64(nil), w...))
	return mat.Inner(v, s, v)
}

func product(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// feasible returns random portfolios that satisfy the constraints, each between the equal weights and the optimum of
// a random objective.
func feasible(t *testing.T, r *rand.Rand, p optimize.Problem, count int) [][]float64 {
	t.Helper()
	n := len(p.Returns)
	var ends [][]float64
	for range 8 {
		q := p
		q.Returns = make([]float64, n)
		for i := range q.Returns {
			q.Returns[i] = r.NormFloat64()
		}
		e, err := optimize.MaxUtility(context.Background(), q, .1+10*r.Float64())
		require.NoError(t, err)
		ends = append(ends, e.Weights)
	}
	out := make([][]float64, count)
	for k := range out {
		out[k] = make([]float64, n)
		sum := 0.0
		mix := make([]float64, len(ends))
		for i := range mix {
			mix[i] = r.ExpFloat64()
			sum += mix[i]
		}
		for i, e := range ends {
			for j, v := range e {
				out[k][j] += v * mix[i] / sum
			}
		}
	}
	return out
}

func TestNoPortfolioBeatsTheOptimum(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := rand.New(rand.NewPCG(5, 5))
	for range 12 {
		p := constrained(r, random(r, 3+r.IntN(25)))
		others := feasible(t, r, p, 500)
		least, err := optimize.MinVolatility(ctx, p)
		require.NoError(t, err)
		keeps(t, p.Constraints, least.Weights)
		utility, err := optimize.MaxUtility(ctx, p, 3)
		require.NoError(t, err)
		keeps(t, p.Constraints, utility.Weights)
		target := least.Return + .3*math.Abs(utility.Return-least.Return)
		efficient, err := optimize.EfficientReturn(ctx, p, target)
		require.NoError(t, err)
		keeps(t, p.Constraints, efficient.Weights)
		assert.GreaterOrEqual(t, efficient.Return, target-1e-8)
		back, err := optimize.EfficientRisk(ctx, p, efficient.Volatility)
		require.NoError(t, err)
		keeps(t, p.Constraints, back.Weights)
		assert.InDelta(t, efficient.Return, back.Return, 1e-5, "there and back")
		sharpe, err := optimize.MaxSharpe(ctx, p)
		require.NoError(t, err)
		keeps(t, p.Constraints, sharpe.Weights)
		for _, w := range others {
			v, m := variance(p.Covariance, w), product(p.Returns, w)
			assert.GreaterOrEqual(t, math.Sqrt(v), least.Volatility*(1-1e-8))
			assert.LessOrEqual(t, m-1.5*v, utility.Return-1.5*utility.Volatility*utility.Volatility+1e-8)
			assert.LessOrEqual(t, (m-p.RiskFree)/math.Sqrt(v), sharpe.Sharpe*(1+1e-7))
			if m >= target {
				assert.GreaterOrEqual(t, math.Sqrt(v), efficient.Volatility*(1-1e-7))
			}
		}
	}
}

// At the optimum of a long-only portfolio, Σw − λμ is the same for all that is held, and not less for the rest.
func TestTheGradientIsFlatWhereWeightsAreFree(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 5))
	for range 20 {
		n := 2 + r.IntN(40)
		p := random(r, n)
		aversion := .5 + 5*r.Float64()
		got, err := optimize.MaxUtility(context.Background(), p, aversion)
		require.NoError(t, err)
		var g mat.VecDense
		g.MulVec(p.Covariance, mat.NewVecDense(n, append([]float64(nil), got.Weights...)))
		level := product(g.RawVector().Data, got.Weights)*aversion - got.Return // the multiplier of the budget
		for i, w := range got.Weights {
			slope := aversion*g.AtVec(i) - p.Returns[i] - level
			assert.GreaterOrEqual(t, slope, -1e-7)
			assert.Less(t, math.Abs(slope)*w, 1e-7, "complementarity")
		}
	}
}

func TestTheFrontierIsConvexAndAgreesWithTheSolver(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := rand.New(rand.NewPCG(7, 5))
	for k := range 16 {
		p := random(r, 2+r.IntN(30))
		if k%2 == 0 {
			p = constrained(r, p)
		}
		if k%4 == 1 {
			p.L2 = .01
		}
		f, err := optimize.TraceFrontier(ctx, p)
		require.NoError(t, err)
		for i := 1; i < len(f.Corners); i++ {
			a, b := f.Corners[i-1], f.Corners[i]
			assert.Greater(t, b.Return, a.Return-1e-9)
			assert.GreaterOrEqual(t, b.Price, a.Price)
			if p.L2 == 0 {
				assert.Greater(t, b.Volatility, a.Volatility-1e-9)
			}
		}
		points, err := f.Points(15, math.Inf(1))
		require.NoError(t, err)
		for i, point := range points {
			keeps(t, p.Constraints, point.Weights)
			if i > 0 && i+1 < len(points) && p.L2 == 0 {
				assert.LessOrEqual(t, point.Volatility, (points[i-1].Volatility+points[i+1].Volatility)/2+1e-9,
					"convex")
			}
			if i%5 == 2 {
				solved, err := optimize.EfficientReturn(ctx, p, point.Return)
				require.NoError(t, err)
				assert.InDelta(t, variance(p.Covariance, solved.Weights)+p.L2*product(solved.Weights, solved.Weights),
					variance(p.Covariance, point.Weights)+p.L2*product(point.Weights, point.Weights), 1e-8)
			}
		}
		if p.L2 == 0 {
			sharpe, err := optimize.MaxSharpe(ctx, p)
			require.NoError(t, err)
			assert.InDelta(t, f.MaxSharpe(p.RiskFree).Sharpe, sharpe.Sharpe, 1e-7)
		}
	}
}

func TestTheOrderAndTheScaleOfAssetsDoNotMatter(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := rand.New(rand.NewPCG(8, 5))
	for range 10 {
		n := 3 + r.IntN(20)
		p := random(r, n)
		p.RiskFree = 0
		a, err := optimize.MaxSharpe(ctx, p)
		require.NoError(t, err)
		order := r.Perm(n)
		q := p
		q.Returns, q.Covariance = make([]float64, n), mat.NewSymDense(n, nil)
		unit := math.Exp(3 * r.NormFloat64()) // of time: returns grow with it, and covariances too
		for i, from := range order {
			q.Returns[i] = p.Returns[from] * unit
			for j, other := range order {
				q.Covariance.SetSym(i, j, p.Covariance.At(from, other)*unit)
			}
		}
		b, err := optimize.MaxSharpe(ctx, q)
		require.NoError(t, err)
		parityA, err := optimize.RiskParity(ctx, p, nil)
		require.NoError(t, err)
		parityB, err := optimize.RiskParity(ctx, q, nil)
		require.NoError(t, err)
		hrpA, err := optimize.HierarchicalRiskParity(p.Covariance, nil, quant.WardLinkage, nil)
		require.NoError(t, err)
		hrpB, err := optimize.HierarchicalRiskParity(mat.NewSymDense(n, scaled(p.Covariance.RawSymmetric().Data, unit)),
			nil,
			quant.WardLinkage, nil)
		require.NoError(t, err)
		for i, from := range order {
			assert.InDelta(t, a.Weights[from], b.Weights[i], 1e-5)
			assert.InDelta(t, parityA.Weights[from], parityB.Weights[i], 1e-9)
			assert.InDelta(t, hrpA[i], hrpB[i], 1e-12)
		}
	}
}

func scaled(v []float64, by float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = v[i] * by
	}
	return out
}

func TestSharesOfRiskAreTheBudgets(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 5))
	for range 20 {
		n := 1 + r.IntN(60)
		p := random(r, n)
		budgets := make([]float64, n)
		sum := 0.0
		for i := range budgets {
			budgets[i] = r.Float64()
			if n > 3 && i == 0 {
				budgets[i] = 0
			}
			sum += budgets[i]
		}
		got, err := optimize.RiskParity(context.Background(), p, budgets)
		require.NoError(t, err)
		keeps(t, optimize.Constraints{}, got.Weights)
		for i, c := range optimize.RiskContributions(p.Covariance, got.Weights) {
			assert.InDelta(t, budgets[i]/sum, c, 1e-9)
		}
	}
}
