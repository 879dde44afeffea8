package optimize_test

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant/optimize"
)

// PyPortfolioOpt, tests/test_cla.py; rows C1 to C5. Its algorithm maximises wᵀμ/σ without the risk-free rate.
func TestCriticalLineValues(t *testing.T) {
	t.Parallel()
	p := problem(t)
	f, err := optimize.TraceFrontier(context.Background(), p)
	require.NoError(t, err)
	t.Log(len(f.Corners), "corners")
	best := f.MaxSharpe(0)
	best.Sharpe = (best.Return - .02) / best.Volatility
	requirePortfolio(t, best, nil, 1e-7, 0.2994470912768992, 0.21764331657015668, 1.283968171780824)               // C1
	requirePortfolio(t, f.MinVolatility(), nil, 1e-9, 0.1505682139948257, 0.15915084514118688, 0.8204054077060994) // C3
	requirePortfolio(t, f.MaxSharpe(.02), nil, 1e-6, 0.3047768672819914, 0.22165566922402932, 1.2847714127003216)  // B5
	at, err := f.AtReturn(.25)
	requirePortfolio(t, at, err, 1e-6, .25, 0.18723269942026335, 1.2284179030274036) // B16

	p.Bounds = between(-1, 1)
	f, err = optimize.TraceFrontier(context.Background(), p)
	require.NoError(t, err)
	t.Log(len(f.Corners), "corners")
	best = f.MaxSharpe(0)
	best.Sharpe = (best.Return - .02) / best.Volatility
	// not in the table
	requirePortfolio(t, best, nil, 1e-7, 0.44859872371106785, 0.26762066559448255, 1.601515797589826)

	p.Bounds = []optimize.Bound{unbounded}
	f, err = optimize.TraceFrontier(context.Background(), p)
	require.NoError(t, err)
	assert.Len(t, f.Corners, 1)
	assert.True(t, math.IsInf(f.Highest(), 1))
	requirePortfolio(t, f.MinVolatility(), nil, 1e-9, 0.1516319319875544, 0.1555915367269669, 0.8460095886741129) // B2
	requirePortfolio(t, f.MaxSharpe(.02), nil, 1e-7, 0.4937195216716211, 0.29516576454651955, 1.6049270564945908) // B6
}
