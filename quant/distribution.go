package quant

import "math"

// moments are the mean of values and the means of powers of deviations from it, over n.
type moments struct {
	n, mean, m2, m3, m4 float64
}

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

// Skewness is m3/m2^(3/2), of moments over n (the population's, Fisher's g1). NaN for a constant series.
func Skewness(values []float64) float64 { return momentsOf(values).skewness() }

// SampleSkewness is the skewness corrected for bias: g1·√(n(n−1))/(n−2), as in pandas and spreadsheets. NaN for fewer
// than three values.
func SampleSkewness(values []float64) float64 {
	m := momentsOf(values)
	if m.n < 3 {
		return math.NaN()
	}
	return m.skewness() * math.Sqrt(m.n*(m.n-1)) / (m.n - 2)
}

// Kurtosis is m4/m2², of moments over n (the population's); 3 for a normal distribution. NaN for a constant series.
func Kurtosis(values []float64) float64 { return momentsOf(values).kurtosis() }

// ExcessKurtosis is Kurtosis − 3.
func ExcessKurtosis(values []float64) float64 { return momentsOf(values).excess() }

// SampleKurtosis is n(n+1)/((n−1)(n−2)(n−3))·Σ((x−x̄)/s)⁴ with s over n−1, not in excess of anything (method "sample"
// of PerformanceAnalytics). NaN for fewer than four values.
func SampleKurtosis(values []float64) float64 {
	m := momentsOf(values)
	if m.n < 4 {
		return math.NaN()
	}
	return m.kurtosis() * (m.n + 1) * (m.n - 1) / ((m.n - 2) * (m.n - 3))
}

// SampleExcessKurtosis is SampleKurtosis − 3(n−1)²/((n−2)(n−3)), which is without bias for a normal distribution, as
// in pandas and spreadsheets (Fisher's G2).
func SampleExcessKurtosis(values []float64) float64 {
	m := momentsOf(values)
	if m.n < 4 {
		return math.NaN()
	}
	return SampleKurtosis(values) - 3*(m.n-1)*(m.n-1)/((m.n-2)*(m.n-3))
}

// SkewnessKurtosisRatio is Skewness over Kurtosis (Bacon, Practical portfolio performance measurement and
// attribution, 2008).
func SkewnessKurtosisRatio(returns []float64) float64 {
	m := momentsOf(returns)
	return m.skewness() / m.kurtosis()
}

// MeanAbsoluteDeviation is Σ|r−r̄|/n.
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

// SemiDeviation is √(Σ min(r−r̄, 0)²/(n−1)), what Portfolio Performance calls semi-volatility when it is of log
// returns and times √n. NaN for fewer than two values.
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

// TailRatio is |95 % quantile| / |5 % quantile| of the returns (empyrical).
func TailRatio(returns []float64) float64 {
	sorted := observations(returns)
	return math.Abs(quantile(sorted, .95)) / math.Abs(quantile(sorted, .05))
}

// Stability is R² of a line through the cumulated log returns over time, in steps of one observation (empyrical's
// stability of a time series): 1 for steady growth or decay. NaN for fewer than two observations or when nothing
// moves.
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
	p := pairOf(time, wealth)
	return math.Min(p.xy/p.xx*p.xy/p.yy, 1) // NaN stays
}
