package quant

import (
	"fmt"
	"math"
)

// GeometricReturn is the annual growth over the observations there are: (∏(1+r))^(periods/n) − 1 with n their number.
// It is −1 when everything is lost, and NaN without one. Unlike AnnualReturn, a missing period is not time that
// passes: it is the expected return of an asset with a history of its own (mean_historical_return of PyPortfolioOpt,
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

// ArithmeticReturn is the mean of the returns there are times periods.
func ArithmeticReturn(returns []float64, periods float64) float64 { return Mean(returns) * periods }

// Compounding says how a mean return per period becomes an annual one.
type Compounding string

// The ways to make it annual.
const (
	Geometric  Compounding = "geometric"  // (1+r)^periods − 1; of a series, its growth
	Arithmetic Compounding = "arithmetic" // r·periods
)

func (c Compounding) annual(mean, periods float64) float64 {
	if c == Geometric {
		return math.Pow(1+mean, periods) - 1
	}
	return mean * periods
}

// ExponentialReturn is the mean of returns with weights (1−α)^(T−1−t), α = 2/(span+1), over the observations there
// are, made annual: ema_historical_return of PyPortfolioOpt, whose span is Span500. It is NaN without an observation
// or for a span below 1.
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

// CAPMReturns are the returns that the capital asset pricing model expects of returns[a][t]: rf + β·(E(market) − rf),
// with an annual rf, β = cov(asset, market)/var(market), the covariance over the common periods and the variance over
// all of the market, and E(market) the market's annual return, compounded or not. Without a market (nil), it is the
// mean of the assets that are observed. This is capm_return of PyPortfolioOpt (Sharpe 1964). ErrLength. An asset
// without two periods in common with the market has NaN.
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
		p := pairOf(r, market)
		out[i] = rf + p.xy/(p.n-1)/(sd*sd)*(expected-rf)
	}
	return out, nil
}
