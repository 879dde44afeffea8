package optimize_test

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"stega/quant"
	"stega/quant/optimize"
)

// PyPortfolioOpt, tests/test_efficient_frontier.py, test_cla.py and test_hrp.py; the rows of B and C over other
// covariances than the sample's.
func TestValuesOverOtherEstimators(t *testing.T) {
	t.Parallel()
	d, ctx := d20(t), context.Background()
	returns := d.returns()
	p := problem(t)
	with := func(s *mat.SymDense, err error) optimize.Problem {
		require.NoError(t, err)
		out := p
		out.Covariance = s
		return out
	}
	shrunk := func(target quant.ShrinkageTarget) optimize.Problem {
		s, err := quant.LedoitWolf(t.Context(), returns, target, quant.MissingZero, quant.Daily)
		return with(s.Covariance, err)
	}
	semi := with(quant.Semicovariance(t.Context(), returns, 0, quant.MissingZero, quant.Daily))
	t.Run("B21 semicovariance", func(t *testing.T) {
		t.Parallel()
		got, err := optimize.MaxSharpe(ctx, semi)
		requirePortfolio(t, got, err, 1e-5, 0.2762965426962885, 0.07372667096108301, 3.476307004714425)
	})
	t.Run("B22 semicovariance with short positions", func(t *testing.T) {
		t.Parallel()
		p := semi
		p.Bounds = between(-1, 1)
		got, err := optimize.MaxSharpe(ctx, p)
		requirePortfolio(t, got, err, 1e-5, 0.42444834528495234, 0.0898263632679403, 4.50255727350929)
	})
	t.Run("B23 shrunk to a constant correlation", func(t *testing.T) {
		t.Parallel()
		p := shrunk(quant.ConstantCorrelation)
		p.L2 = 1
		got, err := optimize.MinVolatility(ctx, p)
		requirePortfolio(t, got, err, 1e-5, 0.17358178582309983, 0.19563960638632416, 0.7850239972361532)
	})
	t.Run("B24 shrunk to a single factor", func(t *testing.T) {
		t.Parallel()
		got, err := optimize.EfficientReturn(ctx, shrunk(quant.SingleFactor), .22)
		requirePortfolio(t, got, err, 1e-5, 0.22, 0.08892163937693882, 2.2491713085967766)
	})
	t.Run("C4 critical line over the semicovariance", func(t *testing.T) {
		t.Parallel()
		f, err := optimize.TraceFrontier(ctx, semi)
		require.NoError(t, err)
		best := f.MaxSharpe(0)
		best.Sharpe = (best.Return - .02) / best.Volatility
		requirePortfolio(t, best, nil, 1e-4, 0.2721798377099145, 0.07258537193305141, 3.474251505420551)
	})
	t.Run("C5 critical line over the exponential covariance", func(t *testing.T) {
		t.Parallel()
		exponential := with(quant.ExponentialCovariance(t.Context(), returns, nil, quant.Span180, quant.Daily))
		f, err := optimize.TraceFrontier(ctx, exponential)
		require.NoError(t, err)
		best := f.MaxSharpe(0)
		best.Sharpe = (best.Return - .02) / best.Volatility
		requirePortfolio(t, best, nil, 1e-7, 0.32971891062187103, 0.17670121760851704, 1.7527831149871063)
		exponential.Bounds = between(-1, 1)
		got, err := optimize.MinVolatility(ctx, exponential)
		// not in the table
		requirePortfolio(t, got, err, 1e-6, 0.23215576461823062, 0.1325959061825329, 1.6000174569958052)
	})
	t.Run("C9 hierarchical risk parity over a shrunk covariance", func(t *testing.T) {
		t.Parallel()
		s := shrunk(quant.ConstantVariance).Covariance
		w, err := optimize.HierarchicalRiskParity(s, nil, quant.SingleLinkage, d.symbols)
		require.NoError(t, err)
		v := mat.NewVecDense(20, w)
		assert.InEpsilon(t, 0.10002783894982334, math.Sqrt(mat.Inner(v, s, v)), 1e-7)
	})
}

// ffn, tests/test_core.py; rows F30 and F31 with the covariance of Ledoit and Wolf.
func TestShrunkWeightsOfFFN(t *testing.T) {
	t.Parallel()
	d := read(t, "ffn_prices.csv", "1/2/2006")
	var returns [][]float64
	var mu []float64
	for _, p := range d.prices {
		returns = append(returns, quant.Simple(p[:11]))
		mu = append(mu, quant.Mean(returns[len(returns)-1]))
	}
	s, err := quant.LedoitWolf(t.Context(), returns, quant.ConstantVariance, quant.MissingComplete, 1)
	require.NoError(t, err)
	p, err := optimize.MaxSharpe(context.Background(), optimize.Problem{Returns: mu, Covariance: s.Covariance})
	require.NoError(t, err)
	assert.InDeltaSlice(t, []float64{0, 0, 1}, p.Weights, 1e-6, "F30")
	p, err = optimize.RiskParity(context.Background(), optimize.Problem{Covariance: s.Covariance}, nil)
	require.NoError(t, err)
	assert.InDeltaSlice(t, []float64{.270, .374, .356}, p.Weights, 6e-4, "F31")
}
