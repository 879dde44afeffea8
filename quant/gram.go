package quant

import (
	"context"
	"math"
	"runtime"
)

// The sums of products of all pairs of N series are the product of a matrix with its own transpose. The series are
// interleaved in panels of 8, cut into blocks of days that fit the cache, and multiplied by kernels of 24×8 that keep
// their sums in registers (Goto and van de Geijn, Anatomy of high-performance matrix multiplication, 2008). The sum
// of a pair has the same parts in the same order on any number of cores.
const (
	panelWidth  = 8
	groupPanels = 3
	groupWidth  = panelWidth * groupPanels
	blockDays   = 128
)

// packed stores series in panels. Block b of panel p starts at (b·panels+p)·blockDays·panelWidth, and holds for each
// of its days the values of 8 series, padded with 0.
type packed struct {
	series, days   int
	panels, blocks int
	data           []float64
}

func newPacked(series, days int) *packed {
	groups := (series + groupWidth - 1) / groupWidth
	p := &packed{series: series, days: days, panels: groups * groupPanels, blocks: (days + blockDays - 1) / blockDays}
	p.data = make([]float64, p.panels*p.blocks*blockDays*panelWidth)
	return p
}

// block returns the part of a panel in a block of days.
func (p *packed) block(panel, block int) []float64 {
	at := (block*p.panels + panel) * blockDays * panelWidth
	return p.data[at : at+blockDays*panelWidth]
}

// set stores the values of a panel: those of series[r] less shift[r], and 0 for NaN.
func (p *packed) set(panel int, series [][]float64, shift []float64) {
	for b := range p.blocks {
		out := p.block(panel, b)
		from, to := b*blockDays, min((b+1)*blockDays, p.days)
		for r, s := range series {
			mean := shift[r]
			for t, v := range s[from:to] {
				d := v - mean
				if d != d {
					d = 0
				}
				out[t*panelWidth+r] = d
			}
		}
	}
}

// gram returns the sums of products of all pairs: that of series i and j ≥ i is out[i·stride+j]. Cells below the
// diagonal are undefined. It checks ctx once for each block of days.
func (p *packed) gram(ctx context.Context, kernel tileKernel) (out []float64, stride int, err error) {
	stride = p.panels * panelWidth
	out = make([]float64, stride*stride)
	groups := p.panels / groupPanels
	workers := 1
	if p.series*p.series*p.days > 1<<18 {
		workers = min(runtime.GOMAXPROCS(0), groups)
	}
	err = parallel(ctx, workers, workers, func(w int) {
		for b := range p.blocks {
			if ctx.Err() != nil {
				return
			}
			days := min(blockDays, p.days-b*blockDays)
			for round := 0; round*workers < groups; round++ {
				g := round*workers + w
				if round%2 == 1 { // alternating direction, as later groups have longer rows
					g = (round+1)*workers - 1 - w
				}
				if g < groups {
					p.row(out, stride, b, g, days, kernel)
				}
			}
		}
	})
	if err == nil {
		err = ctx.Err()
	}
	return out, stride, err
}

// row adds, for one block of days, the products of a group with all panels up to its own.
func (p *packed) row(out []float64, stride, block, group, days int, kernel tileKernel) {
	a := p.data[(block*p.panels+group*groupPanels)*blockDays*panelWidth:]
	for j := range (group + 1) * groupPanels {
		kernel(days, a, p.block(j, block), out[j*panelWidth*stride+group*groupWidth:], stride)
	}
}

// tileKernel adds to c, whose rows are stride apart, the products of the 24 series of three panels with the 8 of one:
// c[8 rows][24 columns].
type tileKernel func(days int, a, b, c []float64, stride int)

// portableTile is the kernel in Go, for processors without a special kernel and for the tests of these.
func portableTile(days int, a, b, c []float64, stride int) {
	for q := range groupPanels {
		panel := a[q*blockDays*panelWidth:]
		for i := 0; i < panelWidth; i += 2 {
			for j := 0; j < panelWidth; j += 4 {
				var s00, s01, s02, s03, s10, s11, s12, s13 float64
				for t := range days {
					x := panel[t*panelWidth+i : t*panelWidth+i+2 : t*panelWidth+i+2]
					y := b[t*panelWidth+j : t*panelWidth+j+4 : t*panelWidth+j+4]
					x0, x1 := x[0], x[1]
					s00 += x0 * y[0]
					s01 += x0 * y[1]
					s02 += x0 * y[2]
					s03 += x0 * y[3]
					s10 += x1 * y[0]
					s11 += x1 * y[1]
					s12 += x1 * y[2]
					s13 += x1 * y[3]
				}
				at := j*stride + q*panelWidth + i
				for _, s := range [4][2]float64{{s00, s10}, {s01, s11}, {s02, s12}, {s03, s13}} {
					c[at] += s[0]
					c[at+1] += s[1]
					at += stride
				}
			}
		}
	}
}

// portableGather is gather in Go.
func portableGather(rows []int, panel []float64, total *[2 * panelWidth]float64) {
	*total = [2 * panelWidth]float64{}
	for half := 0; half < panelWidth; half += 4 {
		var s0, s1, s2, s3, q0, q1, q2, q3 float64
		for _, at := range rows {
			v := panel[at+half : at+half+4 : at+half+4]
			s0 += v[0]
			s1 += v[1]
			s2 += v[2]
			s3 += v[3]
			q0 += v[0] * v[0]
			q1 += v[1] * v[1]
			q2 += v[2] * v[2]
			q3 += v[3] * v[3]
		}
		copy(total[half:], []float64{s0, s1, s2, s3})
		copy(total[panelWidth+half:], []float64{q0, q1, q2, q3})
	}
}

// meanOf returns the mean of the observed values and their number. The mean of a constant series is exact.
func meanOf(values []float64) (mean float64, n int) {
	var s [4]float64
	i := 0
	for ; i+4 <= len(values); i += 4 {
		v := values[i : i+4 : i+4]
		s[0] += v[0]
		s[1] += v[1]
		s[2] += v[2]
		s[3] += v[3]
	}
	sum := (s[0] + s[1]) + (s[2] + s[3])
	for ; i < len(values); i++ {
		sum += values[i]
	}
	n = len(values)
	if math.IsNaN(sum) {
		sum, n = 0, 0
		for _, v := range values {
			if !math.IsNaN(v) {
				sum += v
				n++
			}
		}
	}
	mean = sum / float64(n)
	if n == 0 || math.IsInf(mean, 0) {
		return math.NaN(), n
	}
	first := math.NaN()
	for _, v := range values {
		if math.IsNaN(v) {
			continue
		}
		if math.IsNaN(first) {
			first = v
		} else if v != first {
			return mean, n
		}
	}
	return first, n
}
