package quant_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant"
)

// flowsWith returns yearly flows whose present value is 0 at these ln(1+r) and at no others.
func flowsWith(roots ...float64) []quant.Flow {
	coefficients := []float64{1}
	for _, u := range roots { // times (x − e^−u), where x is the present value of a unit one year later
		next := make([]float64, len(coefficients)+1)
		for i, c := range coefficients {
			next[i+1] += c
			next[i] -= c * math.Exp(-u)
		}
		coefficients = next
	}
	flows := make([]quant.Flow, len(coefficients))
	for i, c := range coefficients {
		flows[i] = quant.Flow{Day: 365 * i, Amount: c}
	}
	return flows
}

func TestEveryRateOfReturnIsFound(t *testing.T) {
	t.Parallel()
	for _, roots := range [][]float64{
		{.05}, {-.4}, {3}, {.315, .35, 1.5}, {-.02, .03}, {.3200, .3201, .9}, {-1.5, -.4, .2, .6},
		{.01, .05, .09, -.3, 2},
	} {
		rates, err := quant.Rates(flowsWith(roots...))
		require.NoError(t, err, "%v", roots)
		require.Len(t, rates, len(roots), "%v", roots)
		for i, r := range rates {
			u := math.Log1p(r)
			nearest := math.Inf(1)
			for _, want := range roots {
				nearest = min(nearest, math.Abs(u-want))
			}
			assert.Less(t, nearest, 1e-6, "%v has %v", roots, u)
			if i > 0 {
				assert.LessOrEqual(t, math.Abs(math.Log1p(rates[i-1])), math.Abs(u)+1e-9, "the nearest to 0 is first")
			}
		}
		one, err := quant.XIRR(flowsWith(roots...))
		require.NoError(t, err)
		assert.InDelta(t, rates[0], one, 0)
	}
	rates, err := quant.Rates(flowsWith(.25, .25)) // it touches 0 and does not cross it
	require.NoError(t, err)
	require.Len(t, rates, 1)
	assert.InDelta(t, math.Expm1(.25), rates[0], 1e-4)
	_, err = quant.Rates([]quant.Flow{{Day: 3, Amount: 1}, {Day: 3, Amount: -1}})
	assert.ErrorIs(t, err, quant.ErrNoRate, "on one day every rate is a solution")
	_, err = quant.Rates([]quant.Flow{{Day: 0, Amount: 1}, {Day: 365, Amount: -1}, {Day: 730, Amount: 1}})
	assert.ErrorIs(t, err, quant.ErrNoRate, "two changes of sign without a rate")
}

// Two rates that lie close together are two: flows −1, (a+b), −a·b have the present value 0 at a−1 and b−1 exactly.
func TestCloseRatesOfReturnAreCounted(t *testing.T) {
	t.Parallel()
	const a = 1.1
	for _, b := range []float64{1.11, 1.101, 1.1001, 1.10001} {
		rates, err := quant.Rates([]quant.Flow{{Day: 0, Amount: -1}, {Day: 365, Amount: a + b},
			{Day: 730, Amount: -a * b}})
		require.NoError(t, err)
		require.Len(t, rates, 2, "%v", b)
		assert.InDelta(t, a-1, rates[0], 1e-8, "%v", b)
		assert.InDelta(t, b-1, rates[1], 1e-8, "%v", b)
	}
}
