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

func TestCostsReduceTrades(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := rand.New(rand.NewPCG(15, 5))
	for range 20 {
		n := 3 + r.IntN(15)
		p := random(r, n)
		p.Before = optimize.EqualWeights(n)
		p.Cost = .02 * r.Float64()
		net := func(w []float64) float64 {
			traded := 0.0
			for i, v := range w {
				traded += math.Abs(v - p.Before[i])
			}
			return (product(w, p.Returns) - p.Cost*traded - p.RiskFree) / math.Sqrt(variance(p.Covariance, w))
		}
		best, err := optimize.MaxSharpe(ctx, p)
		require.NoError(t, err)
		keeps(t, p.Constraints, best.Weights)
		free := p
		free.Cost = 0
		without, err := optimize.MaxSharpe(ctx, free)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, net(best.Weights), net(without.Weights)-1e-9)
		assert.GreaterOrEqual(t, net(best.Weights), net(p.Before)-1e-9)
		for range 300 {
			w := make([]float64, n)
			sum := 0.0
			for i := range w {
				w[i] = best.Weights[i] + .05*r.ExpFloat64()*float64(r.IntN(2))
				sum += w[i]
			}
			for i := range w {
				w[i] /= sum
			}
			assert.LessOrEqual(t, net(w), net(best.Weights)+1e-8)
		}
		p.Cost = 10
		stays, err := optimize.MinVolatility(ctx, p)
		require.NoError(t, err)
		assert.InDeltaSlice(t, p.Before, stays.Weights, 1e-7, "dear trades are not made")
	}
}

func TestLongRunsStopWithTheirContext(t *testing.T) {
	t.Parallel()
	returns, mu := market(30, 200, 2)
	s, err := quant.Covariance(t.Context(), returns, quant.Daily)
	require.NoError(t, err)
	scenarios := optimize.Scenarios{Scenarios: returns, Returns: mu, Measure: optimize.CDaR}
	p := optimize.Problem{Returns: mu, Covariance: s}
	for name, run := range map[string]func(context.Context, func(optimize.Progress)) error{
		"frontier": func(ctx context.Context, seen func(optimize.Progress)) error {
			p := p
			p.Progress = seen
			_, err := optimize.TraceFrontier(ctx, p)
			return err
		},
		"Sharpe": func(ctx context.Context, seen func(optimize.Progress)) error {
			p := p
			p.Progress = seen
			_, err := optimize.MaxSharpe(ctx, p)
			return err
		},
		"parity": func(ctx context.Context, seen func(optimize.Progress)) error {
			p := p
			p.Progress = seen
			_, err := optimize.RiskParity(ctx, p, nil)
			return err
		},
		"drawdown": func(ctx context.Context, seen func(optimize.Progress)) error {
			s := scenarios
			s.Progress = seen
			_, err := optimize.MinRisk(ctx, s)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			count := 0
			err := run(ctx, func(p optimize.Progress) {
				if count++; p.Iteration == 2 {
					cancel()
				}
			})
			require.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, 3, count)
		})
	}
}

func TestActiveConstraintsHaveTheirPrice(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := small()
	p.Groups = []optimize.Group{{Name: "tech", Assets: []int{0, 1}, Lower: 0, Upper: .3}}
	got, err := optimize.MaxUtility(ctx, p, 2)
	require.NoError(t, err)
	require.NotEmpty(t, got.Active)
	p.Groups[0].Upper += 1e-5
	more, err := optimize.MaxUtility(ctx, p, 2)
	require.NoError(t, err)
	utility := func(p *optimize.Portfolio) float64 { return p.Return - p.Volatility*p.Volatility }
	for _, a := range got.Active {
		if a.Constraint == "group tech (upper)" {
			assert.InEpsilon(t, (utility(more)-utility(got))/1e-5, a.Price, 1e-2)
			return
		}
	}
	t.Fatal("the group is not active", got.Active)
}

func TestWeightsThatNeedNoSolver(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []float64{.25, .25, .25, .25}, optimize.EqualWeights(4))
	_, err := optimize.HierarchicalRiskParity(mat.NewSymDense(2, []float64{1, 0, 0, 0}), nil, quant.SingleLinkage,
		[]string{"A", "B"})
	assert.EqualError(t, err, "covariance of B: the variance is 0: leave out assets that do not move")
	assert.InDelta(t, (5+.5*4)/1.5, optimize.TailMean([]float64{1, 5, 4, 2, 3}, .7), 1e-12)
}
