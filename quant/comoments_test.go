package quant_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"stega/quant"
)

// gappy returns series of one factor plus noise. Some start late, have holes or stop early; share is the share of
// scattered holes.
func gappy(r *rand.Rand, series, days int, share float64) [][]float64 {
	market := make([]float64, days)
	for t := range market {
		market[t] = .0004 + .01*r.NormFloat64()
	}
	out := make([][]float64, series)
	for i := range out {
		out[i] = make([]float64, days)
		beta, from, to := .5+r.Float64(), 0, days
		if share > 0 && i%3 == 1 {
			from = r.IntN(days)
		}
		if share > 0 && i%3 == 2 {
			to = r.IntN(days)
		}
		for t := range out[i] {
			out[i][t] = beta*market[t] + .015*r.NormFloat64()
			if t < from || t >= to || r.Float64() < share {
				out[i][t] = nan
			}
		}
	}
	return out
}

// slow returns the covariance and correlation of a pair by their definitions, in two passes over the common periods.
func slow(x, y []float64) (n int, covariance, correlation float64) {
	var a, b []float64
	for t := range x {
		if !math.IsNaN(x[t]) && !math.IsNaN(y[t]) {
			a, b = append(a, x[t]), append(b, y[t])
		}
	}
	mx, my, xy, xx, yy := quant.Mean(a), quant.Mean(b), 0.0, 0.0, 0.0
	for t := range a {
		xy += (a[t] - mx) * (b[t] - my)
		xx += (a[t] - mx) * (a[t] - mx)
		yy += (b[t] - my) * (b[t] - my)
	}
	if len(a) < 2 {
		return len(a), nan, nan
	}
	return len(a), xy / float64(len(a)-1), xy / math.Sqrt(xx*yy)
}

func TestCoMomentsAreThoseOfEachPair(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	for _, c := range []struct {
		series, days int
		share        float64
	}{{1, 1, 0}, {2, 2, 0}, {5, 40, 0}, {30, 400, 0}, {5, 40, .3}, {40, 300, .02}, {50, 700, .6}, {17, 90, .95},
		{60, 1000, .2}} {
		t.Run(fmt.Sprintf("%d series of %d days with %v missing match their definition", c.series, c.days,
			c.share), func(t *testing.T) {
			returns := gappy(r, c.series, c.days, c.share)
			m, err := quant.NewCoMoments(t.Context(), returns)
			require.NoError(t, err)
			covariance, correlation := m.Covariance(1), m.Correlation()
			for i := range returns {
				for j := range returns {
					n, cov, corr := slow(returns[i], returns[j])
					require.Equal(t, n, m.Observations(i, j))
					same(t, cov, covariance.At(i, j), 1e-17)
					if i == j && n > 1 {
						corr = 1
					}
					same(t, corr, correlation.At(i, j), 1e-11)
				}
			}
		})
	}
}

// same counts NaN as equal to NaN.
func same(t *testing.T, want, got, tolerance float64) {
	t.Helper()
	if math.IsNaN(want) || math.IsNaN(got) || math.Abs(want-got) > tolerance {
		require.True(t, math.IsNaN(want) && math.IsNaN(got), "%v is not %v", got, want)
	}
}

func TestOrderOfAssetsOrdersTheMatrix(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 8))
	returns := gappy(r, 37, 300, .1)
	covariance, err := quant.Covariance(t.Context(), returns, 252)
	require.NoError(t, err)
	order := r.Perm(len(returns))
	shuffled := make([][]float64, len(returns))
	for to, from := range order {
		shuffled[to] = returns[from]
	}
	again, err := quant.Covariance(t.Context(), shuffled, 252)
	require.NoError(t, err)
	for i := range order {
		for j := range order {
			same(t, covariance.At(order[i], order[j]), again.At(i, j), 1e-16)
		}
	}
}

func TestCorrelationsStayWithinOne(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 9))
	for range 50 {
		returns := gappy(r, 12, 3+r.IntN(30), .3)
		for i := range 6 { // some are multiples of others
			for t := range returns[i] {
				returns[i+6][t] = -3 * returns[i][t]
			}
		}
		c, err := quant.Correlation(t.Context(), returns)
		require.NoError(t, err)
		for i := range 12 {
			for j := range 12 {
				v := c.At(i, j)
				assert.True(t, math.IsNaN(v) || v >= -1 && v <= 1)
				if i == j && !math.IsNaN(v) {
					assert.Equal(t, 1.0, v)
				}
			}
			if i < 6 && !math.IsNaN(c.At(i, i)) {
				assert.InDelta(t, -1, c.At(i, i+6), 1e-12)
			}
		}
	}
}

func TestCoMomentsOfTheEdges(t *testing.T) {
	t.Parallel()
	inf := math.Inf(1)
	c, err := quant.Correlation(t.Context(), [][]float64{
		{.1, .2, .3, .1}, {.3, .3, .3, .3}, {nan, nan, nan, nan}, {nan, nan, .1, nan}, {inf, .1, .2, .3},
		{.1, -inf, inf, 1},
		{.2, .2, .2, .5}, {1, 2, 3, nan},
	})
	require.NoError(t, err)
	for j := range 8 {
		for _, i := range []int{1, 2, 3, 4, 5} {
			assert.True(t, math.IsNaN(c.At(i, j)),
				"constant, empty, single and infinite series correlate with nothing: %d %d", i, j)
		}
	}
	assert.InDelta(t, 1, c.At(0, 7), 1e-12, "others do not mind")
	assert.True(t, math.IsNaN(c.At(6, 7)), "constant over the common periods")
	assert.Equal(t, 1.0, c.At(6, 6))
	for _, none := range [][][]float64{nil, {}} {
		c, err = quant.Correlation(t.Context(), none)
		require.NoError(t, err)
		assert.Equal(t, 0, c.SymmetricDim())
	}
	c, err = quant.Covariance(t.Context(), [][]float64{{}, {}}, 1)
	require.NoError(t, err)
	assert.True(t, math.IsNaN(c.At(0, 1)))
	_, err = quant.Covariance(t.Context(), [][]float64{{1}, {1, 2}}, 1)
	require.ErrorIs(t, err, quant.ErrLength)
	c, err = quant.Covariance(t.Context(), [][]float64{{1e9 + 1, 1e9 + 2, 1e9 + 3}, {1e9 + 1, 1e9 + 2, nan}}, 1)
	require.NoError(t, err)
	assert.Equal(t, mat.NewSymDense(2, []float64{1, .5, 0, .5}).RawSymmetric(), c.RawSymmetric(),
		"what is far from 0 does not cancel")
}

func BenchmarkCorrelation(b *testing.B) {
	for _, share := range []float64{0, .001, .05, .5} {
		returns := gappy(rand.New(rand.NewPCG(1, 1)), 500, 2520, share)
		b.Run(fmt.Sprintf("500x2520 missing %v", share), func(b *testing.B) {
			for b.Loop() {
				_, _ = quant.Correlation(b.Context(), returns)
			}
		})
	}
}
