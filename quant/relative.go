package quant

import "math"

// What follows compares with a benchmark. The two series are aligned: they have the same periods, of which those
// count where both are observed. Of fewer than two, results are NaN, and so are they for series of different lengths.
// rf is per period where nothing else is said.

// apart is the least difference of two returns that is one: less is the rounding of what they were made of.
const apart = 0x1p-48

// Excess makes the difference of two series, NaN where one is missing and beyond the end of the shorter, and 0 where
// there is none but of rounding.
func Excess(returns, benchmark []float64) []float64 {
	out := make([]float64, max(len(returns), len(benchmark)))
	for t := range out {
		out[t] = math.NaN()
		if t < len(returns) && t < len(benchmark) {
			if out[t] = returns[t] - benchmark[t]; math.Abs(out[t]) < apart {
				out[t] = 0
			}
		}
	}
	return out
}

// common takes the periods in which both are observed, and those of them that keep wants.
func common(returns, benchmark []float64, keep func(b float64) bool) (r, b []float64) {
	if len(returns) != len(benchmark) {
		return nil, nil
	}
	for t, x := range returns {
		if y := benchmark[t]; !math.IsNaN(x) && !math.IsNaN(y) && keep(y) {
			r, b = append(r, x), append(b, y)
		}
	}
	return r, b
}

func always(float64) bool       { return true }
func rising(b float64) bool     { return b > 0 }
func notFalling(b float64) bool { return b >= 0 }
func falling(b float64) bool    { return b < 0 }

// TrackingError is sd(r−b)·√periods.
func TrackingError(returns, benchmark []float64, periods float64) float64 {
	return AnnualVolatility(Excess(returns, benchmark), periods)
}

// InformationRatio is mean(r−b)/sd(r−b)·√periods; with periods = 1 it is empyrical's excess Sharpe.
func InformationRatio(returns, benchmark []float64, periods float64) float64 {
	return Sharpe(Excess(returns, benchmark), 0, periods)
}

// Beta is cov(r, b)/var(b). NaN for a benchmark that does not move.
func Beta(returns, benchmark []float64) float64 {
	_, beta := alphaBeta(common(returns, benchmark, always))
	return beta
}

// alphaBeta is the line of least squares, r = alpha + beta·b.
func alphaBeta(r, b []float64) (alpha, beta float64) {
	p := pairOf(r, b)
	beta = p.xy / p.yy
	if p.yy == 0 {
		beta = math.NaN()
	}
	return p.meanX - beta*p.meanY, beta
}

// AlphaBeta is the regression of r−rf on b−rf, with alpha per period compounded over a year: (1+α)^periods − 1, at
// least −1 (Jensen 1968, as in empyrical).
func AlphaBeta(returns, benchmark []float64, rf, periods float64) (alpha, beta float64) {
	return annualAlphaBeta(returns, benchmark, rf, periods, always)
}

// UpAlphaBeta is AlphaBeta over the periods in which the benchmark does not fall.
func UpAlphaBeta(returns, benchmark []float64, rf, periods float64) (alpha, beta float64) {
	return annualAlphaBeta(returns, benchmark, rf, periods, notFalling)
}

// DownAlphaBeta is AlphaBeta over the periods in which the benchmark falls.
func DownAlphaBeta(returns, benchmark []float64, rf, periods float64) (alpha, beta float64) {
	return annualAlphaBeta(returns, benchmark, rf, periods, falling)
}

func annualAlphaBeta(returns, benchmark []float64, rf, periods float64, keep func(float64) bool) (alpha, beta float64) {
	r, b := common(returns, benchmark, keep)
	alpha, beta = alphaBeta(Over(r, rf), Over(b, rf))
	if alpha <= -1 {
		return -1, beta
	}
	return math.Pow(1+alpha, periods) - 1, beta
}

// Capture is AnnualReturn(r)/AnnualReturn(b), each over all of its periods (empyrical).
func Capture(returns, benchmark []float64, periods float64) float64 {
	if len(returns) != len(benchmark) {
		return math.NaN()
	}
	return AnnualReturn(returns, periods) / AnnualReturn(benchmark, periods)
}

// UpCapture is Capture over the periods in which the benchmark rises.
func UpCapture(returns, benchmark []float64, periods float64) float64 {
	r, b := common(returns, benchmark, rising)
	return Capture(r, b, periods)
}

// DownCapture is Capture over the periods in which the benchmark falls.
func DownCapture(returns, benchmark []float64, periods float64) float64 {
	r, b := common(returns, benchmark, falling)
	return Capture(r, b, periods)
}

// CaptureRatio is UpCapture/DownCapture.
func CaptureRatio(returns, benchmark []float64, periods float64) float64 {
	return UpCapture(returns, benchmark, periods) / DownCapture(returns, benchmark, periods)
}

// PairCorrelation is Pearson's, over the common periods.
func PairCorrelation(x, y []float64) float64 {
	if len(x) != len(y) {
		return math.NaN()
	}
	p := pairOf(x, y)
	return pearson(false, p.n, p.xy, p.xx, p.yy)
}
