package quant

import (
	"fmt"
	"math"
)

// GeometricReturn returns the geometric annual return over the observations: (∏(1+r))^(periods/n) − 1, with n their
// number. It is −1 after a total loss, and NaN without an observation. Unlike in AnnualReturn, no time passes in a
// missing period: assets may have histories of different lengths (mean_historical_return of PyPortfolioOpt,
// Return.annualized of PerformanceAnalytics).
func GeometricReturn(returns []float64, periods float64) float64 {
	n := 0
	for _, r := range returns {
		if !math.IsNaN(r) {
			n++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	wealth := growth(returns)
	if wealth <= 0 {
		return -1
	}
	return math.Pow(wealth, periods/float64(n)) - 1
}

// ArithmeticReturn returns the mean of the observed returns times periods.
func ArithmeticReturn(returns []float64, periods float64) float64 { return Mean(returns) * periods }

// Compounding names how a mean return per period becomes an annual return.
type Compounding string

// The ways to annualize.
const (
	Geometric  Compounding = "geometric"  // (1+r)^periods − 1; for a series, its geometric return
	Arithmetic Compounding = "arithmetic" // r·periods
)

// annual returns the annual return of a mean return per period.
func (c Compounding) annual(mean, periods float64) float64 {
	if c == Geometric {
		return math.Pow(1+mean, periods) - 1
	}
	return mean * periods
}

// ExponentialReturn returns the annualized mean of the observed returns with weights (1−α)^(T−1−t), α = 2/(span+1):
// ema_historical_return of PyPortfolioOpt, whose span is Span500. It is NaN without an observation or for a span
// below 1.
func ExponentialReturn(returns []float64, span float64, compounding Compounding, periods float64) float64 {
	if !(span >= 1) {
		return math.NaN()
	}
	sum, weights, keep := 0.0, 0.0, 1-2/(span+1)
	for _, r := range returns {
		sum, weights = sum*keep, weights*keep
		if !math.IsNaN(r) {
			sum, weights = sum+r, weights+1
		}
	}
	return compounding.annual(sum/weights, periods)
}

// CAPMReturns returns the annual returns that the capital asset pricing model expects of returns[a][t]: rf +
// β·(E(market) − rf), one for each asset. rf is annual. β = cov(asset, market)/var(market), the covariance over the
// common periods and the variance over all periods of the market. E(market) is the market's annual return by the
// given compounding. A nil market means the mean of the observed assets in each period. An asset with fewer than two
// common periods is NaN. Errors: ErrLength.
//
// Source: Sharpe (1964), as capm_return of PyPortfolioOpt.
func CAPMReturns(returns [][]float64, market []float64, rf float64, compounding Compounding,
	periods float64) ([]float64, error) {
	days, err := sameLength(returns)
	if err != nil {
		return nil, err
	}
	if market == nil {
		market = make([]float64, days)
		row := make([]float64, len(returns))
		for t := range market {
			for i, r := range returns {
				row[i] = r[t]
			}
			market[t] = Mean(row)
		}
	}
	if len(returns) > 0 && len(market) != days {
		return nil, fmt.Errorf("%w: %d periods of the market, %d of the assets", ErrLength, len(market), days)
	}
	expected := ArithmeticReturn(market, periods)
	if compounding == Geometric {
		expected = GeometricReturn(market, periods)
	}
	sd := Deviation(market)
	out := make([]float64, len(returns))
	for i, r := range returns {
		p := pairMomentsOf(r, market)
		out[i] = rf + p.xy/(p.n-1)/(sd*sd)*(expected-rf)
	}
	return out, nil
}
