package quant

import (
	"cmp"
	"math"
	"slices"
)

// DrawdownPeriod is a period below the highest wealth so far. Depth is at most 0. Start is the index of the return
// after which wealth peaked (−1: the start itself), Trough that of the lowest wealth. End is that of the return after
// which the peak is reached again (−1: not yet). Length counts the periods from Start to End, or to the last period;
// Recovery counts them from Trough.
type DrawdownPeriod struct {
	Depth              float64
	Start, Trough, End int
	Length, Recovery   int
}

// Drawdowns returns all drawdown periods in order of time. A missing return is a period that passes.
func Drawdowns(returns []float64) []DrawdownPeriod {
	out := []DrawdownPeriod{}
	w, at := newWalk(), -1
	below := false
	for i, r := range returns {
		if math.IsNaN(r) {
			continue
		}
		depth := w.step(r)
		if depth == 0 {
			if below {
				last := &out[len(out)-1]
				last.End, below = i, false
			}
			at = i
			continue
		}
		if !below {
			out, below = append(out, DrawdownPeriod{Depth: depth, Start: at, Trough: i, End: -1}), true
		}
		if last := &out[len(out)-1]; w.deeper(depth, last.Depth) {
			last.Depth, last.Trough = depth, i
		}
	}
	for k := range out {
		d := &out[k]
		end := d.End
		if end < 0 {
			end = len(returns) - 1
		}
		d.Length, d.Recovery = end-d.Start, end-d.Trough
	}
	return out
}

// WorstDrawdowns returns the n deepest drawdown periods, the deepest first; of two equal ones, the earlier first.
func WorstDrawdowns(returns []float64, n int) []DrawdownPeriod {
	all := Drawdowns(returns)
	slices.SortStableFunc(all, func(a, b DrawdownPeriod) int { return cmp.Compare(a.Depth, b.Depth) })
	return all[:min(max(n, 0), len(all))]
}

// LongestDrawdown returns the longest time, in periods, from a high of a series of values to the next higher value or
// to the end (Portfolio Performance). The greatest Length of Drawdowns is less when a high only returns.
func LongestDrawdown(values []float64) int {
	longest, high := 0, 0
	for i, v := range values {
		if v > values[high] || i == len(values)-1 {
			longest = max(longest, i-high)
		}
		if v > values[high] {
			high = i
		}
	}
	return longest
}

// UlcerIndex returns √(Σ d²/n) of the drawdowns d after each observation (Martin 1987).
func UlcerIndex(returns []float64) float64 {
	sum, n := overDrawdowns(returns, func(d float64) float64 { return d * d })
	return math.Sqrt(sum / n)
}

// PainIndex returns Σ|d|/n of the drawdowns d after each observation (Becker 2006).
func PainIndex(returns []float64) float64 {
	sum, n := overDrawdowns(returns, math.Abs)
	return sum / n
}

// overDrawdowns returns the sum of f over the drawdowns after each observation, and their number.
func overDrawdowns(returns []float64, f func(d float64) float64) (sum, n float64) {
	series := Drawdown(returns)
	for i, r := range returns {
		if !math.IsNaN(r) {
			sum += f(series[i])
			n++
		}
	}
	return sum, n
}

// MartinRatio returns (GeometricReturn − rf)/UlcerIndex, with an annual rf.
func MartinRatio(returns []float64, rf, periods float64) float64 {
	return (GeometricReturn(returns, periods) - rf) / UlcerIndex(returns)
}

// PainRatio returns (GeometricReturn − rf)/PainIndex, with an annual rf.
func PainRatio(returns []float64, rf, periods float64) float64 {
	return (GeometricReturn(returns, periods) - rf) / PainIndex(returns)
}

// Burke returns (GeometricReturn − rf)/√(Σ d²), with an annual rf. Each d is the sum of a run of negative returns,
// without compounding (Burke 1994; Bacon 2008, as in PerformanceAnalytics).
func Burke(returns []float64, rf, periods float64) float64 {
	sum, run := 0.0, 0.0
	for _, r := range returns {
		switch {
		case math.IsNaN(r):
		case r < 0:
			run += r
		default:
			sum += run * run
			run = 0
		}
	}
	return (GeometricReturn(returns, periods) - rf) / math.Sqrt(sum+run*run)
}

// ModifiedBurke returns Burke·√n, with n the number of observations.
func ModifiedBurke(returns []float64, rf, periods float64) float64 {
	return Burke(returns, rf, periods) * math.Sqrt(float64(len(observations(returns))))
}
