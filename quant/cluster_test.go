package quant_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"stega/quant"
)

var linkages = []quant.LinkageMethod{quant.SingleLinkage, quant.CompleteLinkage, quant.AverageLinkage,
	quant.WardLinkage}

// points returns points in the plane with distinct distances.
func distances(r *rand.Rand, n int) *mat.SymDense {
	x := make([]float64, 2*n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	d := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i + 1; j < n; j++ {
			d.SetSym(i, j, math.Hypot(x[2*i]-x[2*j], x[2*i+1]-x[2*j+1]))
		}
	}
	return d
}

// bruteLinkage merges the nearest two clusters, with each distance computed from its definition over the leaves.
func bruteLinkage(d *mat.SymDense, method quant.LinkageMethod) []float64 {
	n := d.SymmetricDim()
	clusters := make([][]int, n)
	for i := range n {
		clusters[i] = []int{i}
	}
	within := func(c []int) float64 { // the sum of squares around the centroid, of distances alone
		sum := 0.0
		for _, i := range c {
			for _, j := range c {
				sum += d.At(i, j) * d.At(i, j)
			}
		}
		return sum / 2 / float64(len(c))
	}
	between := func(a, b []int) float64 {
		if method == quant.WardLinkage {
			return math.Sqrt(2 * (within(slices.Concat(a, b)) - within(a) - within(b)))
		}
		least, most, sum := math.Inf(1), 0.0, 0.0
		for _, i := range a {
			for _, j := range b {
				v := d.At(i, j)
				least, most, sum = math.Min(least, v), math.Max(most, v), sum+v
			}
		}
		switch method {
		case quant.SingleLinkage:
			return least
		case quant.CompleteLinkage:
			return most
		default:
			return sum / float64(len(a)*len(b))
		}
	}
	var heights []float64
	for len(clusters) > 1 {
		bi, bj, best := 0, 1, math.Inf(1)
		for i := range clusters {
			for j := i + 1; j < len(clusters); j++ {
				if v := between(clusters[i], clusters[j]); v < best {
					bi, bj, best = i, j, v
				}
			}
		}
		heights = append(heights, best)
		clusters[bi] = slices.Concat(clusters[bi], clusters[bj])
		clusters = slices.Delete(clusters, bj, bj+1)
	}
	return heights
}

func TestLinkageMatchesItsDefinition(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 5))
	for _, method := range linkages {
		t.Run(string(method)+" merges at the distances of the definition", func(t *testing.T) {
			for range 30 {
				n := 2 + r.IntN(20)
				d := distances(r, n)
				merges, err := quant.Linkage(d, method)
				require.NoError(t, err)
				require.Len(t, merges, n-1)
				want := bruteLinkage(d, method)
				sizes := make([]int, 2*n-1)
				for i := range n {
					sizes[i] = 1
				}
				for i, m := range merges {
					assert.InDelta(t, want[i], m.Distance, 1e-9)
					assert.Less(t, m.A, m.B)
					assert.Less(t, m.B, n+i, "clusters exist before they merge")
					sizes[n+i] = sizes[m.A] + sizes[m.B]
					assert.Equal(t, sizes[n+i], m.Size)
				}
				assert.Equal(t, n, merges[n-2].Size)
			}
		})
	}
}

func TestLeafOrderKeepsClustersTogether(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 5))
	for _, method := range linkages {
		n := 40
		merges, err := quant.Linkage(distances(r, n), method)
		require.NoError(t, err)
		order := quant.LeafOrder(merges)
		place := make([]int, n)
		for at, leaf := range order {
			place[leaf] = at
		}
		lowest, highest := make([]int, 2*n-1), make([]int, 2*n-1)
		for i := range n {
			lowest[i], highest[i] = place[i], place[i]
		}
		for i, m := range merges {
			assert.Equal(t, highest[m.A]+1, lowest[m.B], "A stands before B, without a gap")
			lowest[n+i], highest[n+i] = lowest[m.A], highest[m.B]
		}
		sorted := slices.Sorted(slices.Values(order))
		for i := range n {
			assert.Equal(t, i, sorted[i])
		}
	}
}

func TestLinkageOfTheEdges(t *testing.T) {
	t.Parallel()
	for _, method := range linkages {
		merges, err := quant.Linkage(mat.NewSymDense(1, nil), method)
		require.NoError(t, err)
		assert.Empty(t, merges)
		merges, err = quant.Linkage(mat.NewSymDense(4, nil), method)
		require.NoError(t, err)
		assert.Len(t, quant.LeafOrder(merges), 4, "all at distance 0")
		_, err = quant.Linkage(mat.NewSymDense(2, []float64{0, math.NaN(), math.NaN(), 0}), method)
		require.ErrorIs(t, err, quant.ErrDistance)
		_, err = quant.Linkage(mat.NewSymDense(2, []float64{0, -1, -1, 0}), method)
		require.ErrorIs(t, err, quant.ErrDistance)
		_, err = quant.Linkage(mat.NewSymDense(2, []float64{0, math.Inf(1), math.Inf(1), 0}), method)
		require.ErrorIs(t, err, quant.ErrDistance)
	}
	merges, err := quant.Linkage(&mat.SymDense{}, quant.SingleLinkage)
	require.NoError(t, err)
	assert.Empty(t, merges)
	_, err = quant.Linkage(mat.NewSymDense(2, nil), "nearest")
	require.Error(t, err)
	assert.Equal(t, []int{0}, quant.LeafOrder(nil))
	d := quant.CorrelationDistance(mat.NewSymDense(3,
		[]float64{1, -1, math.NaN(), -1, 1, 1.0000001, math.NaN(), 1.0000001, 1}))
	assert.Equal(t, []float64{1, 0}, []float64{d.At(0, 1), d.At(1, 2)})
	assert.InDelta(t, math.Sqrt(.5), d.At(0, 2), 1e-15)
}

func BenchmarkLinkage500(b *testing.B) {
	d := distances(rand.New(rand.NewPCG(1, 1)), 500)
	for _, method := range linkages {
		b.Run(string(method), func(b *testing.B) {
			for b.Loop() {
				_, _ = quant.Linkage(d, method)
			}
		})
	}
}
