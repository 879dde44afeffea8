package quant

import (
	"errors"
	"fmt"
)

// Rebalance says when the weights of a portfolio are brought back to what they were.
type Rebalance string

// The ways to rebalance.
const (
	RebalanceDaily   Rebalance = "daily"   // before each period
	RebalanceMonthly Rebalance = "monthly" // before the first period of each month
	RebalanceNone    Rebalance = "none"    // never: the weights drift
)

// ErrRuined says that a portfolio with short positions is worth nothing any more, so that returns are not defined
// from there on.
var ErrRuined = errors.New("the portfolio has lost everything")

// PortfolioReturns makes the simple returns of a portfolio from those of its assets: returns[a][t] is asset a in
// period t, all of the same length, without NaN; weights, one for each asset, are ratios of wealth and sum to one,
// negative for short positions. fresh(t) says whether the weights are restored before period t.
//
// Between two restorations each position grows with its asset: the wealth after period t is Σ w(a)·∏(1+r(a)), and the
// return is its growth. With a restoration before each period that is r(t) = Σ w(a)·r(a,t).
func PortfolioReturns(returns [][]float64, weights []float64, fresh func(t int) bool) ([]float64, error) {
	if len(returns) != len(weights) || len(returns) == 0 {
		return nil, fmt.Errorf("%d series of returns for %d weights", len(returns), len(weights))
	}
	n := len(returns[0])
	for _, r := range returns {
		if len(r) != n {
			return nil, fmt.Errorf("series of %d and %d returns", n, len(r))
		}
	}
	out := make([]float64, n)
	positions := make([]float64, len(weights))
	wealth := 1.0
	for t := range n {
		if t == 0 || fresh(t) {
			copy(positions, weights)
			wealth = 0
			for _, w := range weights {
				wealth += w
			}
		}
		gain := 0.0
		for a := range positions {
			g := positions[a] * returns[a][t]
			positions[a] += g
			gain += g
		}
		out[t] = gain / wealth
		if wealth += gain; wealth <= 0 {
			return out[:t+1], fmt.Errorf("in period %d: %w", t+1, ErrRuined)
		}
	}
	return out, nil
}
