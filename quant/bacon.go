package quant

import "math"

// The measures of this file are from Bacon, Practical portfolio performance measurement and attribution (2nd ed.
// 2008), as PerformanceAnalytics computes them. Annual returns are geometric over the observations, deviations of
// regressions are over n, and rf is annual.

// perPeriodLinear returns the rate per period of an annual rate, without compounding, for the regression of single
// returns.
func perPeriodLinear(rf, periods float64) float64 { return rf / periods }

// JensenAlpha returns R(p) − rf − β·(R(b) − rf), with annual returns R (Jensen 1968).
func JensenAlpha(returns, benchmark []float64, rf, periods float64) float64 {
	r, b := commonPeriods(returns, benchmark, anyReturn)
	return GeometricReturn(r, periods) - rf - Beta(r, b)*(GeometricReturn(b, periods)-rf)
}

// Epsilon returns the annual error term of the regression: JensenAlpha less the alpha of the regression per period.
func Epsilon(returns, benchmark []float64, rf, periods float64) float64 {
	rate := perPeriodLinear(rf, periods)
	alpha, _ := alphaBeta(commonPeriods(Over(returns, rate), Over(benchmark, rate), anyReturn))
	return JensenAlpha(returns, benchmark, rf, periods) - alpha
}

// SystematicRisk returns β·σ(b)·√periods, with σ over n.
func SystematicRisk(returns, benchmark []float64, periods float64) float64 {
	r, b := commonPeriods(returns, benchmark, anyReturn)
	return Beta(r, b) * math.Sqrt(momentsOf(b).m2*periods)
}

// SpecificRisk returns the deviation, over n, of the residuals of the regression, times √periods; 0 when they are
// only rounding.
func SpecificRisk(returns, benchmark []float64, periods float64) float64 {
	r, b := commonPeriods(returns, benchmark, anyReturn)
	alpha, beta := alphaBeta(r, b)
	rest := make([]float64, len(r))
	for t := range r {
		if rest[t] = r[t] - alpha - beta*b[t]; math.Abs(rest[t]) < minDifference {
			rest[t] = 0
		}
	}
	return math.Sqrt(momentsOf(rest).m2 * periods)
}

// TotalRisk returns √(SystematicRisk² + SpecificRisk²).
func TotalRisk(returns, benchmark []float64, periods float64) float64 {
	return math.Hypot(SystematicRisk(returns, benchmark, periods), SpecificRisk(returns, benchmark, periods))
}

// AppraisalRatio returns JensenAlpha/SpecificRisk (Treynor and Black 1973); NaN without a specific risk.
func AppraisalRatio(returns, benchmark []float64, rf, periods float64) float64 {
	risk := SpecificRisk(returns, benchmark, periods)
	if risk == 0 {
		return math.NaN()
	}
	return JensenAlpha(returns, benchmark, rf, periods) / risk
}

// FamaBeta returns σ(p)/σ(b): the beta that a portfolio of the same total risk would have (Fama 1972).
func FamaBeta(returns, benchmark []float64) float64 {
	r, b := commonPeriods(returns, benchmark, anyReturn)
	return Deviation(r) / Deviation(b)
}

// Treynor returns (R(p) − rf)/β (Treynor 1965).
func Treynor(returns, benchmark []float64, rf, periods float64) float64 {
	r, b := commonPeriods(returns, benchmark, anyReturn)
	return (GeometricReturn(r, periods) - rf) / Beta(r, b)
}

// ModifiedTreynor returns (R(p) − rf)/SystematicRisk.
func ModifiedTreynor(returns, benchmark []float64, rf, periods float64) float64 {
	r, b := commonPeriods(returns, benchmark, anyReturn)
	return (GeometricReturn(r, periods) - rf) / SystematicRisk(r, b, periods)
}

// MSquared returns the portfolio's return at the benchmark's risk: (R(p) − rf)·σ(b)/σ(p) + rf (Modigliani and
// Modigliani 1997).
func MSquared(returns, benchmark []float64, rf, periods float64) float64 {
	r, b := commonPeriods(returns, benchmark, anyReturn)
	return (GeometricReturn(r, periods)-rf)*Deviation(b)/Deviation(r) + rf
}

// MSquaredExcess returns MSquared in excess of the benchmark: (1+M²)/(1+R(b)) − 1 when geometric, M² − R(b) when
// arithmetic.
func MSquaredExcess(returns, benchmark []float64, rf, periods float64, difference Compounding) float64 {
	_, b := commonPeriods(returns, benchmark, anyReturn)
	m2, annual := MSquared(returns, benchmark, rf, periods), GeometricReturn(b, periods)
	if difference == Geometric {
		return (1+m2)/(1+annual) - 1
	}
	return m2 - annual
}

// M2Sortino returns MSquared with downside deviations D below MAR: R(p) + S·(D(b) − D(p))·√periods, with S =
// (mean−MAR)/D(p) per period.
func M2Sortino(returns, benchmark []float64, mar, periods float64) float64 {
	r, b := commonPeriods(returns, benchmark, anyReturn)
	down := DownsideDeviation(r, mar)
	return GeometricReturn(r, periods) + (Mean(r)-mar)/down*(DownsideDeviation(b, mar)-down)*math.Sqrt(periods)
}

// OmegaExcess returns the return adjusted for downside risk below MAR: R(p) − 3·D(p)·D(b)·periods (Sortino, van der
// Meer and Plantinga 1999).
func OmegaExcess(returns, benchmark []float64, mar, periods float64) float64 {
	r, b := commonPeriods(returns, benchmark, anyReturn)
	return GeometricReturn(r, periods) - 3*DownsideDeviation(r, mar)*DownsideDeviation(b, mar)*periods
}
