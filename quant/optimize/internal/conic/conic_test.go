package conic_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant/optimize/internal/conic"
)

func unit(i int, v float64) conic.Row { return conic.Row{Index: []int{i}, Value: []float64{v}} }

// simplex returns the program of weights that sum to one and are not negative, with further dense variables that are
// free.
func simplex(n, free int) *conic.Program {
	p := &conic.Program{N: n + free, Q: make([]float64, n+free), B: []float64{1}}
	var all conic.Row
	for i := range n {
		all.Index, all.Value = append(all.Index, i), append(all.Value, 1)
		p.Less, p.H = append(p.Less, unit(i, -1)), append(p.H, 0)
	}
	p.Equal = []conic.Row{all}
	return p
}

func gaussian(r *rand.Rand, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = r.NormFloat64()
	}
	return out
}

func square(r *rand.Rand, n, rank int) (gram, root []float64) {
	root = gaussian(r, rank*n)
	gram = make([]float64, n*n)
	for k := range rank {
		for i := range n {
			for j := range n {
				gram[i*n+j] += root[k*n+i] * root[k*n+j]
			}
		}
	}
	return gram, root
}

// flatten returns the blocks and side rows of a program as ordinary variables and rows.
func flatten(p *conic.Program) *conic.Program {
	n := p.N
	for _, b := range p.Blocks {
		v, _ := b.Size()
		n += v
	}
	out := &conic.Program{N: n, P: make([]float64, n*n), Q: make([]float64, n), Equal: p.Equal, B: p.B,
		Less: p.Less, H: p.H}
	copy(out.Q, p.Q)
	for i := range p.N {
		for j := range p.N {
			if p.P != nil {
				out.P[i*n+j] = p.P[i*p.N+j]
			}
		}
	}
	side := make([][]float64, len(p.Side))
	for i, s := range p.Side {
		side[i] = make([]float64, n)
		for k, j := range s.Row.Index {
			side[i][j] = s.Row.Value[k]
		}
	}
	at := p.N
	for k, b := range p.Blocks {
		vars, rows := b.Size()
		w, h := make([]float64, vars), make([]float64, rows)
		b.Weights(w)
		b.Bound(h)
		for i, v := range w {
			out.Q[at+i] = p.Cost[k] * v
			for l, s := range p.Side {
				side[l][at+i] = s.Scale[k] * v
			}
			out.P[(at+i)*n+at+i] = p.Curvature[k]
		}
		columns := make([][]float64, n)
		for j := range columns {
			d, e := make([]float64, p.N), make([]float64, vars)
			switch {
			case j < p.N:
				d[j] = 1
			case j >= at && j < at+vars:
				e[j-at] = 1
			}
			columns[j] = make([]float64, rows)
			b.Mul(columns[j], d, e)
		}
		for i := range rows {
			row := make([]float64, n)
			for j := range row {
				row[j] = columns[j][i]
			}
			out.Less, out.H = append(out.Less, conic.Dense(row)), append(out.H, h[i])
		}
		at += vars
	}
	for i, s := range p.Side {
		out.Less, out.H = append(out.Less, conic.Dense(side[i])), append(out.H, s.Bound)
	}
	return out
}

func solve(t *testing.T, p *conic.Program) *conic.Solution {
	t.Helper()
	s, err := conic.Solve(context.Background(), p, nil)
	require.NoError(t, err)
	require.True(t, s.Solved(1e-8), "gap %g, primal %g, dual %g after %d", s.Gap, s.Primal, s.Dual, s.Iterations)
	return s
}

func TestBlocksMatchOrdinaryRows(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 40 {
		n, T := 1+r.IntN(6), 2+r.IntN(30)
		beta := .5 + .45*r.Float64()
		scenarios := make([]float64, T*(n+1))
		for t := range T {
			for i := range n {
				scenarios[t*(n+1)+i] = .3 + r.NormFloat64()
			}
		}
		weight := 1 / (float64(T) * (1 - beta))
		for kind := range 4 {
			p := simplex(n, 1)
			p.Q[n] = 1
			p.Cost, p.Curvature = []float64{1}, []float64{0}
			rows := append([]float64(nil), scenarios...)
			switch kind {
			case 0:
				for t := range T {
					rows[t*(n+1)+n] = 1
				}
				p.Blocks = []conic.Block{&conic.Tails{T: T, N: n + 1, R: rows, Positive: true, Weight: weight}}
			case 1:
				p.Blocks = []conic.Block{&conic.Drawdowns{T: T, N: n + 1, R: rows, Weight: weight}}
			case 2:
				p.Q[n] = 0
				p.Less, p.H = append(p.Less, unit(n, -1)), append(p.H, -1)
				p.Blocks = []conic.Block{&conic.Tails{T: T, N: n + 1, R: rows, Shift: .1, Weight: weight}}
				p.Curvature[0] = 2 / float64(T)
				p.Cost[0] = 0
			case 3:
				gram, _ := square(r, n+1, n+2)
				p.P = gram
				for i := range n {
					p.Q[i] = r.NormFloat64()
				}
				p.Blocks = []conic.Block{&conic.Turnover{Before: gaussian(r, n), Unit: []int{-1, n}[r.IntN(2)]}}
			}
			a := solve(t, p)
			b := solve(t, flatten(p))
			assert.InDelta(t, b.Objective, a.Objective, 1e-7, "kind %d, %d×%d", kind, T, n)
			if kind < 2 { // at a given risk
				for i := range n {
					p.Q[i] = r.NormFloat64()
				}
				p.Q[n] = 0
				p.Cost[0] = 0
				p.Side = []conic.Side{{Row: unit(n, 1), Scale: []float64{1}, Bound: a.Objective + .2*r.Float64()}}
				a = solve(t, p)
				b = solve(t, flatten(p))
				assert.InDelta(t, b.Objective, a.Objective, 1e-7, "kind %d, %d×%d, bounded", kind, T, n)
			}
		}
	}
}

func TestACone(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 1))
	for range 100 {
		n := 2 + r.IntN(8)
		gram, root := square(r, n, n+2)
		p := simplex(n, 0)
		p.P = gram
		least := solve(t, p)
		bound := math.Sqrt(2*least.Objective) * (1.01 + r.Float64())
		for i := range p.Q {
			p.Q[i] = r.NormFloat64()
		}
		p.P, p.Cone = nil, &conic.Cone{Root: root, Gram: gram, Bound: bound}
		got := solve(t, p)
		// With the dual of the cone as the price of risk, the problem without the cone has the same answer: cone·‖Rd‖ ≈
		// cone·dᵀSd/(2·bound).
		p.Cone, p.P = nil, make([]float64, n*n)
		for i, v := range gram {
			p.P[i] = v * got.Cone / bound
		}
		priced := solve(t, p)
		value := 0.0
		for i, q := range p.Q {
			value += q * got.D[i]
		}
		risk := 0.0
		for i := range n {
			for j := range n {
				risk += got.D[i] * gram[i*n+j] * got.D[j]
			}
		}
		assert.LessOrEqual(t, risk, bound*bound*(1+1e-8))
		assert.InDelta(t, priced.Objective, value+got.Cone/bound*risk/2, 1e-6)
	}
}

func TestSolveStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := conic.Solve(ctx, simplex(3, 0), nil)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestAnInfeasibleProblemIsNotSolved(t *testing.T) {
	t.Parallel()
	p := simplex(3, 0)
	p.Less, p.H = append(p.Less, p.Equal[0]), append(p.H, .5)
	s, err := conic.Solve(context.Background(), p, nil)
	require.NoError(t, err)
	assert.False(t, s.Solved(1e-6))
}
