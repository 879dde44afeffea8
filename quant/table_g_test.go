package quant_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant"
)

// The values are those that PerformanceAnalytics prints beside its examples (R/*.R) for Bacon's portfolio and for
// hedge funds, to the printed digits.
func TestPerformanceAnalyticsValues(t *testing.T) {
	t.Parallel()
	bacon := referenceTable(t, "portfolio_bacon.csv")
	p, b := bacon.values[0], bacon.values[1]
	ham := referenceTable(t, "managers.csv").column("HAM1")[:12]
	const m, mar = quant.Monthly, .005
	for _, c := range []struct {
		name             string
		want, digit, got float64
	}{
		{"G1 adjusted Sharpe ratio", .7591435, 1e-7, quant.AdjustedSharpe(p, 0, m)},
		{"G2 appraisal ratio", -.430, 1e-3, quant.AppraisalRatio(p, b, 0, m)},
		{"G3 Bernardo-Ledoit ratio", 1.78, .01, quant.BernardoLedoit(p)},
		{"G4 Burke ratio", .74, .01, quant.Burke(p, 0, m)},
		{"G4 Burke ratio, modified", 3.65, .01, quant.ModifiedBurke(p, 0, m)},
		{"G5 epsilon", -.013, 1e-3, quant.Epsilon(p, b, 0, m)},
		{"G5 Jensen's alpha", -.014, 1e-3, quant.JensenAlpha(p, b, 0, m)},
		{"G6 D ratio", .401, 1e-3, quant.DRatio(p)},
		{"G7 downside deviation", .0255, 1e-4, quant.DownsideDeviation(p, mar)},
		{"G7 downside potential", .0137, 1e-4, quant.DownsidePotential(p, mar)},
		{"G8 downside frequency", .458, 1e-3, quant.DownsideFrequency(p, mar)},
		{"G8 upside frequency", .542, 1e-3, quant.UpsideFrequency(p, mar)},
		{"G9 Fama's beta", 1.03, .01, quant.FamaBeta(p, b)},
		{"G9 systematic risk, printed as 0.013", .13, .01, quant.SystematicRisk(p, b, m)},
		{"G9 specific risk", .0329, 1e-4, quant.SpecificRisk(p, b, m)},
		{"G9 total risk, printed as 0.0134", .134, 1e-3, quant.TotalRisk(p, b, m)},
		{"G11 M squared of downside risk", .1035, 1e-4, quant.M2Sortino(p, b, mar, m)},
		{"G11 M squared", .10062, 1e-5, quant.MSquared(p, b, 0, m)},
		{"G12 Martin ratio", 1.70, .01, quant.MartinRatio(p, 0, m)},
		{"G12 pain index", .04, .01, quant.PainIndex(p)},
		{"G12 pain ratio, printed as 2.66", 2.59, .01, quant.PainRatio(p, 0, m)},
		{"G13 mean absolute deviation", .0310, 1e-4, quant.MeanAbsoluteDeviation(p)},
		{"G15 omega excess return", .0805, 1e-4, quant.OmegaExcess(p, b, mar, m)},
		{"G15 omega-Sharpe ratio", .29, .01, quant.OmegaSharpe(p, mar)},
		{"G17 skewness over kurtosis", -.034, 1e-3, quant.SkewnessKurtosisRatio(p)},
		{"G17 kurtosis of the sample", 3.03, .01, quant.SampleKurtosis(p)},
		{"G17 excess kurtosis of the sample", -.41, .01, quant.SampleExcessKurtosis(p)},
		{"G18 Treynor ratio, modified", .7975, 1e-4, quant.ModifiedTreynor(p, b, 0, m)},
		{"G19 upside risk", .02937, 1e-5, quant.UpsideRisk(p, mar)},
		{"G19 upside variance, printed as 0.08628", .02937 * .02937, 1e-6, quant.UpsideVariance(p, mar)},
		{"G19 upside potential", .01771, 1e-5, quant.UpsidePotential(p, mar)},
		{"G21 Bernardo-Ledoit ratio of HAM1 in 1996", 4.598, 1e-3, quant.BernardoLedoit(ham)},
		{"G21 D ratio of HAM1", .0725, 1e-4, quant.DRatio(ham)},
		{"G21 downside frequency of HAM1", .25, .01, quant.DownsideFrequency(ham, 0)},
		{"G21 upside frequency of HAM1", .75, .01, quant.UpsideFrequency(ham, 0)},
		{"G21 omega-Sharpe ratio of HAM1", 3.60, .01, quant.OmegaSharpe(ham, 0)},
		{"G21 kappa of HAM1", 1.493, 1e-3, quant.Kappa(ham, 0, 2)},
		{"G26 annual return without what is missing", .1489125, 1e-7, quant.GeometricReturn([]float64{.1, .2, nan}, 1)},
		{"G26 annual return of months", 4.2899, 1e-4, quant.GeometricReturn([]float64{.1, .2, nan}, 12)},
	} {
		t.Run(c.name, func(t *testing.T) { assert.InDelta(t, c.want, c.got, c.digit) })
	}
	t.Run("G11 M squared, excess: the printed value has the gearing inverted", func(t *testing.T) {
		annual, turned := quant.GeometricReturn(b, m), quant.GeometricReturn(p, m)*quant.FamaBeta(p, b)
		assert.InDelta(t, -.00998, (1+turned)/(1+annual)-1, 1e-5)
		assert.InDelta(t, -.011, turned-annual, 1e-3)
		m2 := quant.MSquared(p, b, 0, m)
		assert.InDelta(t, (1+m2)/(1+annual)-1, quant.MSquaredExcess(p, b, 0, m, quant.Geometric), 1e-15)
		assert.InDelta(t, m2-annual, quant.MSquaredExcess(p, b, 0, m, quant.Arithmetic), 1e-15)
	})
	t.Run("G27 return of a portfolio of two", func(t *testing.T) {
		r, err := quant.PortfolioReturns([][]float64{{.1}, {-.05}}, []float64{.5, .5}, func(int) bool { return false })
		require.NoError(t, err)
		assert.InDelta(t, .025, r[0], 1e-12)
	})
	edhec := referenceTable(t, "edhec.csv")
	x := edhec.values[0][:100]
	for _, c := range []struct {
		name      string
		want, got float64
	}{
		{"G22 Gaussian value at risk", -.012133, quant.GaussianVaR(x, .05)},
		{"G22 modified value at risk", -.014674, quant.ModifiedVaR(x, .05)},
		{"G22 historical value at risk", -.014095, quant.HistoricalVaR(x, .05)},
		{"G24 Gaussian expected shortfall", -.017133, quant.GaussianCVaR(x, .05)},
		{"G24 historical expected shortfall", -.024080, quant.HistoricalCVaR(x, .05)},
	} {
		t.Run(c.name, func(t *testing.T) { assert.InDelta(t, c.want, c.got, 1e-6) })
	}
}
