package quant

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"runtime"

	"gonum.org/v1/gonum/mat"
)

// ErrLength reports series whose lengths do not match.
var ErrLength = errors.New("the lengths of the series differ")

// sameLength returns the common length of series. Errors: ErrLength.
func sameLength(series [][]float64) (days int, err error) {
	if len(series) == 0 {
		return 0, nil
	}
	for i, s := range series {
		if len(s) != len(series[0]) {
			return 0, fmt.Errorf("%w: %d values in series 1, %d in series %d", ErrLength, len(series[0]), len(s), i+1)
		}
	}
	return len(series[0]), nil
}

// CoMoments holds, for each pair of N series, the number of common observations, the sums and the sums of products.
// Covariances and correlations derive from them. Each pair uses the periods in which both series are observed,
// whatever the other series miss. Concurrent reads are safe.
type CoMoments struct {
	series, days int
	products     []float64 // products of deviations from each series' own mean, for j ≥ i
	stride       int
	defined      []bool // false without a finite mean

	// Series that miss the same periods share a pattern; pattern 0 misses none. sums[p·series+i] and squares hold the
	// sums of the deviations of series i over the periods of pattern p. common[p·patterns+q] is the number of periods
	// that two patterns share.
	pattern       []int
	patterns      int
	commonPeriods []int32
	sums, squares []float64
}

// NewCoMoments returns the co-moments of returns[a][t], asset a in period t, NaN where it is not observed. A series
// with an infinite value has NaN for all its results; other series are unaffected. It stops when ctx ends, as all
// estimators of this package that take a context do. Errors: ErrLength for series of different lengths, and the error
// of ctx.
//
// Deviations are from each series' own mean, so that products do not cancel. The mean over the common periods is
// taken from the rest: the corrected two-pass algorithm of Chan, Golub and LeVeque (1983).
func NewCoMoments(ctx context.Context, returns [][]float64) (*CoMoments, error) {
	return newCoMoments(ctx, returns, meanOf)
}

// newCoMoments computes deviations from the centre that about returns; NaN marks an undefined series.
func newCoMoments(ctx context.Context, returns [][]float64,
	about func([]float64) (from float64, n int)) (*CoMoments, error) {
	days, err := sameLength(returns)
	if err != nil {
		return nil, err
	}
	n := len(returns)
	m := &CoMoments{series: n, days: days, defined: make([]bool, n), pattern: make([]int, n), patterns: 1,
		commonPeriods: []int32{int32(days)}}
	p := newPacked(n, days)
	means, counts := make([]float64, n), make([]int, n)
	parts := (n + panelWidth - 1) / panelWidth
	workers := workersFor(n * days)
	err = parallel(ctx, workers, parts, func(k int) {
		from, to := k*panelWidth, min((k+1)*panelWidth, n)
		for i := from; i < to; i++ {
			means[i], counts[i] = about(returns[i])
			m.defined[i] = !math.IsNaN(means[i])
		}
		p.set(k, returns[from:to], means[from:to])
	})
	if err != nil {
		return nil, err
	}
	if m.products, m.stride, err = p.gram(ctx, kernel()); err != nil {
		return nil, err
	}
	if err := m.missing(ctx, returns, counts, p); err != nil {
		return nil, err
	}
	return m, nil
}

// workersFor returns the number of goroutines that a number of operations is worth.
func workersFor(operations int) int {
	if operations < 1<<15 {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}

// missing finds the patterns of missing periods, and sums all series over the periods of each pattern.
func (m *CoMoments) missing(ctx context.Context, returns [][]float64, counts []int, p *packed) error {
	masks := [][]uint64{nil}
	known := map[string]int{}
	for i, r := range returns {
		if counts[i] == m.days {
			continue
		}
		mask, key := observed(r)
		at, ok := known[key]
		if !ok {
			at = len(masks)
			known[key] = at
			masks = append(masks, mask)
		}
		m.pattern[i] = at
	}
	g := len(masks)
	if g == 1 {
		return nil
	}
	m.patterns, m.commonPeriods = g, make([]int32, g*g)
	m.sums, m.squares = make([]float64, g*m.series), make([]float64, g*m.series)
	rows := make([][]int, g) // offsets in a panel of the days of a pattern, or of its missing days if these are fewer
	few := make([]bool, g)
	m.commonPeriods[0] = int32(m.days)
	for a := 1; a < g; a++ {
		n := 0
		for _, w := range masks[a] {
			n += bits.OnesCount64(w)
		}
		m.commonPeriods[a], m.commonPeriods[a*g] = int32(n), int32(n)
		few[a] = 2*n <= m.days
		rows[a] = make([]int, 0, min(n, m.days-n))
		for t := range m.days {
			if (masks[a][t/64]>>(t%64)&1 == 1) == few[a] {
				rows[a] = append(rows[a], t/blockDays*p.panels*blockDays*panelWidth+t%blockDays*panelWidth)
			}
		}
	}
	workers := runtime.GOMAXPROCS(0)
	err := parallel(ctx, workers, g-1, func(k int) {
		a := k + 1
		for b := a; b < g; b++ {
			n := 0
			for w, x := range masks[a] {
				n += bits.OnesCount64(x & masks[b][w])
			}
			m.commonPeriods[a*g+b], m.commonPeriods[b*g+a] = int32(n), int32(n)
		}
	})
	if err != nil {
		return err
	}
	for i := range m.series {
		m.squares[i] = m.products[i*m.stride+i] // deviations from the series' own mean sum to 0
	}
	return parallel(ctx, workers, (m.series+panelWidth-1)/panelWidth, func(panel int) {
		var total [2 * panelWidth]float64
		for a := 1; a < g && ctx.Err() == nil; a++ {
			gather(rows[a], p.data[panel*blockDays*panelWidth:], &total)
			all, allSquares := total[:panelWidth], total[panelWidth:]
			for r := range min(panelWidth, m.series-panel*panelWidth) {
				i := panel*panelWidth + r
				sum, squares := all[r], allSquares[r]
				if !few[a] {
					sum, squares = -sum, m.squares[i]-squares
				}
				m.sums[a*m.series+i], m.squares[a*m.series+i] = sum, squares
			}
		}
	})
}

// observed returns a mask with a bit for each period, 1 for a value, and the same mask as a map key.
func observed(values []float64) (mask []uint64, key string) {
	mask = make([]uint64, (len(values)+63)/64)
	for t, v := range values {
		if v == v {
			mask[t/64] |= 1 << (t % 64)
		}
	}
	b := make([]byte, 0, 8*len(mask))
	for _, w := range mask {
		b = append(b, byte(w), byte(w>>8), byte(w>>16), byte(w>>24), byte(w>>32), byte(w>>40), byte(w>>48), byte(w>>56))
	}
	return mask, string(b)
}

// Observations returns the number of periods in which i and j are both observed; for i = j, those of i alone.
func (m *CoMoments) Observations(i, j int) int {
	return int(m.commonPeriods[m.pattern[i]*m.patterns+m.pattern[j]])
}

// pair returns the number of common periods and the sums of products of deviations from the means over these periods:
// of i with j, of i and of j.
func (m *CoMoments) pair(i, j int) (n, xy, xx, yy float64) {
	if i > j {
		n, xy, yy, xx = m.pair(j, i)
		return n, xy, xx, yy
	}
	n = float64(m.Observations(i, j))
	if !m.defined[i] || !m.defined[j] || n == 0 {
		nan := math.NaN()
		return n, nan, nan, nan
	}
	xy = m.products[i*m.stride+j]
	if m.patterns == 1 {
		if xx, yy = m.products[i*m.stride+i], m.products[j*m.stride+j]; isConstant(n, xx) || isConstant(n, yy) {
			xy = 0
		}
		return n, xy, aboveRounding(n, xx), aboveRounding(n, yy)
	}
	x, y := m.pattern[j]*m.series+i, m.pattern[i]*m.series+j
	sx, sy := m.sums[x], m.sums[y]
	xx, yy = m.squares[x]-sx*sx/n, m.squares[y]-sy*sy/n
	// Of a series that is constant over the common periods, only rounding remains.
	if xx <= 1e-13*m.squares[i] || isConstant(n, xx) {
		xx = 0
	}
	if yy <= 1e-13*m.squares[j] || isConstant(n, yy) {
		yy = 0
	}
	if xx == 0 || yy == 0 {
		return n, 0, xx, yy
	}
	return n, xy - sx*sy/n, xx, yy
}

// isConstant reports whether n deviations with this sum of squares are only the rounding of constant returns.
func isConstant(n, squares float64) bool { return squares <= n*minDifference*minDifference/16 }

// aboveRounding returns a sum of squares, or 0 when it is only rounding.
func aboveRounding(n, squares float64) float64 {
	if isConstant(n, squares) {
		return 0
	}
	return squares
}

// cosines returns the N×N matrix Σxy/√(Σx²·Σy²) of the deviations from their given centres, over the common periods
// of each pair.
func (m *CoMoments) cosines() *mat.SymDense {
	return symmetric(m.series, func(i, j int) float64 {
		n := float64(m.Observations(i, j))
		if !m.defined[i] || !m.defined[j] || n == 0 {
			return math.NaN()
		}
		xx, yy := m.products[i*m.stride+i], m.products[j*m.stride+j]
		if m.patterns > 1 {
			xx, yy = m.squares[m.pattern[j]*m.series+i], m.squares[m.pattern[i]*m.series+j]
		}
		return pearson(i == j, max(n, 2), m.products[i*m.stride+j], xx, yy)
	})
}

// Covariance returns the N×N matrix of sample covariances, times periods: the number of periods a year, or 1. Its
// formula is periods·Σ(x−x̄)(y−ȳ)/(n−1), with means and n over the common periods of the pair, as in pandas'
// DataFrame.cov. A pair with fewer than two common periods is NaN. With missing values the matrix may not be positive
// semidefinite; see Repair.
func (m *CoMoments) Covariance(periods float64) *mat.SymDense {
	return symmetric(m.series, func(i, j int) float64 {
		n, xy, _, _ := m.pair(i, j)
		if n < 2 {
			return math.NaN()
		}
		return xy / (n - 1) * periods
	})
}

// Correlation returns the N×N matrix of Pearson's correlations. Means and deviations are over the common periods of
// the pair, as in pandas' DataFrame.corr, not over each series' own periods. It is NaN where one of the two is
// constant, else 1 on the diagonal.
func (m *CoMoments) Correlation() *mat.SymDense {
	if m.patterns > 1 {
		return symmetric(m.series, func(i, j int) float64 {
			n, xy, xx, yy := m.pair(i, j)
			return pearson(i == j, n, xy, xx, yy)
		})
	}
	scale := make([]float64, m.series)
	for i := range scale {
		scale[i] = math.NaN()
		if n, _, xx, _ := m.pair(i, i); n > 1 && xx > 0 {
			scale[i] = 1 / math.Sqrt(xx)
		}
	}
	return symmetric(m.series, func(i, j int) float64 {
		if i == j && scale[i] > 0 {
			return 1
		}
		return clip(m.products[i*m.stride+j] * scale[i] * scale[j])
	})
}

// pearson returns the correlation for the sums of pair; that of a series with itself is exactly 1.
func pearson(itself bool, n, xy, xx, yy float64) float64 {
	switch {
	case n < 2 || !(xx > 0) || !(yy > 0):
		return math.NaN()
	case itself:
		return 1
	}
	return clip(xy / (math.Sqrt(xx) * math.Sqrt(yy)))
}

// clip limits a correlation to ±1, against rounding; NaN stays.
func clip(rho float64) float64 {
	switch {
	case rho > 1:
		return 1
	case rho < -1:
		return -1
	}
	return rho
}

// symmetric returns the matrix of cell(i, j), computed by rows on all cores.
func symmetric(n int, cell func(i, j int) float64) *mat.SymDense {
	if n == 0 {
		return &mat.SymDense{}
	}
	data := make([]float64, n*n)
	_ = parallel(context.Background(), workersFor(n*n), n, func(i int) { // no context: this is short
		row := data[i*n : (i+1)*n]
		for j := i; j < n; j++ {
			row[j] = cell(i, j)
		}
	})
	return mat.NewSymDense(n, data)
}

// Covariance returns CoMoments.Covariance of returns[a][t]. Errors are those of NewCoMoments.
func Covariance(ctx context.Context, returns [][]float64, periods float64) (*mat.SymDense, error) {
	m, err := NewCoMoments(ctx, returns)
	if err != nil {
		return nil, err
	}
	return m.Covariance(periods), nil
}

// Correlation returns CoMoments.Correlation of returns[a][t]. Errors are those of NewCoMoments.
func Correlation(ctx context.Context, returns [][]float64) (*mat.SymDense, error) {
	m, err := NewCoMoments(ctx, returns)
	if err != nil {
		return nil, err
	}
	return m.Correlation(), nil
}
