package quant

import "math"

// AdjustmentFactor is what closes before an ex-day are multiplied by to be comparable with those from it on (the
// back-adjustment of CRSP's factors to adjust prices, which Yahoo's adjusted close follows too): 1/split for a split
// into so many new shares for one old, times 1 − dividend/(previous/split) for a cash dividend per share as it trades
// on that day. previous is the last close before the ex-day, and close is that of it. What is not above 0, or NaN, is
// no action. A dividend that is not below the previous close cannot be taken from it; it counts as bought back at the
// close of the ex-day: close/(close + dividend).
func AdjustmentFactor(previous, close, dividend, split float64) float64 {
	factor := 1.0
	if split > 0 {
		factor = 1 / split
		previous /= split
	}
	switch {
	case !(dividend > 0):
	case dividend < previous:
		factor *= 1 - dividend/previous
	default:
		factor *= close / (close + dividend)
	}
	return factor
}

// Bars are daily closes in their order, with what makes them comparable; the columns are as long as Close, with NaN
// where there is nothing, or nil when there is nothing at all.
type Bars struct {
	Close    []float64
	Adjusted []float64 // the adjusted close that the source gives
	Dividend []float64 // cash per share, on its ex-day
	Split    []float64 // new shares for one old, on its ex-day
}

// Return is the simple return from bar i−1 to bar i: that of the adjusted closes of the source when both bars have
// one, and else that of the closes, those before multiplied by AdjustmentFactor. NaN for i = 0.
func (b Bars) Return(i int) float64 {
	if i == 0 {
		return math.NaN()
	}
	if before, now := at(b.Adjusted, i-1), at(b.Adjusted, i); !math.IsNaN(before) && !math.IsNaN(now) {
		return now/before - 1
	}
	factor := AdjustmentFactor(b.Close[i-1], b.Close[i], at(b.Dividend, i), at(b.Split, i))
	return b.Close[i]/(b.Close[i-1]*factor) - 1
}

func at(column []float64, i int) float64 {
	if i >= len(column) {
		return math.NaN()
	}
	return column[i]
}

// AdjustedCloses makes closes whose simple returns are those of Return. The last is the source's adjusted close, or
// the close; each before it follows from the one after.
func (b Bars) AdjustedCloses() []float64 {
	out := make([]float64, len(b.Close))
	for i := len(out) - 1; i >= 0; i-- {
		given := at(b.Adjusted, i)
		switch {
		case i == len(out)-1 && math.IsNaN(given):
			out[i] = b.Close[i]
		case i == len(out)-1 || out[i+1] == at(b.Adjusted, i+1) && !math.IsNaN(given): // still the source's own
			out[i] = given
		default:
			out[i] = out[i+1] / (1 + b.Return(i+1))
		}
	}
	return out
}
