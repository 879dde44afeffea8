package quant

import "math"

// AdjustmentFactor returns the factor that makes closes before an ex-day comparable with those from that day on:
// 1/split for a split into so many new shares for one old, times 1 − dividend/(previous/split) for a cash dividend
// per share on that day. previous is the last close before the ex-day, close the close of the ex-day. A split or
// dividend that is NaN or not above 0 is no action. A dividend of at least the previous close cannot be subtracted;
// it counts as reinvested at the close: close/(close + dividend).
//
// Source: the factors to adjust prices of CRSP; Yahoo's adjusted close follows them too.
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

// Bars holds daily closes in order of time, with the columns that make them comparable. The columns have the length
// of Close, with NaN for a missing value; nil is a column without values.
type Bars struct {
	Close    []float64
	Adjusted []float64 // the adjusted close of the source
	Dividend []float64 // cash per share, on its ex-day
	Split    []float64 // new shares for one old, on its ex-day
}

// Return returns the simple return from bar i−1 to bar i; NaN for i = 0. It uses the source's adjusted closes when
// both bars have one. Else it uses the closes, the earlier one times AdjustmentFactor.
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

// AdjustedCloses returns closes whose simple returns equal Return. The last is the source's adjusted close, or the
// close; each earlier one follows from the next.
func (b Bars) AdjustedCloses() []float64 {
	out := make([]float64, len(b.Close))
	for i := len(out) - 1; i >= 0; i-- {
		given := at(b.Adjusted, i)
		switch {
		case i == len(out)-1 && math.IsNaN(given):
			out[i] = b.Close[i]
		case i == len(out)-1 || out[i+1] == at(b.Adjusted, i+1) && !math.IsNaN(given): // adjusted from here on
			out[i] = given
		default:
			out[i] = out[i+1] / (1 + b.Return(i+1))
		}
	}
	return out
}
