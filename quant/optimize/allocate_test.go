package optimize_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant/optimize"
)

// deviation returns the objective of AllocateExactly.
func deviation(o optimize.Order, shares []int64) float64 {
	sum, spent := 0.0, 0.0
	for i, n := range shares {
		value := float64(n) * o.Prices[i]
		sum += math.Abs(o.Weights[i]*o.Money - value)
		spent += value
	}
	return sum + o.Money - spent
}

func TestExactAllocationsAreOptimal(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(14, 5))
	for range 200 {
		n := 1 + r.IntN(5)
		o := optimize.Order{Weights: make([]float64, n), Prices: make([]float64, n), Money: 20 + 300*r.Float64()}
		sum := 0.0
		for i := range n {
			o.Weights[i] = r.ExpFloat64()
			sum += o.Weights[i]
			o.Prices[i] = math.Round(100*(3+60*r.Float64())) / 100
		}
		if r.IntN(3) > 0 {
			sum *= 1 + .2*r.Float64() // so that money remains
			sum = math.Max(sum, 1e-9)
		}
		for i := range n {
			o.Weights[i] /= sum
		}
		a, err := optimize.AllocateExactly(context.Background(), o)
		require.NoError(t, err)
		require.True(t, a.Exact)
		greedy, err := optimize.AllocateGreedily(o)
		require.NoError(t, err)
		assert.False(t, greedy.Exact)
		for _, x := range []*optimize.Allocation{a, greedy} {
			spent := 0.0
			for i, k := range x.Shares {
				assert.GreaterOrEqual(t, k, int64(0))
				spent += float64(k) * o.Prices[i]
			}
			assert.LessOrEqual(t, spent, o.Money)
			assert.InDelta(t, o.Money-spent, x.Leftover, 1e-9)
		}
		best := math.Inf(1)
		shares := make([]int64, n)
		var all func(i int, left float64)
		all = func(i int, left float64) {
			if i == n {
				best = math.Min(best, deviation(o, shares))
				return
			}
			for k := int64(0); float64(k)*o.Prices[i] <= left; k++ {
				shares[i] = k
				all(i+1, left-float64(k)*o.Prices[i])
			}
			shares[i] = 0
		}
		all(0, o.Money)
		assert.InDelta(t, best, deviation(o, a.Shares), 1e-7)
		assert.LessOrEqual(t, deviation(o, a.Shares), deviation(o, greedy.Shares)+1e-9)
	}
}

func TestInvalidOrders(t *testing.T) {
	t.Parallel()
	for detail, o := range map[string]optimize.Order{
		"prices of B: 0 is not above zero": {Names: []string{"A", "B"}, Weights: []float64{.5, .5},
			Prices: []float64{1, 0}, Money: 10},
		"prices of asset 0: it is NaN":            {Weights: []float64{1}, Prices: []float64{math.NaN()}, Money: 10},
		"money: 0 is not above zero":              {Weights: []float64{1}, Prices: []float64{1}},
		"weights: they sum to 1.5, more than one": {Weights: []float64{1, .5}, Prices: []float64{1, 1}, Money: 10},
		"prices: 1 for 2 assets":                  {Weights: []float64{1, .5}, Prices: []float64{1}, Money: 10},
		"short: -1 is below zero":                 {Weights: []float64{1}, Prices: []float64{1}, Money: 10, Short: -1},
		"weights: there are none":                 {Money: 1},
	} {
		_, err := optimize.AllocateGreedily(o)
		var e *optimize.InvalidError
		require.ErrorAs(t, err, &e, detail)
		assert.EqualError(t, err, detail)
	}
	a, err := optimize.AllocateGreedily(optimize.Order{Weights: []float64{1}, Prices: []float64{100}, Money: 99.99})
	require.NoError(t, err)
	assert.Equal(t, &optimize.Allocation{Shares: []int64{0}, Leftover: 99.99, RMSE: 1}, a, "too little for one share")
}

// Without Short, each position is worth weight·money, whatever the weights sum to.
func TestShortPositionsAreWorthTheirWeights(t *testing.T) {
	t.Parallel()
	for _, weights := range [][]float64{{-.0928, .0922, .0006}, {.9, .4, -.3}, {-.5, .25, .25}, {1.5, -.25, -.75}} {
		o := optimize.Order{Weights: weights, Prices: []float64{1.25, 2.5, .75}, Money: 1_000_000}
		for _, allocate := range []func() (*optimize.Allocation, error){
			func() (*optimize.Allocation, error) { return optimize.AllocateGreedily(o) },
			func() (*optimize.Allocation, error) { return optimize.AllocateExactly(t.Context(), o) },
		} {
			a, err := allocate()
			require.NoError(t, err)
			for i, n := range a.Shares {
				assert.InDelta(t, weights[i]*o.Money, float64(n)*o.Prices[i], 5, "%v", weights)
			}
			assert.Less(t, a.RMSE, 1e-5, "%v", weights)
			assert.Less(t, a.Leftover, 5., "%v", weights)
		}
	}
}
