package conic

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// Normal is the matrix Σ weight·row·rowᵀ over the dense variables. The weights of active rows grow without limit and
// would drown the other rows. So a row of several values counts with at most the weight heavy, and the excess borders
// the matrix. More such rows than a corner of the feasible region has, such as all scenarios of an empty portfolio,
// raise the limit: only the heaviest rows border the matrix.
type Normal struct {
	n      int
	m      []float64 // upper triangle
	chol   blas64.Triangular
	rows   []float64 // of the border, consecutive
	above  []float64 // the weight of each beyond heavy
	solved []float64 // m⁻¹ times each
	schur  blas64.Triangular
	buf    []float64
	v      []float64
}

const heavy = 1e3

func (g *Normal) reset() {
	clear(g.m)
	g.rows, g.above = g.rows[:0], g.above[:0]
}

// Add adds one row.
func (g *Normal) Add(r Row, weight float64) {
	if weight > heavy && len(r.Index) > 1 {
		at := len(g.rows)
		g.rows = append(g.rows, make([]float64, g.n)...)
		r.add(g.rows[at:], 1)
		g.above = append(g.above, weight-heavy)
		weight = heavy
	}
	r.outer(g.m, g.n, weight)
}

// AddRows adds rows of n values each.
func (g *Normal) AddRows(rows, weights []float64) {
	n := g.n
	if len(g.buf) < len(rows) {
		g.buf = make([]float64, len(rows))
	}
	for t, w := range weights {
		row := rows[t*n : (t+1)*n]
		if w > heavy {
			g.rows = append(g.rows, row...)
			g.above = append(g.above, w-heavy)
			w = heavy
		}
		floats.ScaleTo(g.buf[t*n:(t+1)*n], math.Sqrt(w), row)
	}
	blas64.Syrk(blas.Trans, 1, blas64.General{Rows: len(weights), Cols: n, Stride: n, Data: g.buf}, 1, g.symmetric())
}

// AddDiagonal adds to one value of the diagonal.
func (g *Normal) AddDiagonal(i int, v float64) { g.m[i*g.n+i] += v }

func (g *Normal) symmetric() blas64.Symmetric {
	return blas64.Symmetric{N: g.n, Stride: g.n, Data: g.m, Uplo: blas.Upper}
}

// lighten keeps in the border as many rows as a corner has, and a few more for ties.
func (g *Normal) lighten() {
	n, most := g.n, 4*g.n+32
	k := len(g.above)
	if k <= most {
		return
	}
	order := make([]int, k)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(g.above[b], g.above[a]) })
	line := g.above[order[most]]
	rows, above := make([]float64, 0, most*n), make([]float64, 0, most)
	for at, i := range order {
		row := g.rows[i*n : (i+1)*n]
		if at < most {
			rows, above = append(rows, row...), append(above, g.above[i]-line)
		}
		floats.ScaleTo(g.buf[at*n:(at+1)*n], math.Sqrt(math.Min(g.above[i], line)), row)
	}
	blas64.Syrk(blas.Trans, 1, blas64.General{Rows: k, Cols: n, Stride: n, Data: g.buf}, 1, g.symmetric())
	g.rows, g.above = append(g.rows[:0], rows...), g.above[:0]
	for i, v := range above {
		if v > 0 {
			g.above = append(g.above, v)
			copy(g.rows[(len(g.above)-1)*n:len(g.above)*n], g.rows[i*n:(i+1)*n])
		}
	}
	g.rows = g.rows[:len(g.above)*n]
}

func (g *Normal) factor() bool {
	var ok bool
	if need := len(g.above) * g.n; len(g.buf) < need {
		g.buf = make([]float64, need)
	}
	g.lighten()
	if g.chol, ok = lapack64.Potrf(g.symmetric()); !ok {
		return false
	}
	n, k := g.n, len(g.above)
	if k == 0 {
		return true
	}
	g.solved = append(g.solved[:0], make([]float64, n*k)...)
	for i := range k {
		for j, v := range g.rows[i*n : (i+1)*n] {
			g.solved[j*k+i] = v
		}
	}
	lapack64.Potrs(g.chol, blas64.General{Rows: n, Cols: k, Stride: k, Data: g.solved})
	full := blas64.General{Rows: k, Cols: k, Stride: k, Data: make([]float64, k*k)}
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, blas64.General{Rows: k, Cols: n, Stride: n, Data: g.rows},
		blas64.General{Rows: n, Cols: k, Stride: k, Data: g.solved}, 0, full)
	for i := range k {
		full.Data[i*k+i] += 1/g.above[i] + ridge*full.Data[i*k+i]
	}
	g.schur, ok = lapack64.Potrf(blas64.Symmetric{N: k, Stride: k, Data: full.Data, Uplo: blas.Upper})
	return ok
}

// solve sets x = m⁻¹x.
func (g *Normal) solve(x []float64) {
	v := blas64.Vector{N: g.n, Inc: 1, Data: x}
	blas64.Trsv(blas.Trans, g.chol, v)
	blas64.Trsv(blas.NoTrans, g.chol, v)
	k := len(g.above)
	if k == 0 {
		return
	}
	g.v = append(g.v[:0], make([]float64, k)...)
	gemv(false, k, g.n, 1, g.rows, x, 0, g.v)
	lapack64.Potrs(g.schur, blas64.General{Rows: k, Cols: 1, Stride: 1, Data: g.v})
	gemv(false, g.n, k, -1, g.solved, g.v, 1, x)
}
