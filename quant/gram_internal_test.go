package quant

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func noise(r *rand.Rand, series, days int) [][]float64 {
	out := make([][]float64, series)
	for i := range out {
		out[i] = make([]float64, days)
		for t := range out[i] {
			out[i][t] = r.NormFloat64() * .01
		}
	}
	return out
}

func pack(series [][]float64) *packed {
	p := newPacked(len(series), len(series[0]))
	for k := 0; k*panelWidth < len(series); k++ {
		part := series[k*panelWidth : min((k+1)*panelWidth, len(series))]
		p.set(k, part, make([]float64, len(part)))
	}
	return p
}

func TestEveryKernelSumsProducts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 8))
	for name, kernel := range kernels() {
		t.Run(name+" gives the sums of products of all pairs", func(t *testing.T) {
			for _, size := range [][2]int{{1, 1}, {3, 7}, {8, 128}, {23, 129}, {25, 300}, {49, 513}, {130, 260}} {
				x := noise(r, size[0], size[1])
				out, stride, err := pack(x).gram(t.Context(), kernel)
				require.NoError(t, err)
				for i := range x {
					for j := i; j < len(x); j++ {
						want := 0.0
						for t, v := range x[i] {
							want += v * x[j][t]
						}
						assert.InDelta(t, want, out[i*stride+j], 1e-16*float64(10+size[1]), "%d series, %d days: %d %d",
							size[0],
							size[1], i, j)
					}
				}
			}
		})
	}
}

func TestGatherMatchesThePortableVersion(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 8))
	p := pack(noise(r, 8, 400))
	for n := range 20 {
		rows := make([]int, n)
		for k := range rows {
			rows[k] = 5*k*panelWidth + r.IntN(5)*panelWidth
		}
		var got, want [2 * panelWidth]float64
		gather(rows, p.data, &got)
		portableGather(rows, p.data, &want)
		assert.InDeltaSlice(t, want[:], got[:], 1e-16)
	}
}

func BenchmarkGram500x2520(b *testing.B) {
	p := pack(noise(rand.New(rand.NewPCG(1, 1)), 500, 2520))
	for name, kernel := range kernels() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _, _ = p.gram(b.Context(), kernel)
			}
			b.ReportMetric(500*501*2520*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS")
		})
	}
}
