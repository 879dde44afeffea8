package quant

import "math"

// These are measures of Bacon, Practical portfolio performance measurement and attribution (2nd ed. 2008), as
// PerformanceAnalytics computes them: annual returns are geometric over the observations there are, deviations of
// regressions are over n, and rf is a year's.

// perPeriodLinear is what an annual rate is per period where it is taken from single returns: linear, as the
// regression's rate.
func perPeriodLinear(rf, periods float64) float64 { return rf / periods }

// JensenAlpha is R(p) − rf − β·(R(b) − rf), with annual returns R (Jensen 1968).
func JensenAlpha(returns, benchmark []float64, rf, periods float64) float64 {
	r, b := common(returns, benchmark, always)
	return GeometricReturn(r, periods) - rf - Beta(r, b)*(GeometricReturn(b, periods)-rf)
}

// Epsilon is the regression's error term a year: JensenAlpha less the alpha of the regression per period.
func Epsilon(returns, benchmark []float64, rf, periods float64) float64 {
	rate := perPeriodLinear(rf, periods)
	alpha, _ := alphaBeta(common(Over(returns, rate), Over(benchmark, rate), always))
	return JensenAlpha(returns, benchmark, rf, periods) - alpha
}

// SystematicRisk is β·σ(b)·√periods, with σ over n.
func SystematicRisk(returns, benchmark []float64, periods float64) float64 {
	r, b := common(returns, benchmark, always)
	return Beta(r, b) * math.Sqrt(momentsOf(b).m2*periods)
}

// SpecificRisk is the deviation, over n, of what the regression leaves, times √periods; 0 when that is only rounding.
func SpecificRisk(returns, benchmark []float64, periods float64) float64 {
	r, b := common(returns, benchmark, always)
	alpha, beta := alphaBeta(r, b)
	rest := make([]float64, len(r))
	for t := range r {
		if rest[t] = r[t] - alpha - beta*b[t]; math.Abs(rest[t]) < apart {
			rest[t] = 0
		}
	}
	return math.Sqrt(momentsOf(rest).m2 * periods)
}

// TotalRisk is √(SystematicRisk² + SpecificRisk²).
func TotalRisk(returns, benchmark []float64, periods float64) float64 {
	return math.Hypot(SystematicRisk(returns, benchmark, periods), SpecificRisk(returns, benchmark, periods))
}

// AppraisalRatio is JensenAlpha/SpecificRisk (Treynor and Black 1973); NaN without a specific risk.
func AppraisalRatio(returns, benchmark []float64, rf, periods float64) float64 {
	risk := SpecificRisk(returns, benchmark, periods)
	if risk == 0 {
		return math.NaN()
	}
	return JensenAlpha(returns, benchmark, rf, periods) / risk
}

// FamaBeta is σ(p)/σ(b), the beta that a portfolio of the same total risk would have (Fama 1972).
func FamaBeta(returns, benchmark []float64) float64 {
	r, b := common(returns, benchmark, always)
	return Deviation(r) / Deviation(b)
}

// Treynor is (R(p) − rf)/β (Treynor 1965).
func Treynor(returns, benchmark []float64, rf, periods float64) float64 {
	r, b := common(returns, benchmark, always)
	return (GeometricReturn(r, periods) - rf) / Beta(r, b)
}

// ModifiedTreynor is (R(p) − rf)/SystematicRisk.
func ModifiedTreynor(returns, benchmark []float64, rf, periods float64) float64 {
	r, b := common(returns, benchmark, always)
	return (GeometricReturn(r, periods) - rf) / SystematicRisk(r, b, periods)
}

// MSquared is the return of the portfolio when it is geared to the risk of the benchmark: (R(p) − rf)·σ(b)/σ(p) + rf
// (Modigliani and Modigliani 1997).
func MSquared(returns, benchmark []float64, rf, periods float64) float64 {
	r, b := common(returns, benchmark, always)
	return (GeometricReturn(r, periods)-rf)*Deviation(b)/Deviation(r) + rf
}

// MSquaredExcess is what MSquared has more than the benchmark: (1+M²)/(1+R(b)) − 1 when geometric, M² − R(b) when
// arithmetic.
func MSquaredExcess(returns, benchmark []float64, rf, periods float64, difference Compounding) float64 {
	_, b := common(returns, benchmark, always)
	m2, annual := MSquared(returns, benchmark, rf, periods), GeometricReturn(b, periods)
	if difference == Geometric {
		return (1+m2)/(1+annual) - 1
	}
	return m2 - annual
}

// M2Sortino is MSquared with downside deviations D below MAR: R(p) + S·(D(b) − D(p))·√periods, with S =
// (mean−MAR)/D(p) per period.
func M2Sortino(returns, benchmark []float64, mar, periods float64) float64 {
	r, b := common(returns, benchmark, always)
	down := DownsideDeviation(r, mar)
	return GeometricReturn(r, periods) + (Mean(r)-mar)/down*(DownsideDeviation(b, mar)-down)*math.Sqrt(periods)
}

// OmegaExcess is the return adjusted for downside risk below MAR: R(p) − 3·D(p)·D(b)·periods (Sortino, van der Meer
// and Plantinga 1999).
func OmegaExcess(returns, benchmark []float64, mar, periods float64) float64 {
	r, b := common(returns, benchmark, always)
	return GeometricReturn(r, periods) - 3*DownsideDeviation(r, mar)*DownsideDeviation(b, mar)*periods
}
