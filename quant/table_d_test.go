package quant_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant"
)

// TestEmpyricalTableValues has the rows of table D that TestEmpyricalValues lacks (stefan-jansen/empyrical-reloaded,
// tests/test_stats.py and conftest.py).
func TestEmpyricalTableValues(t *testing.T) {
	t.Parallel()
	const d = quant.Daily
	bench := percent(0, 1, 0, 1, 0, 1, 0, 1, 0)
	second := func(_, v float64) float64 { return v }
	first := func(v, _ float64) float64 { return v }
	for _, c := range []struct {
		name      string
		want, got float64
	}{
		{"D10 omega of mixed at 1000 % a year", .83354263497557934, quant.Omega(mixed, quant.PerPeriod(10, d))},
		{"D10 omega of mixed over 1 %", .8125, quant.Omega(mixed, .01)},
		{"D10 omega of positive over 1.1 %", 1.125, quant.Omega(positive, .011)},
		{"D10 omega of positive over 2 %", 0, quant.Omega(positive, .02)},
		{"D10 omega of negative over 1 %", 0, quant.Omega(negative, .01)},
		{"D11 sharpe of mixed over a benchmark", .34111411441060574, quant.Sharpe(quant.Excess(mixed, bench), 0, d)},
		{"D15 sortino of two, weekly", 17.303077589064618, quant.Sortino(two, 0, quant.Weekly)},
		{"D15 sortino of one, monthly", .6686117809312383, quant.Sortino(one, 0, quant.Monthly)},
		{"D16 information ratio of mixed over nothing", .10859306069076737,
			quant.InformationRatio(mixed, make([]float64, 9), 1)},
		{"D16 information ratio of mixed over 1 %", -.06515583641446039, quant.InformationRatio(mixed, flat, 1)},
		{"D17 alpha of mixed over negative", -.9997853834885004, first(quant.AlphaBeta(mixed[1:], negative[1:], 0, d))},
		{"D17 beta of mixed over negative", -.71296296296296313,
			second(quant.AlphaBeta(mixed[1:], negative[1:], 0, d))},
		{"D17 beta alone", -.71296296296296313, quant.Beta(mixed[1:], negative[1:])},
		{"D18 stability of mixed", .1529973665111273, quant.Stability(mixed)},
		{"D20 growth a year of 1000 days of 1 %", 11.274002099240256, quant.AnnualReturn(fill(1000, .01), d)},
		{"D23 capture", -.52257643222960259, quant.Capture(allNeg, mixed, d)},
		{"D23 down capture", .99956025703798634, quant.DownCapture(allNeg, mixed, d)},
		{"D24 down capture", -11.27400221, quant.DownCapture(positive, mixed, d)},
		{"D26 alpha while the benchmark does not fall", .432961242076658,
			first(quant.UpAlphaBeta(mixed[1:], positive[1:], 0, d))},
		{"D26 beta while the benchmark does not fall", .4285714285,
			second(quant.UpAlphaBeta(mixed[1:], positive[1:], 0, d))},
		{"D27 value at risk, worst of two", 1, quant.HistoricalVaR([]float64{1, 2}, 0)},
		{"D27 value at risk at .3", 1.3, quant.HistoricalVaR([]float64{1, 2}, .3)},
		{"D27 value at risk at 1", 2, quant.HistoricalVaR([]float64{1, 2}, 1)},
		{"D27 value at risk at .1", 41, quant.HistoricalVaR([]float64{1, 81, 82, 83, 84, 85}, .1)},
		{"D27 value at risk at .2", 81, quant.HistoricalVaR([]float64{1, 81, 82, 83, 84, 85}, .2)},
		{"D27 value at risk at .3 of six", 81.5, quant.HistoricalVaR([]float64{1, 81, 82, 83, 84, 85}, .3)},
		{"D23 up capture", -.0004336328, quant.UpCapture(allNeg, mixed, d)},
		{"D23 up over down capture", -.0004338236, quant.CaptureRatio(allNeg, mixed, d)},
		{"D24 up capture", .0076167762, quant.UpCapture(positive, mixed, d)},
		{"D24 up over down capture", -.0006756053495, quant.CaptureRatio(positive, mixed, d)},
	} {
		t.Run(c.name, func(t *testing.T) { near(t, c.want, c.got, c.name) })
	}
	t.Run("D2 wealth of 100", func(t *testing.T) {
		for i, want := range []float64{100, 101, 111.1, 106.65599, 108.78912, 112.05279, 114.29384, 115.43678,
			103.89310} {
			assert.InDelta(t, want, 100*(1+quant.Cumulative(mixed)[i]), 1e-4)
		}
	})
	t.Run("D4 weeks, months and quarters of the benchmark", func(t *testing.T) {
		for _, c := range []struct {
			keys []int // from 30 January 2000, a Sunday
			want []float64
		}{
			{[]int{4, 5, 5, 5, 5, 5, 5, 5, 6}, []float64{0, .040604010000000024, 0}},
			{[]int{1, 1, 2, 2, 2, 2, 2, 2, 2}, []float64{.01, .03030099999999991}},
			{fill(9, 1), []float64{.04060401}},
		} {
			_, got, err := quant.Aggregate(bench, c.keys)
			require.NoError(t, err)
			assert.InDeltaSlice(t, c.want, got, 1e-14)
		}
	})
	t.Run("D5 quarters and the year of months", func(t *testing.T) {
		keys, got, err := quant.Aggregate(sparse, []int{1, 1, 1, 2, 2, 2, 3, 3, 3})
		require.NoError(t, err)
		assert.Equal(t, []int{1, 2, 3}, keys)
		assert.InDeltaSlice(t, []float64{.11100000000000021, .008575999999999917, -.072819999999999996}, got, 1e-14)
		_, got, err = quant.Aggregate(sparse, fill(9, 2000))
		require.NoError(t, err)
		assert.InDeltaSlice(t, []float64{.038931091700480147}, got, 1e-14)
	})
	t.Run("D19 tail ratio of mixed",
		func(t *testing.T) { assert.InDelta(t, .9473684210526313, quant.TailRatio(mixed), .05) })
	t.Run("D21 rolling drawdown of negative", func(t *testing.T) {
		assert.InDeltaSlice(t, []float64{-.2282, -.2745, -.2899, -.2747}, quant.RollingMaxDrawdown(negative, 6), 1e-4)
	})
	t.Run("D22 rolling sharpe of negative and of mixed", func(t *testing.T) {
		assert.InDeltaSlice(t, []float64{-18.09162052, -26.79897486, -26.69138263, -25.72298838},
			quant.RollingSharpe(negative, 6, 0, d), 1e-8)
		assert.InDeltaSlice(t, []float64{7.57445259, 8.22784105, 8.22784105, -3.1374751},
			quant.RollingSharpe(mixed, 6, 0, d), 1e-8)
	})
	t.Run("D25 rolling alpha and beta of mixed over negative", func(t *testing.T) {
		alphas, betas := quant.RollingAlphaBeta(mixed, negative, 6, 0, d)
		assert.InDeltaSlice(t, []float64{-.97854954, -.9828927, -.93166924, -.99967288}, alphas, 1e-8)
		assert.InDeltaSlice(t, []float64{-.7826087, -.76156584, -.61682243, -.41311475}, betas, 1e-8)
	})
}

func fill[T any](n int, v T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func TestConditionalValueAtRiskIsTheMeanOfTheWorst(t *testing.T) {
	t.Parallel()
	assert.InDelta(t, 1.0, quant.HistoricalCVaR([]float64{1, 2}, .3), 0)
	assert.InDelta(t, 41, quant.HistoricalCVaR([]float64{85, 1, nan, 81, 82, 83, 84}, .2), 1e-12, "⌊5·.2⌋+1 = 2 of six")
	assert.True(t, math.IsNaN(quant.HistoricalCVaR(nil, .05)))
}
