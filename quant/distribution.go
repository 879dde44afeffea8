package quant

import "math"

// moments holds the mean of values and their central moments over n.
type moments struct {
	n, mean, m2, m3, m4 float64
}

// momentsOf returns the moments of the observed values.
func momentsOf(values []float64) moments {
	mean, n := meanOf(values)
	m := moments{n: float64(n), mean: mean}
	for _, v := range values {
		if math.IsNaN(v) {
			continue
		}
		d := v - m.mean
		m.m2 += d * d
		m.m3 += d * d * d
		m.m4 += d * d * d * d
	}
	m.m2, m.m3, m.m4 = m.m2/m.n, m.m3/m.n, m.m4/m.n
	return m
}

func (m moments) skewness() float64 { return m.m3 / math.Pow(m.m2, 1.5) }
func (m moments) kurtosis() float64 { return m.m4 / (m.m2 * m.m2) }
func (m moments) excess() float64   { return m.kurtosis() - 3 }

// Skewness returns the population skewness m3/m2^(3/2) (Fisher's g1), with moments over n. NaN for a constant series.
func Skewness(values []float64) float64 { return momentsOf(values).skewness() }

// SampleSkewness returns the skewness corrected for bias: g1·√(n(n−1))/(n−2), as pandas and spreadsheets do. NaN for
// fewer than three values.
func SampleSkewness(values []float64) float64 {
	m := momentsOf(values)
	if m.n < 3 {
		return math.NaN()
	}
	return m.skewness() * math.Sqrt(m.n*(m.n-1)) / (m.n - 2)
}

// Kurtosis returns the population kurtosis m4/m2², with moments over n; 3 for a normal distribution. NaN for a
// constant series.
func Kurtosis(values []float64) float64 { return momentsOf(values).kurtosis() }

// ExcessKurtosis returns Kurtosis − 3.
func ExcessKurtosis(values []float64) float64 { return momentsOf(values).excess() }

// SampleKurtosis returns n(n+1)/((n−1)(n−2)(n−3))·Σ((x−x̄)/s)⁴, with s over n−1: the kurtosis itself, not its excess
// (method "sample" of PerformanceAnalytics). NaN for fewer than four values.
func SampleKurtosis(values []float64) float64 {
	m := momentsOf(values)
	if m.n < 4 {
		return math.NaN()
	}
	return m.kurtosis() * (m.n + 1) * (m.n - 1) / ((m.n - 2) * (m.n - 3))
}

// SampleExcessKurtosis returns SampleKurtosis − 3(n−1)²/((n−2)(n−3)) (Fisher's G2), unbiased for a normal
// distribution, as pandas and spreadsheets do. NaN for fewer than four values.
func SampleExcessKurtosis(values []float64) float64 {
	m := momentsOf(values)
	if m.n < 4 {
		return math.NaN()
	}
	return SampleKurtosis(values) - 3*(m.n-1)*(m.n-1)/((m.n-2)*(m.n-3))
}

// SkewnessKurtosisRatio returns Skewness/Kurtosis (Bacon, Practical portfolio performance measurement and
// attribution, 2008).
func SkewnessKurtosisRatio(returns []float64) float64 {
	m := momentsOf(returns)
	return m.skewness() / m.kurtosis()
}

// MeanAbsoluteDeviation returns Σ|r−r̄|/n.
func MeanAbsoluteDeviation(returns []float64) float64 {
	mean, n := meanOf(returns)
	sum := 0.0
	for _, r := range returns {
		if !math.IsNaN(r) {
			sum += math.Abs(r - mean)
		}
	}
	return sum / float64(n)
}

// SemiDeviation returns √(Σ min(r−r̄, 0)²/(n−1)). Of log returns and times √n, it is the semi-volatility of Portfolio
// Performance. NaN for fewer than two values.
func SemiDeviation(returns []float64) float64 {
	mean, n := meanOf(returns)
	if n < 2 {
		return math.NaN()
	}
	sum := 0.0
	for _, r := range returns {
		if short := math.Min(r-mean, 0); !math.IsNaN(short) {
			sum += short * short
		}
	}
	return math.Sqrt(sum / float64(n-1))
}

// TailRatio returns |95 % quantile| / |5 % quantile| of the returns (empyrical).
func TailRatio(returns []float64) float64 {
	sorted := observations(returns)
	return math.Abs(quantile(sorted, .95)) / math.Abs(quantile(sorted, .05))
}

// Stability returns the R² of a line through the cumulative log returns over time, one step for each observation
// (empyrical's stability of a time series). It is 1 for steady growth or decay, and NaN for fewer than two
// observations or constant wealth.
func Stability(returns []float64) float64 {
	var time, wealth []float64
	sum := 0.0
	for _, r := range returns {
		if math.IsNaN(r) {
			continue
		}
		sum += math.Log1p(r)
		time, wealth = append(time, float64(len(time))), append(wealth, sum)
	}
	p := pairMomentsOf(time, wealth)
	return math.Min(p.xy/p.xx*p.xy/p.yy, 1) // NaN stays
}
