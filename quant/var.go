package quant

import (
	"math"
	"slices"
)

// Values at risk and expected shortfalls are returns per period, negative for losses, as in empyrical and
// PerformanceAnalytics. cutoff is the probability of a worse return: 0.05 for a confidence of 95 %. Missing returns
// do not count. Without an observation, or for a cutoff outside [0, 1], the result is NaN.

// observations returns the observed values, sorted.
func observations(values []float64) []float64 {
	out := make([]float64, 0, len(values))
	for _, v := range values {
		if !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// Quantile returns the p-quantile of the observed values, linear between the two order statistics around (n−1)·p:
// type 7 of Hyndman and Fan (1996), as numpy.percentile. NaN without values and for p outside [0, 1].
func Quantile(values []float64, p float64) float64 { return quantile(observations(values), p) }

func quantile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 || !(p >= 0 && p <= 1) {
		return math.NaN()
	}
	at := p * float64(len(sorted)-1)
	low := int(at)
	v := sorted[low]
	if rest := at - float64(low); rest > 0 {
		v += rest * (sorted[low+1] - v)
	}
	return v
}

// HistoricalVaR returns the quantile of the returns at cutoff.
func HistoricalVaR(returns []float64, cutoff float64) float64 { return Quantile(returns, cutoff) }

// TailCount returns the number of the worst of n returns that are the tail of a cutoff: ⌊(n−1)·cutoff⌋+1. The product
// counts as whole where it differs from a whole number by the rounding of the cutoff: 1−0.9 is a tenth.
func TailCount(n int, cutoff float64) int {
	at := float64(n-1) * cutoff
	if whole := math.Round(at); math.Abs(at-whole) <= 0x1p-48*float64(n) {
		at = whole
	}
	return int(at) + 1
}

// HistoricalCVaR returns the mean of the TailCount worst returns (empyrical's conditional value at risk).
func HistoricalCVaR(returns []float64, cutoff float64) float64 {
	sorted := observations(returns)
	if len(sorted) == 0 || !(cutoff >= 0 && cutoff <= 1) {
		return math.NaN()
	}
	return Mean(sorted[:TailCount(len(sorted), cutoff)])
}

// GaussianVaR returns μ + z·σ, with z the normal quantile at cutoff and σ the deviation over n, as in
// PerformanceAnalytics.
func GaussianVaR(returns []float64, cutoff float64) float64 {
	m := momentsOf(returns)
	return m.mean + normalQuantile(cutoff)*math.Sqrt(m.m2)
}

// GaussianCVaR returns μ − σ·φ(z)/cutoff, with σ over n: the mean of a normal distribution below its value at risk.
func GaussianCVaR(returns []float64, cutoff float64) float64 {
	m := momentsOf(returns)
	return m.mean - math.Sqrt(m.m2)*density(normalQuantile(cutoff))/cutoff
}

// ModifiedVaR returns μ + z′·σ, with the quantile corrected for skewness S and excess kurtosis K by the
// Cornish-Fisher expansion z′ = z + (z²−1)·S/6 + (z³−3z)·K/24 − (2z³−5z)·S²/36. All moments are over n (Favre and
// Galeano 2002; PerformanceAnalytics). For large S or K, z′ may fall as cutoff rises, and is then no quantile.
func ModifiedVaR(returns []float64, cutoff float64) float64 {
	m := momentsOf(returns)
	return m.mean + cornishFisher(normalQuantile(cutoff), m.skewness(), m.excess())*math.Sqrt(m.m2)
}

func cornishFisher(z, s, k float64) float64 {
	return z + (z*z-1)*s/6 + (z*z*z-3*z)*k/24 - (2*z*z*z-5*z)*s*s/36
}

// ModifiedCVaR returns the expected shortfall of ModifiedVaR by the Edgeworth expansion of second order: μ −
// σ·φ(z′)·(1 + z′³·S/6 + (z′⁶−9z′⁴+9z′²+3)·S²/72 + (z′⁴−2z′²−1)·K/24)/cutoff. It is never better than the modified
// value at risk (Boudt, Peterson and Croux 2008).
func ModifiedCVaR(returns []float64, cutoff float64) float64 {
	m := momentsOf(returns)
	s, k, sigma := m.skewness(), m.excess(), math.Sqrt(m.m2)
	h := cornishFisher(normalQuantile(cutoff), s, k)
	h2 := h * h
	tail := density(h) * (1 + h*h2*s/6 + (h2*h2*h2-9*h2*h2+9*h2+3)*s*s/72 + (h2*h2-2*h2-1)*k/24)
	return math.Min(m.mean-sigma*tail/cutoff, m.mean+h*sigma)
}

// normalQuantile returns the p-quantile of the standard normal distribution.
func normalQuantile(p float64) float64 {
	if !(p >= 0 && p <= 1) {
		return math.NaN()
	}
	return -math.Sqrt2 * math.Erfcinv(2*p)
}

func density(z float64) float64 { return math.Exp(-z*z/2) / math.Sqrt(2*math.Pi) }
