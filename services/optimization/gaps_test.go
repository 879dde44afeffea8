package optimization_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/internal/stegatest"
	"stega/quant"
)

// A return over days without a price is compared with returns over the same days only. One of the two symbols lacks
// every seventh day. The expected estimates are computed here from the prices.
func TestReturnsOverDaysWithoutAPrice(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	full, holes := []float64{100}, []float64{50}
	var rows []string
	const days = 200
	for d := range days {
		if d > 0 {
			step := .01 * r.NormFloat64()
			full = append(full, math.Round(1e4*full[d-1]*(1+step+.001))/1e4)
			holes = append(holes, math.Round(1e4*holes[d-1]*(1+.8*step+.004*r.NormFloat64()))/1e4)
		}
		date := civil.Of(2024, time.January, 1).AddDays(d)
		rows = append(rows, fmt.Sprintf("%s,F,%.4f", date, full[d]))
		if d%7 != 3 {
			rows = append(rows, fmt.Sprintf("%s,H,%.4f", date, holes[d]))
		}
	}
	w := environment{stegatest.Up(t), t, []string{"F", "H"}}
	w.settled(w.Import("date,symbol,close\n"+strings.Join(rows, "\n")+"\n", ""))

	nan := math.NaN()
	var f, h, common []float64 // by day: all returns, and those of H over one day
	for d := 1; d < days; d++ {
		f = append(f, full[d]/full[d-1]-1)
		switch d % 7 {
		case 3:
			h, common = append(h, nan), append(common, nan)
		case 4:
			h, common = append(h, holes[d]/holes[d-2]-1), append(common, nan)
		default:
			h = append(h, holes[d]/holes[d-1]-1)
			common = append(common, h[len(h)-1])
		}
	}
	pairs := func(m [2][]float64) *quant.CoMoments {
		c, err := quant.NewCoMoments(context.Background(), m[:])
		require.NoError(t, err)
		return c
	}
	check := func(settings string, own, cross float64, of [2]float64) {
		t.Helper()
		a := w.optimize(t, settings)
		weight := (of[1] - cross) / (of[0] + of[1] - 2*cross)
		assert.InDelta(t, weight, a.Weights["F"], 1e-7, settings)
		assert.InDelta(t, 1-weight, a.Weights["H"], 1e-7, settings)
		assert.Equal(t, days-1, a.Data.Observations)
		assert.InDelta(t, own, a.Data.CommonObservations, 0, settings)
	}
	wide := `"objective":"min_volatility","bounds":[-9,9]`
	cross := pairs([2][]float64{f, common})
	n := float64(cross.Observations(0, 1))
	own := pairs([2][]float64{f, h}).Covariance(252)
	check(wide, n, cross.Covariance(252).At(0, 1), [2]float64{own.At(0, 0), own.At(1, 1)})

	zero, err := quant.Semicovariance(context.Background(), [][]float64{f, h}, 0, quant.MissingZero, 252)
	require.NoError(t, err)
	check(
		wide+`,"covariance":"semi","benchmark":0,"missing":"zero"`, days-1, zero.At(0, 1),
		[2]float64{zero.At(0, 0), zero.At(1, 1)},
	)
	complete, err := quant.Semicovariance(context.Background(), [][]float64{f, common}, 0, quant.MissingComplete, 252)
	require.NoError(t, err)
	check(
		wide+`,"covariance":"semi","benchmark":0,"missing":"complete"`, n, complete.At(0, 1),
		[2]float64{complete.At(0, 0), complete.At(1, 1)},
	)

	assert.InDelta(t, n, w.optimize(t, `"objective":"min_cvar"`).Data.CommonObservations, 0)

	expected := func(estimator string) map[string]float64 {
		return w.optimize(t, `"objective":"max_sharpe","bounds":[-9,9],"expected_returns":"`+estimator+`"`).AssetReturns
	}
	faded := expected("ema")
	assert.InDelta(t, quant.ExponentialReturn(f, 500, quant.Geometric, 252), faded["F"], 1e-12)
	assert.InDelta(t, quant.ExponentialReturn(h, 500, quant.Geometric, 252), faded["H"], 1e-12)

	market := make([]float64, len(f)) // the mean of both over the same days, else the return of F
	for i := range market {
		if market[i] = f[i]; !math.IsNaN(common[i]) {
			market[i] = (f[i] + common[i]) / 2
		}
	}
	want, err := quant.CAPMReturns([][]float64{f, common}, market, 0, quant.Geometric, 252)
	require.NoError(t, err)
	capm := expected("capm")
	assert.InDelta(t, want[0], capm["F"], 1e-12)
	assert.InDelta(t, want[1], capm["H"], 1e-12)
}
