package quant

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// CorrelationMethod names a correlation coefficient.
type CorrelationMethod string

// The correlation coefficients.
const (
	PearsonCorrelation  CorrelationMethod = "pearson"
	SpearmanCorrelation CorrelationMethod = "spearman"
	KendallCorrelation  CorrelationMethod = "kendall" // tau-b
)

// CorrelationBy returns the N×N correlations of returns[a][t] by a method. Each pair is ranked over its own common
// periods, as in pandas' DataFrame.corr. It is NaN where one of the two is constant, else 1 on the diagonal. Errors:
// ErrLength, ErrOption.
func CorrelationBy(ctx context.Context, returns [][]float64, method CorrelationMethod) (*mat.SymDense, error) {
	switch method {
	case PearsonCorrelation:
		return Correlation(ctx, returns)
	case SpearmanCorrelation, KendallCorrelation:
	default:
		return nil, fmt.Errorf("%w: correlation %q", ErrOption, string(method))
	}
	days, err := sameLength(returns)
	if err != nil {
		return nil, err
	}
	n, complete := len(returns), true
	sorted := make([]ranking, n)
	err = parallel(ctx, workersFor(n*days), n, func(i int) { sorted[i] = rankingOf(returns[i]) })
	if err != nil {
		return nil, err
	}
	for i := range sorted {
		complete = complete && len(sorted[i].order) == days
	}
	if method == SpearmanCorrelation && complete {
		ranks := make([][]float64, n)
		for i := range ranks {
			ranks[i] = sorted[i].ranks(sorted[i], nil)
		}
		return Correlation(ctx, ranks)
	}
	out := make([]float64, n*n)
	err = parallel(ctx, runtime.GOMAXPROCS(0), n, func(i int) {
		var room rankRoom
		for j := i; j < n && ctx.Err() == nil; j++ {
			if method == SpearmanCorrelation {
				out[i*n+j] = spearman(sorted[i], sorted[j], i == j, &room)
			} else {
				out[i*n+j] = kendall(sorted[i], sorted[j], i == j, &room)
			}
		}
	})
	if err == nil {
		err = ctx.Err() // ctx may have ended within a row
	}
	if err != nil {
		return nil, err
	}
	return symmetric(n, func(i, j int) float64 { return out[i*n+j] }), nil
}

// Spearman returns Pearson's correlation of the ranks of two series over their common periods (Spearman 1904). Equal
// values, and those that differ by rounding, share the mean of their ranks; infinite values are allowed. NaN for series
// of different lengths or a constant series.
func Spearman(x, y []float64) float64 {
	if len(x) != len(y) {
		return math.NaN()
	}
	return spearman(rankingOf(x), rankingOf(y), false, &rankRoom{})
}

// Kendall returns tau-b of two series over their common periods: (C−D)/√((n₀−n₁)(n₀−n₂)). C and D count the
// concordant and discordant pairs of periods, n₀ = n(n−1)/2, n₁ and n₂ count the ties in x and in y. It takes O(n·log
// n) time (Knight 1966). NaN as in Spearman.
func Kendall(x, y []float64) float64 {
	if len(x) != len(y) {
		return math.NaN()
	}
	return kendall(rankingOf(x), rankingOf(y), false, &rankRoom{})
}

// tie is the relative difference of 1+r below which two returns are equal. It is above the rounding of a product of
// some hundred returns: 1.05 of one price and 1.05 as the product of five days are one return.
const tie = 0x1p-46

// tied reports whether two returns differ by rounding at most.
func tied(a, b float64) bool {
	return a == b || math.Abs(a-b) <= tie*(1+math.Min(math.Abs(a), math.Abs(b)))
}

// ranking orders a series by its observations.
type ranking struct {
	// position is the dense rank of each period: 0 for the least value, the same for equal values, −1 for a missing
	// one.
	position []int32
	order    []int32 // the observed periods, by value
}

// rankingOf returns the ranking of values.
func rankingOf(values []float64) ranking {
	r := ranking{position: make([]int32, len(values)), order: make([]int32, 0, len(values))}
	for t, v := range values {
		r.position[t] = -1
		if v == v {
			r.order = append(r.order, int32(t))
		}
	}
	slices.SortFunc(r.order, func(a, b int32) int { return cmp.Compare(values[a], values[b]) })
	position := int32(0)
	for k, t := range r.order {
		if k > 0 && !tied(values[t], values[r.order[k-1]]) {
			position++
		}
		r.position[t] = position
	}
	return r
}

// rankRoom holds buffers that pairs reuse.
type rankRoom struct {
	x, y             []float64
	positions, spare []int32
}

// ranks returns the ranks, by period, over the periods that other observes too; NaN in the others.
func (r ranking) ranks(other ranking, room []float64) []float64 {
	out := room[:0]
	for range r.position {
		out = append(out, math.NaN())
	}
	from, rank := 0, 0 // start of the run of equal values, and number of observations before it
	for from < len(r.order) {
		to, size := from, 0
		for ; to < len(r.order) && r.position[r.order[to]] == r.position[r.order[from]]; to++ {
			if other.position[r.order[to]] >= 0 {
				size++
			}
		}
		for _, t := range r.order[from:to] {
			if other.position[t] >= 0 {
				out[t] = float64(rank) + float64(size+1)/2
			}
		}
		from, rank = to, rank+size
	}
	return out
}

func spearman(x, y ranking, itself bool, room *rankRoom) float64 {
	room.x, room.y = x.ranks(y, room.x), y.ranks(x, room.y)
	p := pairMomentsOf(room.x, room.y)
	return pearson(itself, p.n, p.xy, p.xx, p.yy)
}

func kendall(x, y ranking, itself bool, room *rankRoom) float64 {
	positions := room.positions[:0] // positions of y, ordered by x and then by y
	equalX, equalBoth := 0, 0
	for from := 0; from < len(x.order); {
		start, to := len(positions), from
		for ; to < len(x.order) && x.position[x.order[to]] == x.position[x.order[from]]; to++ {
			if p := y.position[x.order[to]]; p >= 0 {
				positions = append(positions, p)
			}
		}
		if run := positions[start:]; len(run) > 1 {
			slices.Sort(run)
			equalX += len(run) * (len(run) - 1) / 2
			equalBoth += equalPairs(run)
		}
		from = to
	}
	n := len(positions)
	room.positions = positions
	room.spare = slices.Grow(room.spare[:0], n)
	swaps := sortCounting(positions, room.spare[:n])
	all, equalY := n*(n-1)/2, equalPairs(positions)
	scale := math.Sqrt(float64(all-equalX)) * math.Sqrt(float64(all-equalY))
	switch {
	case n < 2 || scale == 0:
		return math.NaN()
	case itself:
		return 1
	}
	return clip(float64(all-equalX-equalY+equalBoth-2*swaps) / scale)
}

// equalPairs returns the number of pairs of equal values in a sorted slice.
func equalPairs(sorted []int32) int {
	pairs, run := 0, 0
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			run++
			pairs += run
		} else {
			run = 0
		}
	}
	return pairs
}

// insertionSorted is the largest number of values that insertion sort handles.
const insertionSorted = 12

// sortCounting sorts values and returns the number of inverted pairs.
func sortCounting(values, spare []int32) int {
	n := len(values)
	if n <= insertionSorted {
		swaps := 0
		for i := 1; i < n; i++ {
			v, j := values[i], i
			for ; j > 0 && values[j-1] > v; j-- {
				values[j] = values[j-1]
			}
			values[j] = v
			swaps += i - j
		}
		return swaps
	}
	half := n / 2
	swaps := sortCounting(values[:half], spare[:half]) + sortCounting(values[half:], spare[half:])
	if values[half-1] <= values[half] {
		return swaps
	}
	copy(spare, values)
	left, right := spare[:half], spare[half:]
	i, j := 0, 0
	for i < len(left) && j < len(right) {
		// No branch on the comparison, which the processor could not predict.
		v, second := left[i], 0
		if right[j] < v {
			v, second = right[j], 1
		}
		values[i+j] = v
		swaps += second * (len(left) - i)
		i += 1 - second
		j += second
	}
	copy(values[i+j:], left[i:])
	copy(values[i+j+len(left)-i:], right[j:])
	return swaps
}
