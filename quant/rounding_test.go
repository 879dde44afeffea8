package quant_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant"
)

// Prices in cents return to their highs exactly. The products of their returns must give the same drawdowns as the
// prices.
func TestDrawdownsAreThoseOfThePrices(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		cents := []int{10_000}
		for range 250 {
			cents = append(cents, max(1, cents[len(cents)-1]+r.IntN(41)-20))
		}
		prices := make([]float64, len(cents))
		for i, c := range cents {
			prices[i] = float64(c) / 100
		}
		returns := quant.Simple(prices)
		peak, below := cents[0], false
		var ends []int
		deepest, trough := 0.0, -1
		for i, c := range cents[1:] {
			assert.InDelta(t, math.Min(0, float64(c-max(peak, c))/float64(max(peak, c))), quant.Drawdown(returns)[i],
				1e-13)
			if c >= peak {
				assert.Zero(t, quant.Drawdown(returns)[i], "seed %d, period %d", seed, i)
				if below {
					ends = append(ends, i)
				}
				peak, below = c, false
				continue
			}
			below = true
			if d := float64(c)/float64(peak) - 1; d < deepest-1e-12 {
				deepest, trough = d, i
			}
		}
		var got []int
		for _, d := range quant.Drawdowns(returns) {
			if d.End >= 0 {
				got = append(got, d.End)
			}
		}
		require.Equal(t, ends, got, "seed %d", seed)
		depth, _, at, _ := quant.MaxDrawdown(returns)
		assert.InDelta(t, deepest, depth, 1e-12)
		assert.Equal(t, trough, at, "seed %d", seed)
	}
}

func TestAPriceThatReturnsHasNoReturn(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	for range 2000 {
		first := float64(1+r.IntN(100_000)) / 100
		prices := []float64{first}
		for range r.IntN(40) {
			prices = append(prices, float64(1+r.IntN(100_000))/100)
		}
		returns := quant.Simple(append(prices, first))
		assert.Zero(t, quant.CumulativeReturn(returns))
		assert.Zero(t, quant.Cumulative(returns)[len(returns)-1])
	}
	assert.InDelta(t, 1e-9, quant.CumulativeReturn([]float64{1e-9}), 1e-16, "a small return is not 0")
}

// Two series that differ only by rounding have no difference to divide by.
func TestADifferenceOfRoundingIsNone(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	a, b := []float64{100}, []float64{300}
	for range 250 {
		a = append(a, a[len(a)-1]*(1+.02*r.NormFloat64()))
		b = append(b, 3*a[len(a)-1])
	}
	x, y := quant.Simple(a), quant.Simple(b)
	assert.Zero(t, quant.TrackingError(x, y, 252))
	assert.True(t, math.IsNaN(quant.InformationRatio(x, y, 252)))
	assert.Zero(t, quant.SpecificRisk(x, y, 252))
	assert.True(t, math.IsNaN(quant.AppraisalRatio(x, y, 0, 252)))
	steady := []float64{100}
	for range 250 {
		steady = append(steady, steady[len(steady)-1]*1.0001)
	}
	m, err := quant.Correlation(t.Context(), [][]float64{x, quant.Simple(steady)})
	require.NoError(t, err)
	assert.True(t, math.IsNaN(m.At(0, 1)), "constant growth does not vary")
	running, err := quant.NewRunning(2)
	require.NoError(t, err)
	for i, v := range quant.Simple(steady) {
		require.NoError(t, running.Add([]float64{x[i], v}))
	}
	assert.True(t, math.IsNaN(running.Correlation().At(0, 1)))
	assert.Zero(t, running.Covariance(252).At(1, 1))
	assert.LessOrEqual(t, quant.Stability(quant.Simple(steady)), 1.0)
}

// Histories end on different days: a correlation takes all its parts from the common days, so that it stays within ±1
// without clipping.
func TestWeightedCorrelationsAreOfTheCommonDays(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 6))
	const days, span = 900, 60.0
	x, y := make([]float64, days), make([]float64, days)
	for i := range days {
		market := .01 * r.NormFloat64()
		if i >= 500 { // calm from then on
			market /= 20
		}
		x[i], y[i] = market+.001*r.NormFloat64(), market
		if i >= 500 {
			x[i] = math.NaN()
		}
		if i%7 == 0 {
			y[i] = math.NaN()
		}
	}
	covariance, err := quant.ExponentialCovariance(t.Context(), [][]float64{x, y}, nil, span, 252)
	require.NoError(t, err)
	assert.Greater(t, covariance.At(0, 1), math.Sqrt(covariance.At(0, 0)*covariance.At(1, 1)),
		"the deviations are of different times")
	check := func(dev func(s []float64, i int) float64, weight func(i int) float64, got float64) {
		t.Helper()
		var xy, xx, yy float64
		for i := range days {
			if dx, dy := dev(x, i), dev(y, i); dx == dx && dy == dy {
				w := weight(i)
				xy, xx, yy = xy+w*dx*dy, xx+w*dx*dx, yy+w*dy*dy
			}
		}
		assert.InDelta(t, xy/math.Sqrt(xx*yy), got, 1e-12)
		assert.Less(t, got, 1.0)
	}
	m, err := quant.ExponentialCorrelation(t.Context(), [][]float64{x, y}, nil, span)
	require.NoError(t, err)
	check(func(s []float64, i int) float64 { return s[i] - quant.Mean(s) },
		func(i int) float64 { return math.Pow(1-2/(span+1), float64(days-1-i)) }, m.At(0, 1))
	m, err = quant.Semicorrelation(t.Context(), [][]float64{x, y}, 0, quant.MissingPairwise)
	require.NoError(t, err)
	check(func(s []float64, i int) float64 { return math.Min(s[i], 0) }, func(int) float64 { return 1 }, m.At(0, 1))
}

// Prices that return to their high exactly end a drawdown, whatever the rounding of their returns. The lengths are
// counted by hand.
func TestTheLongestDrawdownDoesNotDependOnRounding(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prices []float64
		want   int
	}{
		{[]float64{100, 121, 99, 104, 99, 121, 117, 119, 106}, 4},
		{[]float64{100, 121, 99, 104, 99, 120.99, 117, 119, 106}, 7},
		{[]float64{100, 100, 100, 100, 100, 100, 100, 100, 100}, 0},
		{[]float64{100, 101, 102.5, 103}, 0},
		{[]float64{100, 99}, 1},
		{[]float64{100}, 0},
	} {
		longest := 0
		for _, d := range quant.Drawdowns(quant.Simple(c.prices)) {
			longest = max(longest, d.Length)
		}
		assert.Equal(t, c.want, longest, "%v", c.prices)
	}
}

// The number of the worst returns is ⌊(n−1)·(1−confidence)⌋+1 in exact rational arithmetic.
func TestTheTailIsCountedExactly(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"0.5", "0.75", "0.8", "0.9", "0.95", "0.975", "0.99", "0.995", "0.999", "0.123"} {
		confidence, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		exact, ok := new(big.Rat).SetString(text)
		require.True(t, ok)
		exact.Sub(big.NewRat(1, 1), exact)
		for n := 1; n <= 3000; n++ {
			at := new(big.Rat).Mul(exact, big.NewRat(int64(n-1), 1))
			want := new(big.Int).Quo(at.Num(), at.Denom()).Int64() + 1
			require.Equal(t, want, int64(quant.TailCount(n, 1-confidence)), "%d returns at %s", n, text)
		}
	}
}

// Weekly returns are products of daily ones. Those of equal prices are ties, though they differ by rounding: the ranks
// are those of the ratios of prices in exact arithmetic.
func TestTiesOfCompoundedReturnsAreNotBrokenByRounding(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 48))
	for range 100 {
		var compounded, exact [2][]float64
		for k := range 2 {
			price := int64(20)
			for range 40 {
				last := price
				wealth := 1.0
				before := float64(price)
				for range 4 {
					between := before * (0.9 + 0.2*r.Float64())
					wealth *= 1 + (between/before - 1)
					before = between
				}
				price = 19 + r.Int64N(4)
				wealth *= 1 + (float64(price)/before - 1)
				compounded[k] = append(compounded[k], wealth-1)
				ratio, _ := big.NewRat(price, last).Float64() // equal ratios are equal numbers
				exact[k] = append(exact[k], ratio-1)
			}
		}
		assert.InDelta(t, bruteSpearman(exact[0], exact[1]), quant.Spearman(compounded[0], compounded[1]), 1e-12)
		assert.InDelta(t, quant.Kendall(exact[0], exact[1]), quant.Kendall(compounded[0], compounded[1]), 1e-12)
	}
}
