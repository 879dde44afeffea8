package optimize_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant/optimize"
)

func TestScenarioRisksMatchSorting(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := rand.New(rand.NewPCG(10, 5))
	for k := range 24 {
		n, T := 1+r.IntN(8), 5+r.IntN(150)
		returns, mu := market(n, T, r.Uint64())
		s := optimize.Scenarios{
			Scenarios: returns, Returns: mu,
			Measure:    []optimize.Measure{optimize.CVaR, optimize.CDaR, optimize.Semideviation}[k%3],
			Confidence: .5 + .45*r.Float64(), Held: k%2 == 0,
		}
		least, err := optimize.MinRisk(ctx, s)
		require.NoError(t, err)
		keeps(t, s.Constraints, least.Weights)
		for range 300 {
			w := make([]float64, n)
			sum := 0.0
			for i := range w {
				w[i] = r.ExpFloat64()
				sum += w[i]
			}
			for i := range w {
				w[i] /= sum
			}
			q := s
			q.Bounds = make([]optimize.Bound, n)
			for i, v := range w {
				q.Bounds[i] = optimize.Bound{Lower: v, Upper: v}
			}
			assert.GreaterOrEqual(t, measured(s, w), least.Risk-1e-8)
		}
		assert.InDelta(t, measured(s, least.Weights), least.Risk, 1e-12)
		top := slices.Max(mu)
		target := least.Return + .5*(top-least.Return)
		earning, err := optimize.RiskForReturn(ctx, s, target)
		require.NoError(t, err)
		keeps(t, s.Constraints, earning.Weights)
		assert.GreaterOrEqual(t, earning.Return, target-1e-8)
		if earning.Risk > 0 && earning.Risk > least.Risk*1.001 {
			back, err := optimize.ReturnForRisk(ctx, s, earning.Risk)
			require.NoError(t, err)
			assert.InDelta(t, earning.Return, back.Return, 1e-5)
			assert.LessOrEqual(t, back.Risk, earning.Risk+1e-7)
		}
	}
}

// measured returns the risk of weights, from its definition.
func measured(s optimize.Scenarios, w []float64) float64 {
	T := len(s.Scenarios[0])
	total := make([]float64, T)
	for a, series := range s.Scenarios {
		wealth := 1.0
		for t, r := range series {
			if s.Held && s.Measure == optimize.CDaR {
				total[t] += w[a] * wealth * r
				wealth *= 1 + r
				continue
			}
			total[t] += w[a] * r
		}
	}
	losses := make([]float64, T)
	sum, peak, square := 0.0, 0.0, 0.0
	for t, r := range total {
		losses[t] = -r
		sum += r
		peak = math.Max(peak, sum)
		if s.Measure == optimize.CDaR {
			losses[t] = peak - sum
		}
		square += math.Min(r, 0) * math.Min(r, 0)
	}
	if s.Measure == optimize.Semideviation {
		return math.Sqrt(252 * square / float64(T))
	}
	best := math.Inf(1)
	for _, a := range losses { // the value at risk is one of the losses
		excess := 0.0
		for _, l := range losses {
			excess += math.Max(0, l-a)
		}
		best = math.Min(best, a+excess/float64(T)/(1-s.Confidence))
	}
	return best
}
