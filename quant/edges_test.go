package quant_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant"
)

// All measures of one series, and of two.
var (
	measures = map[string]func(r []float64) float64{
		"GeometricReturn":  func(r []float64) float64 { return quant.GeometricReturn(r, 252) },
		"ArithmeticReturn": func(r []float64) float64 { return quant.ArithmeticReturn(r, 252) },
		"ExponentialReturn": func(r []float64) float64 {
			return quant.ExponentialReturn(r, 500, quant.Geometric, 252)
		},
		"Omega":                 func(r []float64) float64 { return quant.Omega(r, 0) },
		"OmegaSharpe":           func(r []float64) float64 { return quant.OmegaSharpe(r, 0) },
		"Kappa":                 func(r []float64) float64 { return quant.Kappa(r, 0, 3) },
		"DownsideDeviation":     func(r []float64) float64 { return quant.DownsideDeviation(r, 0) },
		"DownsidePotential":     func(r []float64) float64 { return quant.DownsidePotential(r, 0) },
		"DownsideFrequency":     func(r []float64) float64 { return quant.DownsideFrequency(r, 0) },
		"UpsideRisk":            func(r []float64) float64 { return quant.UpsideRisk(r, 0) },
		"UpsideVariance":        func(r []float64) float64 { return quant.UpsideVariance(r, 0) },
		"UpsidePotential":       func(r []float64) float64 { return quant.UpsidePotential(r, 0) },
		"UpsideFrequency":       func(r []float64) float64 { return quant.UpsideFrequency(r, 0) },
		"UpsidePotentialRatio":  func(r []float64) float64 { return quant.UpsidePotentialRatio(r, 0) },
		"BernardoLedoit":        quant.BernardoLedoit,
		"DRatio":                quant.DRatio,
		"AnnualSharpe":          func(r []float64) float64 { return quant.AnnualSharpe(r, 0, 252) },
		"AdjustedSharpe":        func(r []float64) float64 { return quant.AdjustedSharpe(r, 0, 252) },
		"Skewness":              quant.Skewness,
		"SampleSkewness":        quant.SampleSkewness,
		"Kurtosis":              quant.Kurtosis,
		"ExcessKurtosis":        quant.ExcessKurtosis,
		"SampleKurtosis":        quant.SampleKurtosis,
		"SampleExcessKurtosis":  quant.SampleExcessKurtosis,
		"SkewnessKurtosisRatio": quant.SkewnessKurtosisRatio,
		"MeanAbsoluteDeviation": quant.MeanAbsoluteDeviation,
		"SemiDeviation":         quant.SemiDeviation,
		"TailRatio":             quant.TailRatio,
		"Stability":             quant.Stability,
		"Quantile":              func(r []float64) float64 { return quant.Quantile(r, .5) },
		"HistoricalVaR":         func(r []float64) float64 { return quant.HistoricalVaR(r, .05) },
		"HistoricalCVaR":        func(r []float64) float64 { return quant.HistoricalCVaR(r, .05) },
		"GaussianVaR":           func(r []float64) float64 { return quant.GaussianVaR(r, .05) },
		"GaussianCVaR":          func(r []float64) float64 { return quant.GaussianCVaR(r, .05) },
		"ModifiedVaR":           func(r []float64) float64 { return quant.ModifiedVaR(r, .05) },
		"ModifiedCVaR":          func(r []float64) float64 { return quant.ModifiedCVaR(r, .05) },
		"UlcerIndex":            quant.UlcerIndex,
		"PainIndex":             quant.PainIndex,
		"MartinRatio":           func(r []float64) float64 { return quant.MartinRatio(r, 0, 252) },
		"PainRatio":             func(r []float64) float64 { return quant.PainRatio(r, 0, 252) },
		"Burke":                 func(r []float64) float64 { return quant.Burke(r, 0, 252) },
		"ModifiedBurke":         func(r []float64) float64 { return quant.ModifiedBurke(r, 0, 252) },
	}
	comparisons = map[string]func(r, b []float64) float64{
		"TrackingError":    func(r, b []float64) float64 { return quant.TrackingError(r, b, 252) },
		"InformationRatio": func(r, b []float64) float64 { return quant.InformationRatio(r, b, 252) },
		"Beta":             quant.Beta,
		"Alpha":            func(r, b []float64) float64 { a, _ := quant.AlphaBeta(r, b, 0, 252); return a },
		"UpAlpha":          func(r, b []float64) float64 { a, _ := quant.UpAlphaBeta(r, b, 0, 252); return a },
		"DownBeta":         func(r, b []float64) float64 { _, beta := quant.DownAlphaBeta(r, b, 0, 252); return beta },
		"UpCapture":        func(r, b []float64) float64 { return quant.UpCapture(r, b, 252) },
		"DownCapture":      func(r, b []float64) float64 { return quant.DownCapture(r, b, 252) },
		"CaptureRatio":     func(r, b []float64) float64 { return quant.CaptureRatio(r, b, 252) },
		"Capture":          func(r, b []float64) float64 { return quant.Capture(r, b, 252) },
		"PairCorrelation":  quant.PairCorrelation,
		"Spearman":         quant.Spearman,
		"Kendall":          quant.Kendall,
		"JensenAlpha":      func(r, b []float64) float64 { return quant.JensenAlpha(r, b, 0, 252) },
		"Epsilon":          func(r, b []float64) float64 { return quant.Epsilon(r, b, .02, 252) },
		"SystematicRisk":   func(r, b []float64) float64 { return quant.SystematicRisk(r, b, 252) },
		"SpecificRisk":     func(r, b []float64) float64 { return quant.SpecificRisk(r, b, 252) },
		"TotalRisk":        func(r, b []float64) float64 { return quant.TotalRisk(r, b, 252) },
		"AppraisalRatio":   func(r, b []float64) float64 { return quant.AppraisalRatio(r, b, 0, 252) },
		"FamaBeta":         quant.FamaBeta,
		"Treynor":          func(r, b []float64) float64 { return quant.Treynor(r, b, 0, 252) },
		"ModifiedTreynor":  func(r, b []float64) float64 { return quant.ModifiedTreynor(r, b, 0, 252) },
		"MSquared":         func(r, b []float64) float64 { return quant.MSquared(r, b, 0, 252) },
		"MSquaredExcess":   func(r, b []float64) float64 { return quant.MSquaredExcess(r, b, 0, 252, quant.Geometric) },
		"M2Sortino":        func(r, b []float64) float64 { return quant.M2Sortino(r, b, 0, 252) },
		"OmegaExcess":      func(r, b []float64) float64 { return quant.OmegaExcess(r, b, 0, 252) },
	}
)

func TestMeasuresWithoutObservationsAreNaN(t *testing.T) {
	t.Parallel()
	for name, f := range measures {
		assert.True(t, math.IsNaN(f(nil)), name)
		assert.True(t, math.IsNaN(f([]float64{nan, nan, nan})), name)
	}
	x := []float64{.1, -.1, .05}
	for name, f := range comparisons {
		assert.True(t, math.IsNaN(f(nil, nil)), name)
		assert.True(t, math.IsNaN(f(x, []float64{nan, nan, nan})) || name == "Capture", name)
		assert.True(t, math.IsNaN(f(x, []float64{.1})), name)
	}
}

func TestNoMeasurePanics(t *testing.T) {
	t.Parallel()
	inf := math.Inf(1)
	series := [][]float64{nil, {.1}, {0}, {-1}, {-2, 1}, {inf}, {inf, -inf, nan}, {.01, .01, .01}, {0, 0, 0}, {nan, .1},
		{-1, -1, -1}, {1e308, 1e308}, {.1, -.2, inf}}
	for _, x := range series {
		for name, f := range measures {
			assert.NotPanics(t, func() { f(x) }, "%s of %v", name, x)
		}
		for _, y := range series {
			for name, f := range comparisons {
				assert.NotPanics(t, func() { f(x, y) }, "%s of %v and %v", name, x, y)
			}
		}
		assert.NotPanics(t, func() {
			quant.Drawdowns(x)
			quant.LongestDrawdown(x)
			quant.RollingMaxDrawdown(x, 2)
			quant.RollingCorrelation(x, x, 2)
			_, _ = quant.LedoitWolf(t.Context(), [][]float64{x, x}, quant.SingleFactor, quant.MissingZero, 252)
			_, _ = quant.Semicovariance(t.Context(), [][]float64{x, x}, 0, quant.MissingPairwise, 252)
			_, _ = quant.ExponentialCovariance(t.Context(), [][]float64{x, x}, nil, 10, 252)
			_, _ = quant.CAPMReturns([][]float64{x, x}, nil, 0, quant.Geometric, 252)
			_, _ = quant.CorrelationBy(t.Context(), [][]float64{x, x}, quant.KendallCorrelation)
		})
	}
}

func TestConstantSeriesHaveNoShape(t *testing.T) {
	t.Parallel()
	constant := fill(7, .013)
	for _, name := range []string{"Skewness", "Kurtosis", "SampleSkewness", "SampleKurtosis", "Omega"} {
		assert.True(t, math.IsNaN(measures[name](constant)), name)
	}
	for _, name := range []string{"MeanAbsoluteDeviation", "SemiDeviation", "DownsideDeviation", "UlcerIndex",
		"PainIndex"} {
		assert.Equal(t, 0.0, measures[name](constant), name)
	}
	for _, name := range []string{"Beta", "PairCorrelation", "Spearman", "Kendall", "Treynor"} {
		assert.True(t, math.IsNaN(comparisons[name]([]float64{1, 2, 3, 4, 5, 6, 7}, constant)), name)
	}
}

func TestSkewnessAndKurtosisAreMoments(t *testing.T) {
	t.Parallel()
	x := []float64{2, 8, 0, 4, 1, 9, 9, 0} // whose raw moments are 33/8, 247/8, 2043/8 and 17491/8
	mean, second, third, fourth := 33.0/8, 247.0/8, 2043.0/8, 17491.0/8
	variance := second - mean*mean
	assert.InDelta(t, (third-3*mean*second+2*mean*mean*mean)/math.Pow(variance, 1.5), quant.Skewness(x), 1e-12)
	assert.InDelta(t, (fourth-4*mean*third+6*mean*mean*second-3*math.Pow(mean, 4))/variance/variance-3,
		quant.ExcessKurtosis(x), 1e-12)
	assert.InDelta(t, quant.Skewness(x)*math.Sqrt(56)/6, quant.SampleSkewness(x), 1e-12)
	assert.InDelta(t, 7.0/30*(9*quant.ExcessKurtosis(x)+6), quant.SampleExcessKurtosis(x), 1e-12,
		"(n−1)/((n−2)(n−3))·((n+1)·g2 + 6)")
}

func TestDrawdownTable(t *testing.T) {
	t.Parallel()
	returns := []float64{.1, -.1, .2, nan, -.2, -.1, .5, .1, -.05}
	all := quant.Drawdowns(returns)
	require.Len(t, all, 3)
	assert.InDeltaSlice(t, []float64{-.1, -.28, -.05}, []float64{all[0].Depth, all[1].Depth, all[2].Depth}, 1e-12)
	assert.Equal(t, []int{0, 1, 2, 2, 1},
		[]int{all[0].Start, all[0].Trough, all[0].End, all[0].Length, all[0].Recovery})
	assert.Equal(t, []int{2, 5, 6, 4, 1},
		[]int{all[1].Start, all[1].Trough, all[1].End, all[1].Length, all[1].Recovery})
	assert.Equal(t, []int{7, 8, -1, 1, 0},
		[]int{all[2].Start, all[2].Trough, all[2].End, all[2].Length, all[2].Recovery},
		"not over yet")
	worst := quant.WorstDrawdowns(returns, 2)
	assert.Equal(t, []quant.DrawdownPeriod{all[1], all[0]}, worst)
	assert.Empty(t, quant.WorstDrawdowns(returns, -1))
	assert.Empty(t, quant.Drawdowns(positive))
	depth, start, trough, end := quant.MaxDrawdown(returns)
	assert.Equal(t, []int{worst[0].Start, worst[0].Trough, worst[0].End}, []int{start, trough, end})
	assert.InDelta(t, worst[0].Depth, depth, 1e-15)
}

func TestRollingForms(t *testing.T) {
	t.Parallel()
	x := []float64{.1, .2, -.1, .3}
	assert.InDeltaSlice(t, []float64{.32, .08, .17}, quant.RollingReturn(x, 2), 1e-12)
	assert.InDelta(t, quant.AnnualVolatility(x[1:], 252), quant.RollingVolatility(x, 3, 252)[1], 1e-15)
	assert.InDeltaSlice(t, []float64{1, 1}, quant.RollingCorrelation(x, x, 3), 1e-12)
	for _, window := range []int{-1, 0, 5} {
		assert.Empty(t, quant.RollingReturn(x, window))
		assert.Empty(t, quant.RollingCorrelation(x, x, window))
	}
	assert.Empty(t, quant.RollingCorrelation(x, x[1:], 2))
}

func TestCalendarTable(t *testing.T) {
	t.Parallel()
	rows, err := quant.CalendarTable([]float64{.1, .1, nan, .2, -.5, nan}, []int{1999, 1999, 1999, 2000, 2000, 2001},
		[]int{11, 11, 12, 1, 3, 5})
	require.NoError(t, err)
	require.Len(t, rows, 3)
	assert.InDelta(t, .21, rows[0].Months[10], 1e-12)
	assert.InDelta(t, .21, rows[0].Total, 1e-12)
	assert.True(t, math.IsNaN(rows[0].Months[11]) && math.IsNaN(rows[1].Months[1]) && math.IsNaN(rows[2].Total))
	assert.InDelta(t, -.4, rows[1].Total, 1e-12)
	assert.Equal(t, 2001, rows[2].Year)
	_, err = quant.CalendarTable([]float64{1}, []int{1}, []int{13})
	require.ErrorIs(t, err, quant.ErrOption)
	_, err = quant.CalendarTable([]float64{1}, []int{1}, nil)
	require.ErrorIs(t, err, quant.ErrLength)
	_, _, err = quant.Aggregate([]float64{1}, []int{})
	require.ErrorIs(t, err, quant.ErrLength)
	empty, err := quant.CalendarTable(nil, nil, nil)
	require.NoError(t, err)
	assert.Empty(t, empty)
	_, err = quant.TimeWeighted([]float64{1}, nil, nil)
	require.ErrorIs(t, err, quant.ErrLength)
}
