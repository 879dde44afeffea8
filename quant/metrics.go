package quant

import "math"

// In this file MAR is a minimum acceptable return per period. Partial moments are over all n observations: LPM(k) = Σ
// max(MAR−r, 0)^k/n below MAR, and HPM(k) = Σ max(r−MAR, 0)^k/n above it.

func lowerPartial(returns []float64, mar, power float64) float64 {
	return partial(returns, power, func(r float64) float64 { return mar - r })
}

func upperPartial(returns []float64, mar, power float64) float64 {
	return partial(returns, power, func(r float64) float64 { return r - mar })
}

func partial(returns []float64, power float64, beyond func(r float64) float64) float64 {
	sum, n := 0.0, 0
	for _, r := range returns {
		if math.IsNaN(r) {
			continue
		}
		if b := beyond(r); b > 0 {
			sum += math.Pow(b, power)
		}
		n++
	}
	return sum / float64(n)
}

// Omega returns Σ max(r−threshold, 0) / Σ max(threshold−r, 0), with a threshold per period (Keating and Shadwick
// 2002). NaN without a return below the threshold.
func Omega(returns []float64, threshold float64) float64 {
	below := lowerPartial(returns, threshold, 1)
	if below == 0 {
		return math.NaN()
	}
	return upperPartial(returns, threshold, 1) / below
}

// OmegaSharpe returns (mean−MAR)/LPM(1) = Omega − 1 (Bacon 2008).
func OmegaSharpe(returns []float64, mar float64) float64 { return Omega(returns, mar) - 1 }

// Kappa returns (mean−MAR)/LPM(order)^(1/order) (Kaplan and Knowles 2004). Order 1 is Omega − 1, order 2 the Sortino
// ratio per period.
func Kappa(returns []float64, mar, order float64) float64 {
	return (Mean(returns) - mar) / math.Pow(lowerPartial(returns, mar, order), 1/order)
}

// DownsideDeviation returns √LPM(2), per period; DownsideRisk is the annual value.
func DownsideDeviation(returns []float64, mar float64) float64 {
	return math.Sqrt(lowerPartial(returns, mar, 2))
}

// DownsidePotential returns LPM(1).
func DownsidePotential(returns []float64, mar float64) float64 { return lowerPartial(returns, mar, 1) }

// DownsideFrequency returns the share of the observations below MAR.
func DownsideFrequency(returns []float64, mar float64) float64 { return lowerPartial(returns, mar, 0) }

// UpsideRisk returns √HPM(2).
func UpsideRisk(returns []float64, mar float64) float64 {
	return math.Sqrt(upperPartial(returns, mar, 2))
}

// UpsideVariance returns HPM(2).
func UpsideVariance(returns []float64, mar float64) float64 { return upperPartial(returns, mar, 2) }

// UpsidePotential returns HPM(1).
func UpsidePotential(returns []float64, mar float64) float64 { return upperPartial(returns, mar, 1) }

// UpsideFrequency returns the share of the observations above MAR.
func UpsideFrequency(returns []float64, mar float64) float64 { return upperPartial(returns, mar, 0) }

// UpsidePotentialRatio returns HPM(1)/√LPM(2) (Sortino, van der Meer and Plantinga 1999).
func UpsidePotentialRatio(returns []float64, mar float64) float64 {
	return UpsidePotential(returns, mar) / DownsideDeviation(returns, mar)
}

// BernardoLedoit returns the gain-loss ratio Σ max(r, 0) / Σ max(−r, 0) (Bernardo and Ledoit 2000). NaN without a
// loss.
func BernardoLedoit(returns []float64) float64 { return Omega(returns, 0) }

// DRatio returns n(loss)·Σ max(−r, 0) / (n(gain)·Σ max(r, 0)): the lower, the better (Caporin and Lisi 2009; Bacon
// 2008).
func DRatio(returns []float64) float64 {
	return DownsideFrequency(returns, 0) * DownsidePotential(returns, 0) /
		(UpsideFrequency(returns, 0) * UpsidePotential(returns, 0))
}

// AnnualSharpe returns (GeometricReturn − rf)/AnnualVolatility, with an annual rf. Sharpe uses the arithmetic mean
// instead.
func AnnualSharpe(returns []float64, rf, periods float64) float64 {
	return (GeometricReturn(returns, periods) - rf) / AnnualVolatility(returns, periods)
}

// AdjustedSharpe returns SR·(1 + S/6·SR − K/24·SR²), with SR = AnnualSharpe, skewness S and excess kurtosis K (Pezier
// and White 2006, as in PerformanceAnalytics).
func AdjustedSharpe(returns []float64, rf, periods float64) float64 {
	sharpe, m := AnnualSharpe(returns, rf, periods), momentsOf(returns)
	return sharpe * (1 + m.skewness()/6*sharpe - m.excess()/24*sharpe*sharpe)
}

// CAGR returns the compound annual growth rate of a value over a number of days: (last/first)^(365.25/days) − 1
// (ffn). NaN unless first and days are positive.
func CAGR(first, last, days float64) float64 {
	if !(first > 0) || !(days > 0) {
		return math.NaN()
	}
	return math.Pow(last/first, 1/YearFraction(days)) - 1
}

// YearFraction returns a number of days in years of 365.25 days.
func YearFraction(days float64) float64 { return days / 365.25 }
