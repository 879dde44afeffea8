package quant

import (
	"errors"
	"fmt"
)

// Rebalance names when the weights of a portfolio are restored to their targets.
type Rebalance string

// The rebalancing schedules.
const (
	RebalanceDaily   Rebalance = "daily"   // before each period
	RebalanceMonthly Rebalance = "monthly" // before the first period of each month
	RebalanceNone    Rebalance = "none"    // never: the weights drift
)

// ErrRuined reports that a portfolio with short positions has lost all its wealth, so that later returns are
// undefined.
var ErrRuined = errors.New("the portfolio has lost everything")

// PortfolioReturns returns the simple returns of a portfolio. returns[a][t] is the return of asset a in period t, all
// series of one length and without NaN. weights has one ratio of wealth for each asset; they sum to one, and short
// positions are negative. rebalance(t) reports whether the weights are restored before period t. Series that do not
// fit together are an error, and so is ErrRuined.
//
// Between two restorations each position grows with its asset. Wealth after period t is Σ w(a)·∏(1+r(a)), and the
// return is its growth. With a restoration before each period, r(t) = Σ w(a)·r(a,t).
func PortfolioReturns(returns [][]float64, weights []float64, rebalance func(t int) bool) ([]float64, error) {
	if len(returns) != len(weights) || len(returns) == 0 {
		return nil, fmt.Errorf("%d series of returns for %d weights", len(returns), len(weights))
	}
	n := len(returns[0])
	for _, r := range returns {
		if len(r) != n {
			return nil, fmt.Errorf("series have %d and %d returns", n, len(r))
		}
	}
	out := make([]float64, n)
	positions := make([]float64, len(weights))
	wealth := 1.0
	for t := range n {
		if t == 0 || rebalance(t) {
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
