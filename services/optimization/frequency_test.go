package optimization_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/internal/stegatest"
	"stega/quant"
	"stega/quant/optimize"
)

// A share has a price each day, a fund on Wednesdays, and an index on Tuesdays. They have no daily returns over the
// same days, but weekly ones. The expected estimates are computed here from the last prices of the weeks.
func TestWeeksOfSymbolsWithPricesOnDifferentDays(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 5))
	const weeks = 120
	monday := civil.Of(2023, time.January, 2)
	level, fund, index := 100.0, 40.0, 900.0
	var rows []string
	var shares, funds, indices []float64 // the last price of each week
	first := 0.0
	for d := range 7 * weeks {
		step := .001 + .01*r.NormFloat64()
		level = math.Round(1e4*level*(1+step)) / 1e4
		fund, index = math.Round(1e4*fund*(1+.5*step))/1e4, math.Round(1e4*index*(1+.9*step))/1e4
		price := func(symbol string, v float64) {
			rows = append(rows, fmt.Sprintf("%s,%s,%.4f", monday.AddDays(d), symbol, v))
		}
		price("SHARE", level)
		if d == 0 {
			first = level
		}
		switch d % 7 {
		case 1:
			price("INDEX", index)
			indices = append(indices, index)
		case 2:
			price("FUND", fund)
			funds = append(funds, fund)
		case 6:
			shares = append(shares, level)
		}
	}
	w := environment{stegatest.Up(t), t, []string{"FUND", "SHARE"}}
	w.settled(w.Import("date,symbol,close\n"+strings.Join(rows, "\n")+"\n", ""))

	between := func(
		prices []float64, before float64,
	) []float64 { // of each week, NaN for the first when there is no price before
		out := make([]float64, len(prices))
		for i, p := range prices {
			out[i], before = p/before-1, p
		}
		return out
	}
	nan := math.NaN()
	returns := [][]float64{between(funds, nan), between(shares, first)}
	moments, err := quant.NewCoMoments(context.Background(), returns)
	require.NoError(t, err)
	covariance := moments.Covariance(52)
	weekly := `"frequency":"weekly","bounds":[-9,9],`
	a := w.optimize(t, weekly+`"objective":"min_volatility"`)
	v1, v2, cross := covariance.At(0, 0), covariance.At(1, 1), covariance.At(0, 1)
	assert.InDelta(t, (v2-cross)/(v1+v2-2*cross), a.Weights["FUND"], 1e-7)
	assert.InDelta(t, math.Sqrt((v1*v2-cross*cross)/(v1+v2-2*cross)), *a.AnnualVolatility, 1e-10)
	assert.InDelta(t, quant.GeometricReturn(returns[0], 52), a.AssetReturns["FUND"], 1e-12)
	assert.InDelta(t, quant.GeometricReturn(returns[1], 52), a.AssetReturns["SHARE"], 1e-12)
	assert.Equal(t, weeks, a.Data.Observations)
	assert.Equal(t, weeks-1, a.Data.CommonObservations)
	assert.Equal(t, monday.AddDays(7*weeks-1).String(), a.Data.AsOf)
	assert.Contains(t, string(a.Inputs), `"frequency":"weekly"`)

	tails := w.optimize(t, weekly+`"objective":"min_cvar","confidence":0.9`)
	bound := optimize.Bound{Lower: -9, Upper: 9}
	want, err := optimize.MinRisk(t.Context(), optimize.Scenarios{
		Names:       w.symbols,
		Scenarios:   [][]float64{returns[0][1:], returns[1][1:]},
		Measure:     optimize.CVaR,
		Confidence:  .9,
		Periods:     52,
		Returns:     []float64{a.AssetReturns["FUND"], a.AssetReturns["SHARE"]},
		Constraints: optimize.Constraints{Bounds: []optimize.Bound{bound, bound}},
	})
	require.NoError(t, err)
	assert.InDelta(t, want.Risk, *tails.Risk, 1e-8)
	assert.InDelta(t, want.Volatility, *tails.AnnualVolatility, 1e-6)

	market := between(indices, nan)
	capm, err := quant.CAPMReturns(returns, market, 0, quant.Geometric, 52)
	require.NoError(t, err)
	got := w.optimize(t, weekly+`"objective":"max_sharpe","expected_returns":"capm","market":"INDEX"`).AssetReturns
	assert.InDelta(t, capm[0], got["FUND"], 1e-12)
	assert.InDelta(t, capm[1], got["SHARE"], 1e-12)

	monthly := w.optimize(t, `"frequency":"monthly","objective":"hrp"`)
	assert.Equal(t, 28, monthly.Data.Observations, "months, of which the first and the last are parts")

	for settings, detail := range map[string]string{
		`"objective":"min_volatility"`: "FUND and SHARE have 0 returns over " +
			"the same days",
		`"objective":"min_volatility","frequency":"monthly","to":"2023-01-30"`: "monthly returns of FUND in the " +
			"window is 1",
		`"objective":"min_volatility","frequency":"quarterly"`: "frequency",
	} {
		answer := w.Do(http.MethodPost, "/v1/optimizations", w.body(t, settings), "Prefer", "wait=20")
		assert.Contains(t, string(answer.Body), detail, settings)
	}
}
