package optimize_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"stega/quant"
	"stega/quant/optimize"
)

func small() optimize.Problem {
	return optimize.Problem{
		Names: []string{"AAPL", "NVDA", "XOM"}, Returns: []float64{.2, .37, .05}, RiskFree: .02,
		Covariance: mat.NewSymDense(3, []float64{.09, .05, .01, .05, .16, .01, .01, .01, .04}),
	}
}

func group(name string, lower, upper float64, assets ...int) optimize.Group {
	return optimize.Group{Name: name, Assets: assets, Lower: lower, Upper: upper}
}

func TestInfeasibleErrorsNameTheConstraints(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	inf := math.Inf(1)
	bounds := func(b ...optimize.Bound) func(*optimize.Problem) { return func(p *optimize.Problem) { p.Bounds = b } }
	groups := func(g ...optimize.Group) func(*optimize.Problem) { return func(p *optimize.Problem) { p.Groups = g } }
	for _, c := range []struct {
		name        string
		change      func(*optimize.Problem)
		solve       solver
		constraints []string
		detail      string
	}{
		{"lower bounds above the budget", bounds(optimize.Bound{Lower: .4, Upper: 1}), least(ctx),
			[]string{"budget", "lower bounds"}, "the lower bounds sum to 1.2, more than the budget of 1"},
		{"upper bounds below the budget", bounds(optimize.Bound{Lower: 0, Upper: .3}), least(ctx),
			[]string{"budget", "upper bounds"}, "the upper bounds sum to 0.9, less than the budget of 1"},
		{
			"bounds of one asset", bounds(optimize.Bound{Upper: 1}, optimize.Bound{Lower: .5, Upper: .3},
				optimize.Bound{Upper: 1}), least(ctx),
			[]string{"bounds of NVDA"}, "the lower bound of NVDA, 0.5, is above its upper bound, 0.3",
		},
		{"a market-neutral portfolio of long positions", func(p *optimize.Problem) {
			p.MarketNeutral = true
			p.Bounds = between(0, 1)
		}, least(ctx), []string{"budget", "lower bounds"},
			"weights that sum to zero need short positions, and no lower bound is below zero"},
		{"a return above the best asset", nil, earning(ctx, .5), []string{"target return", "bounds"},
			"the target return 0.5 is above that of the best asset, 0.37 (NVDA)"},
		{"a return that bounds prevent", bounds(optimize.Bound{Upper: .4}), earning(ctx, .3),
			[]string{"target return", "bounds"},
			"the target return 0.3 is above the highest that the bounds allow, 0.238"},
		{
			"a return that a group prevents", groups(group("tech", 0, .3, 0, 1)), earning(ctx, .3),
			[]string{"budget", "group tech (upper)", "target return", "lower bound of AAPL"},
			"the target return 0.3 is above the highest that the constraints allow, 0.146; what stops it: ",
		},
		{"a volatility below the least", nil, risk(ctx, .05), []string{"target volatility"},
			"the target volatility 0.05 is below the least that the constraints allow, 0.175897"},
		{"a group above its assets", func(p *optimize.Problem) {
			p.Bounds = between(0, .5)
			p.Groups = []optimize.Group{group("tech", .6, 1, 0)}
		}, least(ctx), []string{"group tech", "upper bounds"},
			"group tech must be at least 0.6, and the upper bounds of its assets sum to 0.5"},
		{"a group below its assets", func(p *optimize.Problem) {
			p.Bounds = between(.2, .8)
			p.Groups = []optimize.Group{group("tech", -inf, .3, 0, 1)}
		}, least(ctx), []string{"group tech", "lower bounds"},
			"group tech may be at most 0.3, and the lower bounds of its assets sum to 0.4"},
		{
			"groups that leave nothing", groups(group("tech", 0, .3, 0, 1), group("energy", 0, .4, 2)), least(ctx),
			[]string{"budget", "group tech (upper)", "group energy (upper)"},
			"these constraints contradict each other by at least 0.3: ",
		},
		{
			"the same for the Sharpe ratio", groups(group("tech", 0, .3, 0, 1), group("energy", 0, .4, 2)), sharpe(ctx),
			[]string{"budget", "group tech (upper)", "group energy (upper)"},
			"these constraints contradict each other by at least 0.3: ",
		},
		{"limits of a group", groups(group("tech", .5, .4, 0)), least(ctx), []string{"group tech"},
			"group tech: the lower limit, 0.5, is above the upper one, 0.4"},
		{"equations", func(p *optimize.Problem) {
			p.Linear = []optimize.Linear{{Name: "half", Coefficients: []float64{1, 1, 1}, Lower: .5, Upper: .5}}
		}, least(ctx), []string{"half", "budget"}, "half contradicts budget"},
		{"a risk-free rate above all", func(p *optimize.Problem) { p.RiskFree = .4 }, sharpe(ctx),
			[]string{"risk-free rate"}, "no asset earns more than the risk-free rate of 0.4: the best has 0.37 (NVDA)"},
		{"a risk-free rate above what a group allows", func(p *optimize.Problem) {
			p.RiskFree = .2
			p.Groups = []optimize.Group{group("tech", 0, .3, 0, 1)}
		}, sharpe(ctx), []string{"risk-free rate"},
			"no portfolio within the constraints earns more than the risk-free rate of 0.2: the highest return " +
				"is 0.146"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := small()
			if c.change != nil {
				c.change(&p)
			}
			_, err := c.solve(p)
			var e *optimize.InfeasibleError
			require.ErrorAs(t, err, &e)
			assert.ElementsMatch(t, c.constraints, e.Constraints)
			assert.Contains(t, e.Detail, c.detail)
		})
	}
}

func TestInvalidErrorsNameTheField(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nan := math.NaN()
	for _, c := range []struct {
		name   string
		change func(*optimize.Problem)
		detail string
	}{
		{"a return that is NaN", func(p *optimize.Problem) { p.Returns = []float64{.1, nan, .1} },
			"returns of NVDA: it is NaN"},
		{"a covariance that is NaN", func(p *optimize.Problem) { p.Covariance.SetSym(1, 2, nan) },
			"covariance of NVDA: NaN with XOM"},
		{"an infinite covariance", func(p *optimize.Problem) { p.Covariance.SetSym(2, 2, math.Inf(1)) },
			"covariance of XOM: +Inf with XOM"},
		{"a variance below zero", func(p *optimize.Problem) { p.Covariance.SetSym(2, 2, -1) },
			"covariance of XOM: the variance is -1"},
		{"a covariance that is none", func(p *optimize.Problem) { p.Covariance.SetSym(0, 1, .3) },
			"covariance: not positive semidefinite: its smallest eigenvalue is -0.17"},
		{"no covariance", func(p *optimize.Problem) { p.Covariance = nil }, "covariance: there is none"},
		{"too few returns", func(p *optimize.Problem) { p.Returns = p.Returns[:2] }, "returns: 2 for 3 assets"},
		{"too many bounds", func(p *optimize.Problem) {
			p.Bounds = make([]optimize.Bound, 4)
		}, "bounds: 4 for 3 assets"},
		{"a bound that is NaN", func(p *optimize.Problem) { p.Bounds = between(nan, 1) }, "bounds of AAPL: [NaN, 1]"},
		{"an asset that is not there", func(p *optimize.Problem) { p.Groups = []optimize.Group{group("x", 0, 1, 3)} },
			"group x: there is no asset 3"},
		{"L2 below zero", func(p *optimize.Problem) { p.L2 = -1 }, "l2: -1 is not a number from zero up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := small()
			c.change(&p)
			_, err := optimize.MaxUtility(ctx, p, 1)
			var e *optimize.InvalidError
			require.ErrorAs(t, err, &e)
			assert.Contains(t, e.Error(), c.detail)
		})
	}
	p := small()
	p.Covariance.SetSym(0, 1, .3)
	for _, how := range []quant.RepairMethod{quant.RepairSpectral, quant.RepairDiagonal} {
		p.Repair = how
		got, err := optimize.MinVolatility(ctx, p)
		require.NoError(t, err)
		assert.Contains(t, got.Notes[0], "was repaired")
		keeps(t, p.Constraints, got.Weights)
	}
	_, err := optimize.MinRisk(ctx,
		optimize.Scenarios{
			Names:     []string{"A", "B"},
			Measure:   optimize.CVaR,
			Scenarios: [][]float64{{.1, .2}, {.1, nan}},
		})
	assert.ErrorContains(t, err, "scenarios of B: NaN in period 1")
	_, err = optimize.ReturnForRisk(ctx,
		optimize.Scenarios{Measure: optimize.CVaR, Returns: []float64{.1, .2},
			Scenarios: [][]float64{{-.1, .2, .1}, {.1, -.3, .1}}}, .01)
	var e *optimize.InfeasibleError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, []string{"target risk"}, e.Constraints)
}

var unbounded = optimize.Bound{Lower: math.Inf(-1), Upper: math.Inf(1)}

func TestUnboundedObjectivesAreErrors(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := small()
	p.Bounds = []optimize.Bound{unbounded}
	p.Covariance = mat.NewSymDense(3, []float64{.04, .04, 0, .04, .04, 0, 0, 0, .04})
	var e *optimize.UnboundedError
	_, err := optimize.MaxUtility(ctx, p, 1)
	require.ErrorAs(t, err, &e, "a long and a short position without risk")
	_, err = optimize.MaxSharpe(ctx, p)
	require.ErrorAs(t, err, &e)
	p = small()
	p.Bounds = []optimize.Bound{unbounded}
	p.Returns = []float64{-.3, .3, -.2}
	_, err = optimize.MaxSharpe(ctx, p)
	require.ErrorAs(t, err, &e, "the tangency is on the other side")
	_, err = optimize.RiskParity(ctx, optimize.Problem{Covariance: mat.NewSymDense(2, []float64{1, -1, -1, 1})}, nil)
	require.ErrorAs(t, err, &e)
}

// Degenerate inputs give a valid answer.
func TestDegenerateMarkets(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := rand.New(rand.NewPCG(12, 5))
	base, mu := market(6, 120, 4)
	markets := map[string][][]float64{
		"one asset":               base[:1],
		"the same asset twice":    {base[0], base[0], base[1]},
		"all the same":            {base[0], base[0], base[0]},
		"a series that stands":    {base[0], base[1], make([]float64, 120)},
		"one the double of other": {base[0], scaled(base[0], 2), base[1]},
	}
	var long [][]float64
	for range 40 {
		s := make([]float64, 15)
		for i := range s {
			s[i] = .01 * r.NormFloat64()
		}
		long = append(long, s)
	}
	markets["more assets than days"] = long
	for name, returns := range markets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := quant.Covariance(t.Context(), returns, quant.Daily)
			require.NoError(t, err)
			n := len(returns)
			m := make([]float64, n)
			for i := range m {
				m[i] = .05 + math.Abs(mu[i%len(mu)])
			}
			p := optimize.Problem{Returns: m, Covariance: s, RiskFree: .01}
			solvers := map[string]solver{"least": least(ctx), "utility": utility(ctx, 2), "return": earning(ctx, m[0]),
				"risk": risk(ctx, 1), "frontier": func(p optimize.Problem) (*optimize.Portfolio, error) {
					f, err := optimize.TraceFrontier(ctx, p)
					if err != nil {
						return nil, err
					}
					return f.MaxSharpe(p.RiskFree), nil
				}}
			solvers["sharpe"] = sharpe(ctx) // without end for a series that stands, above the risk-free rate
			for kind, solve := range solvers {
				got, err := solve(p)
				require.NoError(t, err, kind)
				keeps(t, p.Constraints, got.Weights)
			}
			for _, measure := range []optimize.Measure{optimize.CVaR, optimize.CDaR, optimize.Semideviation} {
				got, err := optimize.MinRisk(ctx, optimize.Scenarios{Scenarios: returns, Measure: measure})
				require.NoError(t, err, measure)
				keeps(t, optimize.Constraints{}, got.Weights)
			}
		})
	}
}

// Every problem has weights that satisfy the constraints, or an error of a type.
func TestRandomProblemsEndWell(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := rand.New(rand.NewPCG(13, 5))
	counts := map[string]int{}
	for k := range 600 {
		n := 1 + r.IntN(12)
		p := random(r, n)
		if r.IntN(3) == 0 { // low rank
			root := mat.NewDense(n, 1+r.IntN(n), nil)
			rows, columns := root.Dims()
			for i := range rows {
				for j := range columns {
					root.Set(i, j, r.NormFloat64())
				}
			}
			p.Covariance.SymOuterK(math.Exp(4*r.NormFloat64()), root)
		}
		if r.IntN(2) == 0 {
			p = constrained(r, p)
		}
		switch r.IntN(6) {
		case 0:
			p.MarketNeutral, p.Bounds = true, nil
		case 1:
			p.Bounds = []optimize.Bound{unbounded}
		case 2:
			p.Groups = append(p.Groups, group("random", r.Float64(), 1+r.Float64(), r.IntN(n)))
		case 3:
			p.L2, p.Cost, p.Before = r.ExpFloat64(), .01*r.ExpFloat64(), optimize.EqualWeights(n)
		case 4:
			p.Returns = scaled(p.Returns, math.Exp(5*r.NormFloat64()))
		}
		var got *optimize.Portfolio
		var err error
		kind := k % 6
		switch kind {
		case 0:
			got, err = optimize.MinVolatility(ctx, p)
		case 1:
			got, err = optimize.MaxSharpe(ctx, p)
		case 2:
			got, err = optimize.MaxUtility(ctx, p, math.Exp(2*r.NormFloat64()))
		case 3:
			got, err = optimize.EfficientReturn(ctx, p, .3*r.NormFloat64())
		case 4:
			got, err = optimize.EfficientRisk(ctx, p, .3*r.ExpFloat64())
		case 5:
			p.Cost = 0
			var f *optimize.Frontier
			if f, err = optimize.TraceFrontier(ctx, p); err == nil {
				got = f.MaxSharpe(0)
			}
		}
		if err == nil {
			keeps(t, p.Constraints, got.Weights)
			counts["solved"]++
			continue
		}
		var invalid *optimize.InvalidError
		var infeasible *optimize.InfeasibleError
		var unbounded *optimize.UnboundedError
		typed := errors.As(err, &infeasible) || errors.As(err, &unbounded) || errors.As(err, &invalid)
		assert.True(t, typed, "problem %d of kind %d, %d assets: %v", k, kind, n, err)
	}
	t.Log(counts)
	assert.Greater(t, counts["solved"], 300)
}
