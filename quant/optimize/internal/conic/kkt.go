package conic

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// kkt solves the linear systems of the method,
//
//	P·dx + Aᵀdy + Gᵀdz = bx,  A·dx = by,  G·dx − W²·dz = bz.
//
// It eliminates the rows of G and the variables of blocks. The rest is a symmetric matrix H over the dense variables;
// ρAᵀA is added, so that H is definite whenever the system has one solution. The equations, the side rows and the
// rank-one term of a cone border H, and are solved by their Schur complement. Refinement against the whole system
// restores the precision that elimination costs.
type kkt struct {
	p     *Program
	s     shape
	scale float64
	w     *scaling
	n     int
	h     *Normal
	// the border: its rows over all variables, H⁻¹ times each, minus its diagonal, and the factor of its Schur
	// complement
	rows, solved [][]float64
	corner       []float64
	schur        blas64.Triangular
	// buffers of the refinement
	rx, ry, rz, tz []float64
	ex, ey, ez     []float64
}

const (
	equality = 1.0   // ρ
	ridge    = 1e-16 // relative increase of the diagonal
	rounds   = 6     // of refinement, at most
)

func newKKT(p *Program, s shape, scale float64, w *scaling) *kkt {
	k := &kkt{p: p, s: s, scale: scale, w: w, n: p.N, h: &Normal{n: p.N, m: make([]float64, p.N*p.N)}}
	border := len(p.Equal) + len(p.Side)
	if p.Cone != nil {
		border++
	}
	for range border {
		k.rows, k.solved = append(k.rows, make([]float64, s.nx)), append(k.solved, make([]float64, s.nx))
	}
	k.corner = make([]float64, border)
	k.schur = blas64.Triangular{
		N:      border,
		Stride: max(border, 1),
		Data:   make([]float64, border*border),
		Uplo:   blas.Upper,
		Diag:   blas.NonUnit}
	for i := range p.Equal {
		p.Equal[i].add(k.rows[i], 1)
	}
	for i := range p.Side {
		p.addSide(s, k.rows[len(p.Equal)+i], i, 1)
	}
	k.rx, k.ex = make([]float64, s.nx), make([]float64, s.nx)
	k.ry, k.ey = make([]float64, len(p.Equal)), make([]float64, len(p.Equal))
	k.rz, k.ez, k.tz = make([]float64, s.nz), make([]float64, s.nz), make([]float64, s.nz)
	return k
}

// factor prepares the present scaling; false when the matrix is too ill conditioned.
func (k *kkt) factor() bool {
	for more := ridge; more < 1e-3; more *= 100 {
		if k.assemble(more) && k.border() {
			return true
		}
	}
	return false
}

func (k *kkt) assemble(more float64) bool {
	p, s, n := k.p, k.s, k.n
	k.h.reset()
	m := k.h.m
	if p.P != nil {
		floats.AddScaled(m, k.scale, p.P)
	}
	for i, r := range p.Less {
		k.h.Add(r, 1/k.w.d[i])
	}
	c := make([]float64, s.nl)
	for i, d := range k.w.d {
		c[i] = 1 / d
	}
	for b, block := range p.Blocks {
		curvature := p.Curvature[b] * k.scale
		if p.Cone != nil && p.Cone.Root == nil && p.Cone.Block == b {
			curvature += p.Cone.Factor * p.Cone.Factor / (k.w.beta * k.w.beta)
		}
		block.Factor(c[s.r[b]:s.r[b+1]], curvature, k.h)
	}
	if p.Cone != nil && p.Cone.Root != nil {
		floats.AddScaled(m, 1/(k.w.beta*k.w.beta), p.Cone.Gram)
	}
	for _, r := range p.Equal {
		r.outer(m, n, equality)
	}
	for i := range n {
		m[i*n+i] += more * (1 + m[i*n+i])
		if d := m[i*n+i]; math.IsNaN(d) || math.IsInf(d, 0) {
			return false
		}
	}
	return k.h.factor()
}

func (k *kkt) border() bool {
	p, s := k.p, k.s
	for i := range p.Side {
		k.corner[len(p.Equal)+i] = k.w.d[s.r[len(p.Blocks)]+i]
	}
	if p.Cone != nil {
		last := len(k.rows) - 1
		clear(k.rows[last])
		p.addCone(s, k.rows[last], k.w.w[1:], 1)
		k.corner[last] = k.w.beta * k.w.beta / 2
	}
	m := len(k.rows)
	for i, row := range k.rows {
		copy(k.solved[i], row)
		k.solveH(k.solved[i])
	}
	for i := range m {
		for j := i; j < m; j++ {
			k.schur.Data[i*m+j] = floats.Dot(k.rows[i], k.solved[j])
		}
		k.schur.Data[i*m+i] += k.corner[i] + ridge*k.schur.Data[i*m+i]
	}
	if m == 0 {
		return true
	}
	var ok bool
	k.schur, ok = lapack64.Potrf(blas64.Symmetric{N: m, Stride: m, Data: k.schur.Data, Uplo: blas.Upper})
	return ok
}

// solveH sets x = H⁻¹x over all variables, without the border.
func (k *kkt) solveH(x []float64) {
	p, s := k.p, k.s
	d := x[:p.N]
	for b, block := range p.Blocks {
		block.Reduce(d, x[s.e[b]:s.e[b+1]])
	}
	k.h.solve(d)
	for b, block := range p.Blocks {
		block.Expand(x[s.e[b]:s.e[b+1]], d)
	}
}

// once solves the system without refinement. dx, dy and dz must not be the right-hand sides.
func (k *kkt) once(dx, dy, dz, bx, by, bz []float64) {
	p, s := k.p, k.s
	copy(dx, bx)
	k.w.squareInverse(k.tz, bz)
	sides := s.r[len(p.Blocks)] // their multipliers come from the border, which is exact where W⁻² is large
	clear(k.tz[sides:s.nl])
	p.addGT(s, dx, k.tz)
	for i, r := range p.Equal {
		r.add(dx, equality*by[i])
	}
	k.solveH(dx)
	m := len(k.rows)
	v := make([]float64, m)
	for i := range m {
		v[i] = floats.Dot(k.rows[i], dx)
		switch side := i - len(by); {
		case side < 0:
			v[i] -= by[i]
		case side < len(p.Side):
			v[i] -= bz[sides+side]
		}
	}
	if m > 0 {
		lapack64.Potrs(k.schur, blas64.General{Rows: m, Cols: 1, Stride: 1, Data: v})
	}
	for i := range m {
		floats.AddScaled(dx, -v[i], k.solved[i])
	}
	copy(dy, v)
	p.mulG(s, k.tz, dx)
	floats.Sub(k.tz, bz)
	k.w.squareInverse(dz, k.tz)
	copy(dz[sides:s.nl], v[len(by):])
}

// solve solves the system, and refines the solution while that helps.
func (k *kkt) solve(dx, dy, dz, bx, by, bz []float64) {
	k.once(dx, dy, dz, bx, by, bz)
	size := 1e-300 + norm(bx) + norm(by) + norm(bz)
	before := k.rest(dx, dy, dz, bx, by, bz)
	for range rounds {
		if before < 1e-15*size {
			return
		}
		k.once(k.ex, k.ey, k.ez, k.rx, k.ry, k.rz)
		floats.Add(dx, k.ex)
		floats.Add(dy, k.ey)
		floats.Add(dz, k.ez)
		now := k.rest(dx, dy, dz, bx, by, bz)
		if !(now < before) {
			floats.Sub(dx, k.ex)
			floats.Sub(dy, k.ey)
			floats.Sub(dz, k.ez)
			return
		}
		if now > before/2 {
			return
		}
		before = now
	}
}

// rest stores the residuals of the right-hand sides in rx, ry and rz, and returns their size.
func (k *kkt) rest(dx, dy, dz, bx, by, bz []float64) float64 {
	p, s := k.p, k.s
	p.mulP(s, k.rx, dx, k.scale)
	p.addGT(s, k.rx, dz)
	p.addAT(k.rx, dy)
	floats.SubTo(k.rx, bx, k.rx)
	p.mulA(k.ry, dx)
	floats.SubTo(k.ry, by, k.ry)
	p.mulG(s, k.rz, dx)
	k.w.square(k.tz, dz)
	floats.Sub(k.rz, k.tz)
	floats.SubTo(k.rz, bz, k.rz)
	return norm(k.rx) + norm(k.ry) + norm(k.rz)
}

func norm(x []float64) float64 {
	m := 0.0
	for _, v := range x {
		m = math.Max(m, math.Abs(v)) // NaN stays
	}
	return m
}

func finite(x []float64) bool {
	n := norm(x)
	return !math.IsNaN(n) && !math.IsInf(n, 0)
}

func symv(n int, alpha float64, a, x, dst []float64) {
	blas64.Symv(alpha, blas64.Symmetric{N: n, Stride: n, Data: a, Uplo: blas.Upper},
		blas64.Vector{N: n, Inc: 1, Data: x},
		1, blas64.Vector{N: n, Inc: 1, Data: dst})
}

// gemv sets y = alpha·A·x + beta·y for a matrix of the given rows and columns, or for its transpose.
func gemv(transposed bool, rows, cols int, alpha float64, a, x []float64, beta float64, y []float64) {
	t, nx, ny := blas.NoTrans, cols, rows
	if transposed {
		t, nx, ny = blas.Trans, rows, cols
	}
	blas64.Gemv(t, alpha, blas64.General{Rows: rows, Cols: cols, Stride: cols, Data: a},
		blas64.Vector{N: nx, Inc: 1, Data: x}, beta, blas64.Vector{N: ny, Inc: 1, Data: y})
}
