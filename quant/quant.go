// Package quant computes the measures of the suite: pure functions on float64 slices and symmetric matrices, without
// input or output.
//
// Returns are ratios per period: 0.01 is 1 %. A NaN among returns is a period without an observation: the period
// passes, and no value counts. An undefined result, such as the deviation of one value, is NaN. No function panics on
// the values that prices can have. Functions whose arguments may not fit together return an error.
//
// The conventions are those of empyrical (stefan-jansen/empyrical-reloaded) unless a comment names another source;
// the tests repeat empyrical's test values. Bacon's measures and values at risk follow PerformanceAnalytics. Expected
// returns and covariances follow PyPortfolioOpt and pandas.
//
// Series come as returns[a][t], asset a in period t. NewCoMoments computes their covariances and correlations.
// Running computes the same from days that arrive one by one, late or corrected.
package quant

import "math"

// Daily, Weekly and Monthly are the numbers of periods in a year.
const (
	Daily   = 252.0
	Weekly  = 52.0
	Monthly = 12.0
)

// Simple returns the n−1 simple returns of n prices: r(t) = p(t)/p(t−1) − 1.
func Simple(prices []float64) []float64 {
	if len(prices) < 2 {
		return []float64{}
	}
	r := make([]float64, len(prices)-1)
	for i := range r {
		r[i] = prices[i+1]/prices[i] - 1
	}
	return r
}

// Log returns the log returns of simple returns: ln(1+r).
func Log(returns []float64) []float64 {
	out := make([]float64, len(returns))
	for i, r := range returns {
		out[i] = math.Log1p(r)
	}
	return out
}

// Cumulative returns the cumulative return after each period: ∏(1+r) − 1.
func Cumulative(returns []float64) []float64 {
	out := make([]float64, len(returns))
	wealth, slack := 1.0, 0.0
	for i, r := range returns {
		if !math.IsNaN(r) {
			wealth *= 1 + r
			slack += roundingOf(r)
		}
		out[i] = snapped(wealth, slack) - 1
	}
	return out
}

// Drawdown returns the drawdown after each period: wealth/peak − 1, at most 0, with the start among the peaks.
func Drawdown(returns []float64) []float64 {
	out := make([]float64, len(returns))
	w := newWalk()
	last := 0.0
	for i, r := range returns {
		if !math.IsNaN(r) {
			last = w.step(r)
		}
		out[i] = last
	}
	return out
}

// CumulativeReturn returns ∏(1+r) − 1 over all periods; 0 without periods.
func CumulativeReturn(returns []float64) float64 { return growth(returns) - 1 }

// growth returns ∏(1+r) over the observations, 1 exactly where the difference is only rounding.
func growth(returns []float64) float64 {
	wealth, slack := 1.0, 0.0
	for _, r := range returns {
		if !math.IsNaN(r) {
			wealth *= 1 + r
			slack += roundingOf(r)
		}
	}
	return snapped(wealth, slack)
}

// roundingOf returns the relative error that a return may add to a product of 1+r: the rounding of the product, and the
// rounding of the return itself, which weighs more the less wealth is left.
func roundingOf(r float64) float64 {
	return 0x1p-52 * math.Min(1+(1+math.Abs(r))/math.Abs(1+r), 1<<32)
}

// snapped returns wealth, or 1 exactly where the difference is only rounding: a price that returns to its start has
// no return.
func snapped(wealth, slack float64) float64 {
	if math.Abs(wealth-1) <= slack {
		return 1
	}
	return wealth
}

// walk follows wealth and its peak. A price returns to its high exactly, but the product of its returns only nearly.
// So wealth that differs from the peak by rounding counts as the peak.
type walk struct {
	wealth, peak float64
	slack        float64 // rounding of the returns since the peak
}

func newWalk() walk { return walk{wealth: 1, peak: 1} }

// step applies a return and returns the drawdown after it: 0 at a peak.
func (w *walk) step(r float64) float64 {
	w.wealth *= 1 + r
	w.slack += roundingOf(r)
	down := w.wealth/w.peak - 1
	if down < -w.slack {
		return down
	}
	w.peak = math.Max(w.wealth, w.peak)
	w.wealth, w.slack = w.peak, 0
	return 0
}

// AnnualReturn returns the geometric annual return: (∏(1+r))^(periods/n) − 1. n counts all periods, also those
// without an observation. The result is −1 after a total loss, and NaN without periods.
func AnnualReturn(returns []float64, periods float64) float64 {
	if len(returns) == 0 {
		return math.NaN()
	}
	wealth := growth(returns)
	if wealth <= 0 {
		return -1
	}
	return math.Pow(wealth, periods/float64(len(returns))) - 1
}

// Mean returns the mean of the observed values; NaN without any.
func Mean(values []float64) float64 {
	sum, n := 0.0, 0
	for _, v := range values {
		if !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	return sum / float64(n) // 0/0 is NaN
}

// Deviation returns the sample standard deviation, over n−1, of the observed values; NaN for fewer than two. It is
// exactly 0 for a constant series.
func Deviation(values []float64) float64 {
	mean := Mean(values)
	sum, n := 0.0, 0
	constant, first := true, math.NaN()
	for _, v := range values {
		if math.IsNaN(v) {
			continue
		}
		if n == 0 {
			first = v
		}
		constant = constant && v == first
		sum += (v - mean) * (v - mean)
		n++
	}
	switch {
	case n < 2:
		return math.NaN()
	case constant:
		return 0
	}
	return math.Sqrt(sum / float64(n-1))
}

// AnnualVolatility returns the annual standard deviation of returns: sd(r)·√periods.
func AnnualVolatility(returns []float64, periods float64) float64 {
	return Deviation(returns) * math.Sqrt(periods)
}

// Over returns the returns minus a rate per period.
func Over(returns []float64, rate float64) []float64 {
	out := make([]float64, len(returns))
	for i, r := range returns {
		out[i] = r - rate
	}
	return out
}

// Sharpe returns mean(r−rf)/sd(r−rf)·√periods, with rf per period (Sharpe 1994). A constant excess gives infinity, or
// NaN when the excess is 0.
func Sharpe(returns []float64, rf, periods float64) float64 {
	excess := Over(returns, rf)
	return Mean(excess) / Deviation(excess) * math.Sqrt(periods)
}

// DownsideRisk returns the annual deviation below a required return per period: √(mean(min(r−required,
// 0)²))·√periods, over all observations (Sortino and van der Meer 1991).
func DownsideRisk(returns []float64, required, periods float64) float64 {
	sum, n := 0.0, 0
	for _, r := range returns {
		if math.IsNaN(r) {
			continue
		}
		short := math.Min(r-required, 0)
		sum += short * short
		n++
	}
	return math.Sqrt(sum/float64(n)) * math.Sqrt(periods)
}

// Sortino returns mean(r−required)·periods / DownsideRisk; infinity without a shortfall.
func Sortino(returns []float64, required, periods float64) float64 {
	return Mean(Over(returns, required)) * periods / DownsideRisk(returns, required, periods)
}

// deeper reports whether drawdown a is deeper than b by more than rounding. Of two equal drawdowns, the earlier one
// counts.
func (w *walk) deeper(a, b float64) bool { return a < b-w.slack }

// MaxDrawdown returns the depth of the worst drawdown, at most 0, and three indexes of returns. start is the return
// after which wealth peaked (−1: the start itself). trough is the return after which wealth was lowest. end is the
// return after which the peak was reached again (−1: never). Without a loss, all three are −1.
func MaxDrawdown(returns []float64) (depth float64, start, trough, end int) {
	start, trough, end = -1, -1, -1
	w, at := newWalk(), -1
	for i, r := range returns {
		if math.IsNaN(r) {
			continue
		}
		d := w.step(r)
		if d == 0 {
			at = i
			if trough >= 0 && end < 0 { // wealth has recovered the lost peak
				end = i
			}
		}
		if w.deeper(d, depth) {
			depth, start, trough, end = d, at, i, -1
		}
	}
	return depth, start, trough, end
}

// Calmar returns the annual return divided by the depth of the worst drawdown (Young 1991); NaN without a drawdown.
func Calmar(returns []float64, periods float64) float64 {
	depth, _, _, _ := MaxDrawdown(returns)
	if depth >= 0 {
		return math.NaN()
	}
	return AnnualReturn(returns, periods) / -depth
}

// PerPeriod returns the rate per period that compounds to an annual rate: (1+rate)^(1/periods) − 1.
func PerPeriod(annual, periods float64) float64 { return math.Pow(1+annual, 1/periods) - 1 }
