// Package conic solves convex quadratic programs with linear constraints and at most one second-order cone by a
// primal-dual interior point method. It is made for portfolios. A few to a few hundred dense variables, the weights,
// occur in all constraints. Thousands of further variables may each belong to one scenario, and are eliminated at
// linear cost (Block).
//
//	minimise    ½ dᵀPd + qᵀd + Σ_b (cost(b)·weights(b)ᵀe(b) + ½·curvature(b)·‖e(b)‖²)
//	subject to  Equal·d = B,  Less·d ≤ H,  the rows of each block,  Side(d, e) ≤ bound,  the cone
//
// Solve reports the precision of its result. Its caller explains a failure: package optimize names the constraints
// that contradict each other.
package conic

import "gonum.org/v1/gonum/floats"

// Row is a sparse row of a matrix over the dense variables.
type Row struct {
	Index []int
	Value []float64
}

// Dense returns a row of all nonzero values.
func Dense(values []float64) Row {
	var r Row
	for i, v := range values {
		if v != 0 {
			r.Index, r.Value = append(r.Index, i), append(r.Value, v)
		}
	}
	return r
}

// Dot returns the product with a vector.
func (r Row) Dot(x []float64) float64 {
	sum := 0.0
	for k, i := range r.Index {
		sum += r.Value[k] * x[i]
	}
	return sum
}

func (r Row) add(dst []float64, factor float64) {
	for k, i := range r.Index {
		dst[i] += factor * r.Value[k]
	}
}

// outer adds factor·rrᵀ to the upper triangle of a matrix of n columns.
func (r Row) outer(m []float64, n int, factor float64) {
	for k, i := range r.Index {
		f := factor * r.Value[k]
		for l, j := range r.Index {
			if j >= i {
				m[i*n+j] += f * r.Value[l]
			}
		}
	}
}

// Block is a group of variables e, with inequalities that couple them only to the dense variables d. Its rows are
// G(d, e) ≤ h. Factor prepares Reduce and Expand for the weights c of the rows. The matrix GᵀCG + curvature·I over
// (d, e) has the parts M over d, B over e and d, and D over e.
type Block interface {
	Size() (variables, rows int)
	Weights(dst []float64)                            // of e in the risk of the block
	Bound(h []float64)                                // right-hand sides
	Mul(dst, d, e []float64)                          // dst = G(d, e)
	MulTransposed(dd, de, z []float64)                // (dd, de) += Gᵀz
	Factor(c []float64, curvature float64, m *Normal) // adds M − BᵀD⁻¹B to m
	Reduce(dd, de []float64)                          // dd −= BᵀD⁻¹de
	Expand(de, d []float64)                           // de = D⁻¹(de − Bd)
}

// Side is one inequality over everything: Row·d + Σ_b Scale(b)·weights(b)ᵀe(b) ≤ Bound.
type Side struct {
	Row   Row
	Scale []float64 // one for each block
	Bound float64
}

// Cone is ‖Root·d‖ ≤ Bound, with Gram = RootᵀRoot. Without a Root, it is Factor·‖e‖ ≤ Bound over the variables of a
// block.
type Cone struct {
	Root   []float64 // k×N, row by row
	Gram   []float64 // N×N
	Block  int
	Factor float64
	Bound  float64
}

// Program is a problem; see the package comment.
type Program struct {
	N         int
	P         []float64 // N×N, symmetric, row by row; nil: none
	Q         []float64
	Equal     []Row
	B         []float64
	Less      []Row
	H         []float64
	Blocks    []Block
	Cost      []float64 // one for each block
	Curvature []float64 // one for each block
	Side      []Side
	Cone      *Cone
}

// shape holds the offsets of the parts of the vectors.
type shape struct {
	nx, nl, nz int   // variables; rows without the cone's; all rows
	e          []int // start of the variables of each block, and the end
	r          []int // start of the rows of each block, and the end: the side rows
	weights    []float64
}

func (p *Program) shape() shape {
	s := shape{nx: p.N, nl: len(p.Less)}
	for _, b := range p.Blocks {
		v, r := b.Size()
		s.e, s.r = append(s.e, s.nx), append(s.r, s.nl)
		s.nx += v
		s.nl += r
	}
	s.e, s.r = append(s.e, s.nx), append(s.r, s.nl)
	s.nl += len(p.Side)
	s.nz = s.nl
	if p.Cone != nil {
		s.nz += 1 + p.coneSize(s)
	}
	s.weights = make([]float64, s.nx)
	for i, b := range p.Blocks {
		b.Weights(s.weights[s.e[i]:s.e[i+1]])
	}
	return s
}

func (p *Program) coneSize(s shape) int {
	if p.Cone.Root == nil {
		return s.e[p.Cone.Block+1] - s.e[p.Cone.Block]
	}
	return len(p.Cone.Root) / p.N
}

// cost returns the linear part of the objective over all variables.
func (p *Program) cost(s shape, scale float64) []float64 {
	q := make([]float64, s.nx)
	for i, v := range p.Q {
		q[i] = v * scale
	}
	for b := range p.Blocks {
		floats.AddScaled(q[s.e[b]:s.e[b+1]], p.Cost[b]*scale, s.weights[s.e[b]:s.e[b+1]])
	}
	return q
}

// bound returns the right-hand side of all inequalities.
func (p *Program) bound(s shape) []float64 {
	h := make([]float64, s.nz)
	copy(h, p.H)
	for b, block := range p.Blocks {
		block.Bound(h[s.r[b]:s.r[b+1]])
	}
	for i, side := range p.Side {
		h[s.r[len(p.Blocks)]+i] = side.Bound
	}
	if p.Cone != nil {
		h[s.nl] = p.Cone.Bound
	}
	return h
}

// mulP sets dst = P·x·scale over all variables.
func (p *Program) mulP(s shape, dst, x []float64, scale float64) {
	clear(dst)
	if p.P != nil {
		symv(p.N, scale, p.P, x[:p.N], dst[:p.N])
	}
	for b := range p.Blocks {
		if c := p.Curvature[b]; c != 0 {
			floats.AddScaled(dst[s.e[b]:s.e[b+1]], c*scale, x[s.e[b]:s.e[b+1]])
		}
	}
}

// mulG sets dst = G·x over all inequalities.
func (p *Program) mulG(s shape, dst, x []float64) {
	for i, r := range p.Less {
		dst[i] = r.Dot(x)
	}
	for b, block := range p.Blocks {
		block.Mul(dst[s.r[b]:s.r[b+1]], x[:p.N], x[s.e[b]:s.e[b+1]])
	}
	for i, side := range p.Side {
		sum := side.Row.Dot(x)
		for b, f := range side.Scale {
			if f != 0 {
				sum += f * floats.Dot(s.weights[s.e[b]:s.e[b+1]], x[s.e[b]:s.e[b+1]])
			}
		}
		dst[s.r[len(p.Blocks)]+i] = sum
	}
	if c := p.Cone; c != nil {
		dst[s.nl] = 0
		tail := dst[s.nl+1:]
		if c.Root != nil {
			gemv(false, len(tail), p.N, -1, c.Root, x[:p.N], 0, tail)
			return
		}
		for i, v := range x[s.e[c.Block]:s.e[c.Block+1]] {
			tail[i] = -c.Factor * v
		}
	}
}

// addGT adds Gᵀz to dst.
func (p *Program) addGT(s shape, dst, z []float64) {
	for i, r := range p.Less {
		r.add(dst, z[i])
	}
	for b, block := range p.Blocks {
		block.MulTransposed(dst[:p.N], dst[s.e[b]:s.e[b+1]], z[s.r[b]:s.r[b+1]])
	}
	for i := range p.Side {
		p.addSide(s, dst, i, z[s.r[len(p.Blocks)]+i])
	}
	if c := p.Cone; c != nil {
		p.addCone(s, dst, z[s.nl+1:], -1)
	}
}

func (p *Program) addSide(s shape, dst []float64, i int, factor float64) {
	p.Side[i].Row.add(dst, factor)
	for b, f := range p.Side[i].Scale {
		if f != 0 {
			floats.AddScaled(dst[s.e[b]:s.e[b+1]], f*factor, s.weights[s.e[b]:s.e[b+1]])
		}
	}
}

// addCone adds factor·Rootᵀv to dst.
func (p *Program) addCone(s shape, dst, v []float64, factor float64) {
	if c := p.Cone; c.Root != nil {
		gemv(true, len(v), p.N, factor, c.Root, v, 1, dst[:p.N])
	} else {
		floats.AddScaled(dst[s.e[c.Block]:s.e[c.Block+1]], factor*c.Factor, v)
	}
}

func (p *Program) mulA(dst, x []float64) {
	for i, r := range p.Equal {
		dst[i] = r.Dot(x)
	}
}

func (p *Program) addAT(dst, y []float64) {
	for i, r := range p.Equal {
		r.add(dst, y[i])
	}
}
