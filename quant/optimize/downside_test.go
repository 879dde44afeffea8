package optimize_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant"
	"stega/quant/optimize"
)

// sampled keeps the first price of each symbol in each period, as pandas' resample().first() does. period returns the
// end of the period of a day.
func (d *table) sampled(period func(time.Time) time.Time) *table {
	out := &table{symbols: d.symbols, prices: make([][]float64, len(d.prices))}
	for t, date := range d.dates {
		end := period(date)
		if k := len(out.dates); k == 0 || !out.dates[k-1].Equal(end) {
			out.dates = append(out.dates, end)
			for i := range out.prices {
				out.prices[i] = append(out.prices[i], math.NaN())
			}
		}
		for i, p := range d.prices {
			if last := len(out.dates) - 1; math.IsNaN(out.prices[i][last]) {
				out.prices[i][last] = p[t]
			}
		}
	}
	return out
}

// sunday reports the end of a week by pandas' rule W.
func sunday(t time.Time) time.Time { return t.AddDate(0, 0, (7-int(t.Weekday()))%7) }

func monthEnd(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC)
}

// PyPortfolioOpt, tests/test_efficient_cvar.py, test_efficient_cdar.py and test_efficient_semivariance.py; rows C12
// to C24.
func TestDownsideValues(t *testing.T) {
	t.Parallel()
	d := d20(t)
	// "setup": the days on which all have a price, and the expected returns over them.
	whole := &table{symbols: d.symbols, prices: complete(d.prices)}
	setup := optimize.Scenarios{Names: d.symbols, Returns: whole.geometric(quant.Daily), Scenarios: whole.returns(),
		RiskFree: .02}
	daily := setup // the expected returns over all days
	daily.Returns = d.geometric(quant.Daily)
	daily.Scenarios = complete(d.returns())
	frequency := func(period func(time.Time) time.Time, periods float64) optimize.Scenarios {
		s := d.sampled(period)
		out := setup
		out.Returns, out.Scenarios, out.Periods = s.geometric(periods), complete(s.returns()), periods
		return out
	}
	weekly, monthly := frequency(sunday, quant.Weekly), frequency(monthEnd, quant.Monthly)
	const cvar, cdar, semi = optimize.CVaR, optimize.CDaR, optimize.Semideviation
	type ask = func(context.Context, optimize.Scenarios, float64) (*optimize.Portfolio, error)
	minimum := func(ctx context.Context, s optimize.Scenarios, _ float64) (*optimize.Portfolio, error) {
		return optimize.MinRisk(ctx, s)
	}
	forReturn, forRisk, utility := optimize.RiskForReturn, optimize.ReturnForRisk, optimize.MaxSemiUtility
	for _, c := range []struct {
		name       string
		scenarios  optimize.Scenarios
		measure    optimize.Measure
		solve      ask
		target     float64
		bounds     []optimize.Bound
		want       []float64 // return, risk, and the ratio of the return above .02 to risk
		rtol, atol float64
	}{
		{"C12 least CVaR", daily, cvar, minimum, 0, nil, []float64{0.17745746040573562, 0.017049502122532853}, 1e-4,
			1e-4},
		{"C13 CVaR for a return of .2", daily, cvar, forReturn, .2, nil, []float64{0.2, 0.017222}, 1e-4, 1e-6},
		{"C14 weekly", weekly, cvar, forReturn, .2, nil, []float64{0.2, 0.03447723250708958}, 1e-4, 1e-6},
		{"C15 monthly", monthly, cvar, forReturn, .2, nil, []float64{0.2, 0.02343809217822161}, 1e-4, 1e-6},
		{"C17 return for a CVaR of .02", setup, cvar, forRisk, .02, nil, []float64{0.2267893986249195, 0.02}, 1e-4,
			1e-6},
		{"C19 CVaR for a return of .25", setup, cvar, forReturn, .25, nil, []float64{0.25, 0.021036631225933487}, 1e-4,
			1e-6},
		{"C20 short positions", setup, cvar, forReturn, .26, between(-3, 3), []float64{0.26, 0.01804624747353764},
			1e-4, 1e-6},
		{"C21 least CDaR", setup, cdar, minimum, 0, nil, []float64{0.14798, 0.056433}, 1e-4, 1e-4},
		{"C22 CDaR for a return of .2", setup, cdar, forReturn, .2, nil, []float64{0.2, 0.063709}, 1e-4, 1e-6},
		{"C22 CDaR for a return of .25", setup, cdar, forReturn, .25, nil, []float64{0.25, 0.076193}, 1e-4, 1e-6},
		{"C22 return for a CDaR of .08", setup, cdar, forRisk, .08, nil, []float64{0.261922, 0.08}, 1e-4, 1e-6},
		{"C23 semideviation for a return of .2", setup, semi, forReturn, .2, nil, []float64{0.20, 0.091287, 1.971794},
			1e-4, 1e-4},
		{"C23 least semideviation", setup, semi, minimum, 0, nil, []float64{0.091059, 0.084974, 0.836243}, 1e-3, 1e-3},
		{"C23 utility", setup, semi, utility, 2, nil, []float64{0.50857, 0.17469, 2.796777}, 1e-4, 1e-4},
		{"C24 weekly", weekly, semi, forReturn, .2, nil, []float64{0.2, 0.07667633475531543, 2.3475307841574087}, 1e-4,
			1e-4},
		{"C24 monthly", monthly, semi, forReturn, .3, nil, []float64{0.3, 0.04746519522734184, 5.899059271933824},
			1e-4, 1e-4},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.scenarios
			s.Measure, s.Bounds = c.measure, c.bounds
			start := time.Now()
			p, err := c.solve(context.Background(), s, c.target)
			require.NoError(t, err)
			t.Log(time.Since(start), p.Iterations, p.Gap, len(s.Scenarios[0]))
			got := []float64{p.Return, p.Risk, (p.Return - .02) / p.Risk}
			for i, w := range c.want {
				assert.InDelta(t, w, got[i], c.atol+c.rtol*math.Abs(w))
			}
		})
	}
	t.Run("the highest return for a semideviation is the return that has it as its least", func(t *testing.T) {
		t.Parallel()
		s := setup
		s.Measure = semi
		p, err := optimize.ReturnForRisk(context.Background(), s, 0.091287)
		require.NoError(t, err)
		assert.InDelta(t, .2, p.Return, 2e-4) // the risk has six digits
		assert.True(t, slices.ContainsFunc(p.Active, func(a optimize.Active) bool {
			return a.Constraint == "target risk"
		}))
	})
}

// The least risk of a market-neutral portfolio is 0. All scenarios are then at one corner, and the border holds only
// a few of them. A border of all of them took minutes and a gigabyte for ten thousand scenarios.
func TestANeutralPortfolioOfLeastRiskIsEmpty(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	s := optimize.Scenarios{Scenarios: make([][]float64, 3), Constraints: optimize.Constraints{MarketNeutral: true}}
	for range 10_000 {
		market := .01 * r.NormFloat64()
		for a := range s.Scenarios {
			s.Scenarios[a] = append(s.Scenarios[a], .0004+market+.01*r.NormFloat64())
		}
	}
	for _, s.Measure = range []optimize.Measure{optimize.CVaR, optimize.CDaR, optimize.Semideviation} {
		p, err := optimize.MinRisk(t.Context(), s)
		require.NoError(t, err, s.Measure)
		assert.Equal(t, []float64{0, 0, 0}, p.Weights, s.Measure)
		assert.Zero(t, p.Risk, s.Measure)
		assert.Zero(t, p.Volatility, s.Measure)
	}
}
