package quant

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// LinkageMethod names a distance between two clusters.
type LinkageMethod string

// The linkage methods. All are monotone: a merge is never nearer than the merges inside it.
const (
	SingleLinkage   LinkageMethod = "single"   // distance of the nearest two leaves
	CompleteLinkage LinkageMethod = "complete" // distance of the farthest two leaves
	AverageLinkage  LinkageMethod = "average"  // mean over all pairs of leaves (UPGMA)
	WardLinkage     LinkageMethod = "ward"     // increase of the variance within
)

// ErrDistance reports a distance that is negative or not finite.
var ErrDistance = errors.New("a distance is negative or not finite")

// Merge is one step of a hierarchical clustering. The numbering is scipy's: clusters 0 to n−1 are the leaves, and
// merge i makes cluster n+i. A is less than B, Distance is the distance between the two, and Size the number of
// leaves of the new cluster.
type Merge struct {
	A, B     int
	Distance float64
	Size     int
}

// Linkage clusters n items by their N×N distances, in n−1 merges of increasing distance; the diagonal is ignored.
// Equal distances merge in the order of scipy.cluster.hierarchy.linkage. It takes O(n²) time. Errors: ErrDistance for
// a distance that is negative or not finite, and an unknown method.
//
// Sources: Müllner, Modern hierarchical, agglomerative clustering algorithms (2011), for the spanning tree of single
// linkage and the nearest-neighbour chain of the others. Lance and Williams (1967) for the updated distances.
func Linkage(distance *mat.SymDense, method LinkageMethod) ([]Merge, error) {
	n := distance.SymmetricDim()
	for i := range n {
		for j := i + 1; j < n; j++ {
			if d := distance.At(i, j); !(d >= 0 && d <= math.MaxFloat64) {
				return nil, fmt.Errorf("%w: %v between %d and %d", ErrDistance, d, i, j)
			}
		}
	}
	if n < 2 {
		return []Merge{}, nil
	}
	var merges []Merge
	switch method {
	case SingleLinkage:
		merges = spanningTree(distance)
	case CompleteLinkage:
		merges = neighbourChain(distance, func(dx, dy, _, _, _, _ float64) float64 { return math.Max(dx, dy) })
	case AverageLinkage:
		merges = neighbourChain(distance, func(dx, dy, _, nx, ny, _ float64) float64 {
			return (nx*dx + ny*dy) / (nx + ny)
		})
	case WardLinkage:
		merges = neighbourChain(distance, func(dx, dy, dxy, nx, ny, ni float64) float64 {
			return math.Sqrt(math.Max(0, ((nx+ni)*dx*dx+(ny+ni)*dy*dy-ni*dxy*dxy)/(nx+ny+ni)))
		})
	default:
		return nil, fmt.Errorf("unsupported linkage %q: use single, complete, average or ward", string(method))
	}
	slices.SortStableFunc(merges, func(a, b Merge) int { return cmp.Compare(a.Distance, b.Distance) })
	return number(merges), nil
}

// spanningTree returns the merges of Prim's algorithm. A and B are consecutive leaves in the order of growth, in
// which clusters of single linkage are intervals.
func spanningTree(distance *mat.SymDense) []Merge {
	n := distance.SymmetricDim()
	merges := make([]Merge, 0, n-1)
	nearest := make([]float64, n) // distance to the tree so far
	for i := range nearest {
		nearest[i] = math.Inf(1)
	}
	outside := make([]int, n-1)
	for i := range outside {
		outside[i] = i + 1
	}
	for x := 0; len(outside) > 0; {
		best := 0
		for k, j := range outside {
			nearest[j] = math.Min(nearest[j], distance.At(x, j))
			if nearest[j] < nearest[outside[best]] {
				best = k
			}
		}
		y := outside[best]
		outside = slices.Delete(outside, best, best+1)
		merges = append(merges, Merge{A: x, B: y, Distance: nearest[y]})
		x = y
	}
	return merges
}

// neighbourChain follows nearest neighbours until two are each other's, and merges these. update returns the distance
// of the new cluster xy to i, from d(i,x), d(i,y), d(x,y) and the sizes of x, y and i.
func neighbourChain(distance *mat.SymDense, update func(dx, dy, dxy, nx, ny, ni float64) float64) []Merge {
	n := distance.SymmetricDim()
	d := mat.DenseCopyOf(distance)
	size := make([]float64, n) // 0: merged into another
	for i := range size {
		size[i] = 1
	}
	merges := make([]Merge, 0, n-1)
	var chain []int
	for len(merges) < n-1 {
		if len(chain) == 0 {
			chain = append(chain, slices.IndexFunc(size, func(s float64) bool { return s > 0 }))
		}
		var x, y int
		var near float64
		for {
			x, y, near = chain[len(chain)-1], -1, math.Inf(1)
			if len(chain) > 1 {
				y = chain[len(chain)-2]
				near = d.At(x, y)
			}
			for i, row := 0, d.RawRowView(x); i < n; i++ {
				if i != x && size[i] > 0 && (row[i] < near || y < 0) {
					y, near = i, row[i]
				}
			}
			if len(chain) > 1 && y == chain[len(chain)-2] {
				break
			}
			chain = append(chain, y)
		}
		chain = chain[:len(chain)-2]
		x, y = min(x, y), max(x, y)
		merges = append(merges, Merge{A: x, B: y, Distance: near})
		nx, ny := size[x], size[y]
		size[x], size[y] = 0, nx+ny
		for i, ni := range size {
			if ni > 0 && i != y {
				v := update(d.At(i, x), d.At(i, y), near, nx, ny, ni)
				d.Set(i, y, v)
				d.Set(y, i, v)
			}
		}
	}
	return merges
}

// number replaces leaves that stand for clusters by the clusters' numbers, and sets the sizes.
func number(merges []Merge) []Merge {
	n := len(merges) + 1
	parent, size := make([]int, 2*n-1), make([]int, 2*n-1)
	for i := range parent {
		parent[i], size[i] = i, 1
	}
	root := func(x int) int {
		for parent[x] != x {
			parent[x] = parent[parent[x]]
			x = parent[x]
		}
		return x
	}
	for i, m := range merges {
		a, b := root(m.A), root(m.B)
		parent[a], parent[b] = n+i, n+i
		size[n+i] = size[a] + size[b]
		merges[i] = Merge{A: min(a, b), B: max(a, b), Distance: m.Distance, Size: size[n+i]}
	}
	return merges
}

// LeafOrder returns the quasi-diagonal order of the n leaves of n−1 merges: from the last merge down, the leaves of A
// before those of B. So similar items are adjacent (López de Prado, Building diversified portfolios that outperform
// out of sample, 2016). Without a merge, there is one leaf.
func LeafOrder(merges []Merge) []int {
	n := len(merges) + 1
	order := make([]int, 0, n)
	stack := []int{2*n - 2}
	for len(stack) > 0 {
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if c < n {
			order = append(order, c)
			continue
		}
		stack = append(stack, merges[c-n].B, merges[c-n].A)
	}
	return order
}

// CorrelationDistance returns the N×N distances √((1−ρ)/2) of correlations: 0 for ρ = 1 and 1 for ρ = −1 (López de
// Prado 2016). Correlations beyond ±1 by rounding count as ±1. An undefined correlation counts as 0, so that one
// asset without data does not disturb the order of the others.
func CorrelationDistance(correlation *mat.SymDense) *mat.SymDense {
	n := correlation.SymmetricDim()
	if n == 0 {
		return &mat.SymDense{}
	}
	out := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i + 1; j < n; j++ {
			rho := correlation.At(i, j)
			if math.IsNaN(rho) {
				rho = 0
			}
			out.SetSym(i, j, math.Sqrt((1-math.Max(-1, math.Min(1, rho)))/2))
		}
	}
	return out
}
