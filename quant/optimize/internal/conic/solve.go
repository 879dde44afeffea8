package conic

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
)

// Solution is the final point of the method. A dual is the decrease of the objective when a right-hand side rises by
// one.
type Solution struct {
	D, E       []float64 // the dense variables; those of all blocks
	Equal      []float64 // duals of the equations, of either sign
	Less       []float64 // duals of the rows of Less, not negative; so are all below
	Blocks     [][]float64
	Side       []float64
	Cone       float64 // of the cone's bound
	Objective  float64
	Gap        float64 // the duality gap, relative to the size of the objective
	Primal     float64 // the worst violation of a constraint, relative to the right-hand sides
	Dual       float64 // the worst violation of a dual constraint, relative to the costs
	Iterations int
}

// Solved reports whether the solution is within the tolerance.
func (s *Solution) Solved(tolerance float64) bool {
	return s.Gap <= tolerance && s.Primal <= tolerance && s.Dual <= tolerance
}

const (
	targetPrecision = 1e-12 // target precision
	iterations      = 100
	// careful is the number of iterations without an improvement after which steps return to the middle of the cone,
	// without correction. Mehrotra's method can cycle.
	careful = 4
)

type state struct {
	*Program
	shape
	scale       float64 // of the objective, so that its largest coefficient is one
	q, h        []float64
	x, y, sl, z []float64
	rx, ry, rz  []float64
	px          []float64
	w           scaling
}

// Solve runs the method: infeasible start, Mehrotra's predictor and corrector, one step length for primal and dual
// variables. It stops when the duality gap and both residuals are below 1e-12, or when no iteration improves them. It
// returns the best point, which need not be a solution. The only error is that of the context.
//
// Source: Andersen, Dahl, Vandenberghe, Interior-point methods for large-scale cone programming (2011), algorithm
// coneqp.
func Solve(ctx context.Context, p *Program, progress func(iteration int, gap float64)) (*Solution, error) {
	st := prepare(p)
	k := newKKT(p, st.shape, st.scale, &st.w)
	if !st.start(k) {
		return st.solution(0), nil
	}
	nz := float64(st.nl)
	if p.Cone != nil {
		nz++
	}
	dx, dy, dz, ds := make([]float64, st.nx), make([]float64, len(p.Equal)), make([]float64, st.nz), make([]float64,
		st.nz)
	bx, by, bz, bs := make([]float64, st.nx), make([]float64, len(p.Equal)), make([]float64, st.nz), make([]float64,
		st.nz)
	ws := make([]float64, st.nz)
	best, merit, stalled := st.solution(0), math.Inf(1), 0
	for it := range iterations {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now := st.solution(it)
		if progress != nil {
			progress(it, now.Gap)
		}
		m := math.Max(now.Gap, math.Max(now.Primal, now.Dual))
		if math.IsNaN(m) {
			break
		}
		if stalled++; m < merit {
			if m < .9*merit {
				stalled = 0
			}
			best, merit = now, m
		}
		if m <= targetPrecision || st.nz == 0 || merit < 1e-8 && stalled >= 3 || stalled >= 20 {
			break
		}
		st.w.update(st.sl, st.z)
		if !finite(st.w.lambda) || !k.factor() {
			break
		}
		mu := floats.Dot(st.sl, st.z) / nz
		target, eta := 0.0, 0.0
		for corrector := range 2 {
			for i, v := range st.rx {
				bx[i] = -(1 - eta) * v
			}
			for i, v := range st.ry {
				by[i] = -(1 - eta) * v
			}
			if corrector == 0 || stalled >= careful {
				st.w.residual(bs, target, nil, nil)
			} else {
				st.w.residual(bs, target, ds, dz)
			}
			st.w.divide(ws, bs)
			for i, v := range st.rz {
				bz[i] = -(1-eta)*v - ws[i]
			}
			k.solve(dx, dy, dz, bx, by, bz)
			st.w.square(ds, dz)
			floats.SubTo(ds, ws, ds)
			if corrector == 0 {
				step := longest(st.nl, st.sl, ds, longest(st.nl, st.z, dz, 1))
				after := 0.0
				for i := range ds {
					after += (st.sl[i] + step*ds[i]) * (st.z[i] + step*dz[i])
				}
				sigma := math.Pow(math.Max(0, math.Min(1, after/(mu*nz))), 3)
				if stalled >= careful {
					sigma = math.Max(sigma, .3)
				}
				target = sigma * mu
			}
		}
		if !finite(dx) || !finite(dz) || !finite(ds) {
			break
		}
		step := math.Min(1, .99*longest(st.nl, st.sl, ds, longest(st.nl, st.z, dz, 1.02)))
		floats.AddScaled(st.x, step, dx)
		floats.AddScaled(st.y, step, dy)
		floats.AddScaled(st.z, step, dz)
		floats.AddScaled(st.sl, step, ds)
		st.residuals()
	}
	return best, nil
}

func prepare(p *Program) *state {
	s := p.shape()
	size := math.Max(norm(p.P), norm(p.Q))
	for b := range p.Blocks {
		size = math.Max(size, math.Max(math.Abs(p.Cost[b])*norm(s.weights[s.e[b]:s.e[b+1]]), p.Curvature[b]))
	}
	if size == 0 {
		size = 1
	}
	st := &state{Program: p, shape: s, scale: 1 / size, q: p.cost(s, 1/size), h: p.bound(s)}
	st.x, st.px, st.rx = make([]float64, s.nx), make([]float64, s.nx), make([]float64, s.nx)
	st.y, st.ry = make([]float64, len(p.Equal)), make([]float64, len(p.Equal))
	st.z, st.sl, st.rz = make([]float64, s.nz), make([]float64, s.nz), make([]float64, s.nz)
	st.w = scaling{nl: s.nl, d: make([]float64, s.nl), lambda: make([]float64, s.nz)}
	if p.Cone != nil {
		st.w.w = make([]float64, s.nz-s.nl)
	}
	return st
}

// start sets the point that solves the problem with the inequalities as a penalty, moved into the cone.
func (st *state) start(k *kkt) bool {
	for i := range st.w.d {
		st.w.d[i] = 1
	}
	if len(st.w.w) > 0 {
		st.w.w[0], st.w.beta = 1, 1
	}
	if !k.factor() {
		return false
	}
	bx := make([]float64, st.nx)
	floats.AddScaled(bx, -1, st.q)
	k.solve(st.x, st.y, st.z, bx, st.B, st.h)
	for i, v := range st.z {
		st.sl[i] = -v
	}
	inside(st.nl, st.sl)
	inside(st.nl, st.z)
	st.residuals()
	return finite(st.x) && finite(st.z)
}

func (st *state) residuals() {
	st.mulP(st.shape, st.px, st.x, st.scale)
	floats.AddTo(st.rx, st.px, st.q)
	st.addGT(st.shape, st.rx, st.z)
	st.addAT(st.rx, st.y)
	st.mulA(st.ry, st.x)
	floats.Sub(st.ry, st.B)
	st.mulG(st.shape, st.rz, st.x)
	floats.Add(st.rz, st.sl)
	floats.Sub(st.rz, st.h)
}

func (st *state) solution(iteration int) *Solution {
	quadratic, linear := floats.Dot(st.x, st.px), floats.Dot(st.q, st.x)
	gap := math.Abs(floats.Dot(st.sl, st.z))
	primal := quadratic/2 + linear
	scaled := func(v []float64) []float64 {
		out := make([]float64, len(v))
		for i := range v {
			out[i] = v[i] / st.scale
		}
		return out
	}
	out := &Solution{
		D: append([]float64(nil), st.x[:st.N]...), E: append([]float64(nil), st.x[st.N:]...),
		Equal: scaled(st.y), Less: scaled(st.z[:len(st.Less)]), Side: scaled(st.z[st.r[len(st.Blocks)]:st.nl]),
		Objective: primal / st.scale, Gap: gap / math.Max(1e-2, math.Abs(primal)),
		Primal:     math.Max(norm(st.ry)/math.Max(1, norm(st.B)), norm(st.rz)/math.Max(1, norm(st.h))),
		Dual:       norm(st.rx) / math.Max(1, norm(st.q)),
		Iterations: iteration,
	}
	for b := range st.Blocks {
		out.Blocks = append(out.Blocks, scaled(st.z[st.r[b]:st.r[b+1]]))
	}
	if st.Cone != nil {
		out.Cone = st.z[st.nl] / st.scale
	}
	return out
}
