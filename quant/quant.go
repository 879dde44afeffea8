// Package quant is the mathematics of the suite: pure functions on float64 slices and symmetric matrices, without
// input or output. Returns are ratios per period, 0.01 is 1 %. A NaN among returns is a period without an
// observation: it counts as time, and not as a value. A result that is not defined, such as the deviation of one
// value, is NaN; none of the functions panics on what prices can be. Functions that can be given what does not fit
// together return an error.
//
// Conventions, where nothing else is said, are those of empyrical (stefan-jansen/empyrical-reloaded), whose test
// figures the tests of this package repeat. Measures of Bacon's book and values at risk follow PerformanceAnalytics,
// expected returns and covariances PyPortfolioOpt and pandas.
//
// Many series are given as returns[a][t], asset a in period t. NewCoMoments is the way from them to covariances and
// correlations; Running is the same for days that come one by one, late or corrected.
package quant

import "math"

// Periods a year.
const (
	Daily   = 252.0
	Weekly  = 52.0
	Monthly = 12.0
)

// Simple makes the n−1 simple returns of n prices: r(t) = p(t)/p(t−1) − 1.
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

// Log makes log returns of simple ones: ln(1+r).
func Log(returns []float64) []float64 {
	out := make([]float64, len(returns))
	for i, r := range returns {
		out[i] = math.Log1p(r)
	}
	return out
}

// Cumulative makes the return since the start after each period: ∏(1+r) − 1.
func Cumulative(returns []float64) []float64 {
	out := make([]float64, len(returns))
	wealth, slack := 1.0, 0.0
	for i, r := range returns {
		if !math.IsNaN(r) {
			wealth *= 1 + r
			slack += slackOf(r)
		}
		out[i] = settled(wealth, slack) - 1
	}
	return out
}

// Drawdown makes, after each period, the loss since the highest wealth so far, the start included: wealth/peak − 1,
// at most 0.
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

// CumulativeReturn is ∏(1+r) − 1 over all periods; 0 for none.
func CumulativeReturn(returns []float64) float64 { return growth(returns) - 1 }

func growth(returns []float64) float64 {
	wealth, slack := 1.0, 0.0
	for _, r := range returns {
		if !math.IsNaN(r) {
			wealth *= 1 + r
			slack += slackOf(r)
		}
	}
	return settled(wealth, slack)
}

// slackOf is what a return may add to the relative error of a product of 1+r: the rounding of the product, and that
// of the return itself, whose absolute error weighs the more the less is left.
func slackOf(r float64) float64 {
	return 0x1p-52 * math.Min(1+(1+math.Abs(r))/math.Abs(1+r), 1<<32)
}

// settled is wealth, 1 exactly where the difference is only rounding: a price that comes back to where it was has no
// return.
func settled(wealth, slack float64) float64 {
	if math.Abs(wealth-1) <= slack {
		return 1
	}
	return wealth
}

// walk follows wealth and its peak. A price that comes back to its high does so exactly and the product of its
// returns only nearly, so what differs from the peak by their rounding is the peak.
type walk struct {
	wealth, peak float64
	slack        float64 // of the returns since the peak
}

func newWalk() walk { return walk{wealth: 1, peak: 1} }

// step takes a return, and is the drawdown after it: 0 at a peak.
func (w *walk) step(r float64) float64 {
	w.wealth *= 1 + r
	w.slack += slackOf(r)
	down := w.wealth/w.peak - 1
	if down < -w.slack {
		return down
	}
	w.peak = math.Max(w.wealth, w.peak)
	w.wealth, w.slack = w.peak, 0
	return 0
}

// AnnualReturn is the geometric mean of growth a year: (∏(1+r))^(periods/n) − 1, with n the number of periods, those
// without an observation included. It is −1 when everything is lost, and NaN without periods.
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

// Mean is the mean of the values that are there.
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

// Deviation is the sample standard deviation, with n−1, of the values that are there; NaN for fewer than two. The
// values of a constant series have deviation 0 exactly.
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

// AnnualVolatility is the deviation of returns a year: sd(r)·√periods.
func AnnualVolatility(returns []float64, periods float64) float64 {
	return Deviation(returns) * math.Sqrt(periods)
}

// Over takes a rate per period from returns.
func Over(returns []float64, rate float64) []float64 {
	out := make([]float64, len(returns))
	for i, r := range returns {
		out[i] = r - rate
	}
	return out
}

// Sharpe is mean(r−rf)/sd(r−rf)·√periods, with rf per period (Sharpe 1994). A constant excess has an infinite one, or
// NaN when it is 0.
func Sharpe(returns []float64, rf, periods float64) float64 {
	excess := Over(returns, rf)
	return Mean(excess) / Deviation(excess) * math.Sqrt(periods)
}

// DownsideRisk is the annual deviation below what is required per period: √(mean(min(r−required, 0)²))·√periods, over
// all observations (Sortino and van der Meer 1991).
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

// Sortino is mean(r−required)·periods / DownsideRisk. Without a shortfall it is infinite.
func Sortino(returns []float64, required, periods float64) float64 {
	return Mean(Over(returns, required)) * periods / DownsideRisk(returns, required, periods)
}

// deeper reports whether a drawdown is deeper than another by more than rounding, so that of two that are alike the
// earlier counts.
func (w *walk) deeper(a, b float64) bool { return a < b-w.slack }

// MaxDrawdown is the worst drawdown, at most 0, with the periods of it: start is the index of the return after which
// wealth was highest before (−1: the start itself), trough that of the lowest after, and end that of the first after
// which the peak is reached again (−1: never). Without a loss, all three are −1.
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
			if trough >= 0 && end < 0 { // of the peak that was lost there was none higher since
				end = i
			}
		}
		if w.deeper(d, depth) {
			depth, start, trough, end = d, at, i, -1
		}
	}
	return depth, start, trough, end
}

// Calmar is the annual return over the depth of the worst drawdown (Young 1991); NaN without a drawdown.
func Calmar(returns []float64, periods float64) float64 {
	depth, _, _, _ := MaxDrawdown(returns)
	if depth >= 0 {
		return math.NaN()
	}
	return AnnualReturn(returns, periods) / -depth
}

// PerPeriod is what an annual rate is per period, compounded: (1+rate)^(1/periods) − 1.
func PerPeriod(annual, periods float64) float64 { return math.Pow(1+annual, 1/periods) - 1 }
