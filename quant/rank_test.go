package quant_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant"
)

// bruteKendall counts pairs.
func bruteKendall(x, y []float64) float64 {
	var c, d, equalX, equalY, all float64
	for i := range x {
		for j := range i {
			a, b := x[i]-x[j], y[i]-y[j]
			if math.IsNaN(a) || math.IsNaN(b) {
				continue
			}
			all++
			switch {
			case a*b > 0:
				c++
			case a*b < 0:
				d++
			}
			if a == 0 {
				equalX++
			}
			if b == 0 {
				equalY++
			}
		}
	}
	return (c - d) / math.Sqrt((all-equalX)*(all-equalY))
}

// bruteSpearman ranks by counting.
func bruteSpearman(x, y []float64) float64 {
	var a, b []float64
	for t := range x {
		if !math.IsNaN(x[t]) && !math.IsNaN(y[t]) {
			a, b = append(a, x[t]), append(b, y[t])
		}
	}
	rank := func(v []float64) []float64 {
		out := make([]float64, len(v))
		for i := range v {
			for j := range v {
				switch {
				case v[j] < v[i]:
					out[i]++
				case v[j] == v[i]:
					out[i] += .5
				}
			}
		}
		return out
	}
	_, _, r := slow(rank(a), rank(b))
	return r
}

func TestRankCorrelationsAgainstCounting(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	for range 300 {
		n := 2 + r.IntN(60)
		x, y := make([]float64, n), make([]float64, n)
		grain := 1 + r.IntN(30)
		for i := range n {
			x[i], y[i] = float64(r.IntN(grain)), float64(r.IntN(grain))
			if r.IntN(8) == 0 {
				x[i] = nan
			}
			if r.IntN(8) == 0 {
				y[i] = nan
			}
		}
		same(t, bruteKendall(x, y), quant.Kendall(x, y), 1e-12)
		same(t, bruteSpearman(x, y), quant.Spearman(x, y), 1e-12)
	}
	assert.InDelta(t, 1, quant.Kendall([]float64{1, 2, math.Inf(1)}, []float64{-5, 0, 1}), 1e-15,
		"an infinite value has a rank")
	assert.True(t, math.IsNaN(quant.Kendall([]float64{1, 1}, []float64{1, 2})))
	assert.True(t, math.IsNaN(quant.Spearman([]float64{1}, []float64{1, 2})))
	assert.True(t, math.IsNaN(quant.Kendall([]float64{1}, []float64{1, 2})))
	assert.True(t, math.IsNaN(quant.Spearman(nil, nil)))
}

func TestMatricesOfRankCorrelations(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 5))
	for _, share := range []float64{0, .2} {
		returns := gappy(r, 15, 120, share)
		returns[3] = fill(120, .01)
		for method, pair := range map[quant.CorrelationMethod]func(x, y []float64) float64{
			quant.PearsonCorrelation: quant.PairCorrelation, quant.SpearmanCorrelation: quant.Spearman,
			quant.KendallCorrelation: quant.Kendall,
		} {
			t.Run(string(method)+" of a matrix is that of each pair", func(t *testing.T) {
				m, err := quant.CorrelationBy(t.Context(), returns, method)
				require.NoError(t, err)
				for i := range returns {
					for j := range returns {
						same(t, pair(returns[i], returns[j]), m.At(i, j), 1e-12)
						assert.False(t, math.Abs(m.At(i, j)) > 1)
					}
				}
			})
		}
	}
	_, err := quant.CorrelationBy(t.Context(), [][]float64{{1}}, "distance")
	require.ErrorIs(t, err, quant.ErrOption)
	_, err = quant.CorrelationBy(t.Context(), [][]float64{{1}, {}}, quant.KendallCorrelation)
	require.ErrorIs(t, err, quant.ErrLength)
	m, err := quant.CorrelationBy(t.Context(), nil, quant.KendallCorrelation)
	require.NoError(t, err)
	assert.Equal(t, 0, m.SymmetricDim())
}

func BenchmarkRankCorrelation(b *testing.B) {
	full := gappy(rand.New(rand.NewPCG(1, 1)), 100, 2520, 0)
	holes := gappy(rand.New(rand.NewPCG(1, 1)), 100, 2520, .05)
	for _, method := range []quant.CorrelationMethod{quant.SpearmanCorrelation, quant.KendallCorrelation} {
		b.Run(string(method)+" 100x2520", func(b *testing.B) {
			for b.Loop() {
				_, _ = quant.CorrelationBy(b.Context(), full, method)
			}
		})
		b.Run(string(method)+" 100x2520 with gaps", func(b *testing.B) {
			for b.Loop() {
				_, _ = quant.CorrelationBy(b.Context(), holes, method)
			}
		})
	}
}
