package quant

import "math"

// The functions of this file compare two aligned series: both have the same periods. Only periods with both
// observations count. Fewer than two of them, or series of different lengths, give NaN. rf is per period unless a
// comment calls it annual.

// minDifference is the least difference between two returns; a smaller one is rounding.
const minDifference = 0x1p-48

// Excess returns the difference of two series, NaN where one is missing or past the end of the shorter, and 0 where
// the difference is only rounding.
func Excess(returns, benchmark []float64) []float64 {
	out := make([]float64, max(len(returns), len(benchmark)))
	for t := range out {
		out[t] = math.NaN()
		if t < len(returns) && t < len(benchmark) {
			if out[t] = returns[t] - benchmark[t]; math.Abs(out[t]) < minDifference {
				out[t] = 0
			}
		}
	}
	return out
}

// commonPeriods returns the periods in which both series are observed and keep(b) is true.
func commonPeriods(returns, benchmark []float64, keep func(b float64) bool) (r, b []float64) {
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

func anyReturn(float64) bool    { return true }
func rising(b float64) bool     { return b > 0 }
func notFalling(b float64) bool { return b >= 0 }
func falling(b float64) bool    { return b < 0 }

// TrackingError returns sd(r−b)·√periods.
func TrackingError(returns, benchmark []float64, periods float64) float64 {
	return AnnualVolatility(Excess(returns, benchmark), periods)
}

// InformationRatio returns mean(r−b)/sd(r−b)·√periods; with periods = 1 it is empyrical's excess Sharpe.
func InformationRatio(returns, benchmark []float64, periods float64) float64 {
	return Sharpe(Excess(returns, benchmark), 0, periods)
}

// Beta returns cov(r, b)/var(b). NaN for a constant benchmark.
func Beta(returns, benchmark []float64) float64 {
	_, beta := alphaBeta(commonPeriods(returns, benchmark, anyReturn))
	return beta
}

// alphaBeta returns the least-squares line r = alpha + beta·b.
func alphaBeta(r, b []float64) (alpha, beta float64) {
	p := pairMomentsOf(r, b)
	beta = p.xy / p.yy
	if p.yy == 0 {
		beta = math.NaN()
	}
	return p.meanX - beta*p.meanY, beta
}

// AlphaBeta returns the regression of r−rf on b−rf. alpha per period is compounded over a year: (1+α)^periods − 1, at
// least −1 (Jensen 1968, as in empyrical).
func AlphaBeta(returns, benchmark []float64, rf, periods float64) (alpha, beta float64) {
	return annualAlphaBeta(returns, benchmark, rf, periods, anyReturn)
}

// UpAlphaBeta returns AlphaBeta over the periods in which the benchmark does not fall.
func UpAlphaBeta(returns, benchmark []float64, rf, periods float64) (alpha, beta float64) {
	return annualAlphaBeta(returns, benchmark, rf, periods, notFalling)
}

// DownAlphaBeta returns AlphaBeta over the periods in which the benchmark falls.
func DownAlphaBeta(returns, benchmark []float64, rf, periods float64) (alpha, beta float64) {
	return annualAlphaBeta(returns, benchmark, rf, periods, falling)
}

func annualAlphaBeta(returns, benchmark []float64, rf, periods float64, keep func(float64) bool) (alpha, beta float64) {
	r, b := commonPeriods(returns, benchmark, keep)
	alpha, beta = alphaBeta(Over(r, rf), Over(b, rf))
	if alpha <= -1 {
		return -1, beta
	}
	return math.Pow(1+alpha, periods) - 1, beta
}

// Capture returns AnnualReturn(r)/AnnualReturn(b), each over all of its periods (empyrical).
func Capture(returns, benchmark []float64, periods float64) float64 {
	if len(returns) != len(benchmark) {
		return math.NaN()
	}
	return AnnualReturn(returns, periods) / AnnualReturn(benchmark, periods)
}

// UpCapture returns Capture over the periods in which the benchmark rises.
func UpCapture(returns, benchmark []float64, periods float64) float64 {
	r, b := commonPeriods(returns, benchmark, rising)
	return Capture(r, b, periods)
}

// DownCapture returns Capture over the periods in which the benchmark falls.
func DownCapture(returns, benchmark []float64, periods float64) float64 {
	r, b := commonPeriods(returns, benchmark, falling)
	return Capture(r, b, periods)
}

// CaptureRatio returns UpCapture/DownCapture.
func CaptureRatio(returns, benchmark []float64, periods float64) float64 {
	return UpCapture(returns, benchmark, periods) / DownCapture(returns, benchmark, periods)
}

// PairCorrelation returns Pearson's correlation over the common periods.
func PairCorrelation(x, y []float64) float64 {
	if len(x) != len(y) {
		return math.NaN()
	}
	p := pairMomentsOf(x, y)
	return pearson(false, p.n, p.xy, p.xx, p.yy)
}
