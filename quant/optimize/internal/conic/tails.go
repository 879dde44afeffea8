package conic

import (
	"gonum.org/v1/gonum/floats"
)

// Tails has one variable e for each of T scenarios, at least the portfolio's loss in it: e ≥ −R·d − Shift, and e ≥ 0
// with Positive. Minimising Σe gives the conditional value at risk, with the column of R of the value at risk set to
// one; ½‖e‖² gives the semivariance. Source: Rockafellar and Uryasev, Optimization of conditional value-at-risk
// (2000).
type Tails struct {
	T, N     int
	R        []float64 // T×N, row by row, over all dense variables
	Shift    float64
	Positive bool
	Weight   float64 // of each variable in the risk

	c, d, f []float64
}

// Size returns T variables, and one or two rows for each.
func (b *Tails) Size() (int, int) {
	if b.Positive {
		return b.T, 2 * b.T
	}
	return b.T, b.T
}

// Weights sets equal weights.
func (b *Tails) Weights(dst []float64) {
	for i := range dst {
		dst[i] = b.Weight
	}
}

// Bound sets the right-hand side.
func (b *Tails) Bound(h []float64) {
	for t := range b.T {
		h[t] = b.Shift
	}
}

// Mul sets dst = G(d, e).
func (b *Tails) Mul(dst, d, e []float64) {
	gemv(false, b.T, b.N, -1, b.R, d, 0, dst[:b.T])
	floats.Sub(dst[:b.T], e)
	if b.Positive {
		for t, v := range e {
			dst[b.T+t] = -v
		}
	}
}

// MulTransposed adds Gᵀz.
func (b *Tails) MulTransposed(dd, de, z []float64) {
	gemv(true, b.T, b.N, -1, b.R, z[:b.T], 1, dd)
	floats.Sub(de, z[:b.T])
	if b.Positive {
		floats.Sub(de, z[b.T:])
	}
}

// Factor eliminates each variable separately.
func (b *Tails) Factor(c []float64, curvature float64, m *Normal) {
	if b.d == nil {
		b.c, b.d, b.f = make([]float64, b.T), make([]float64, b.T), make([]float64, b.T)
	}
	for t := range b.T {
		rest := curvature
		if b.Positive {
			rest += c[b.T+t]
		}
		b.c[t], b.d[t] = c[t], c[t]+rest
		b.f[t] = c[t] * (rest / b.d[t])
	}
	m.AddRows(b.R, b.f)
}

// Reduce subtracts BᵀD⁻¹e.
func (b *Tails) Reduce(dd, de []float64) {
	v := make([]float64, b.T)
	for t := range v {
		v[t] = b.c[t] / b.d[t] * de[t]
	}
	gemv(true, b.T, b.N, -1, b.R, v, 1, dd)
}

// Expand computes the variables.
func (b *Tails) Expand(de, d []float64) {
	v := make([]float64, b.T)
	gemv(false, b.T, b.N, 1, b.R, d, 0, v)
	for t := range de {
		de[t] = (de[t] - b.c[t]*v[t]) / b.d[t]
	}
}

// Turnover has one variable for each position, at least its bought or sold amount: e ≥ |d − Before·d[Unit]|, or e ≥
// |d − Before| without a unit (−1).
type Turnover struct {
	Before []float64
	Unit   int

	c1, c2 []float64
}

// Size returns one variable and two rows for each position.
func (b *Turnover) Size() (int, int) { return len(b.Before), 2 * len(b.Before) }

// Weights sets weights of one.
func (b *Turnover) Weights(dst []float64) {
	for i := range dst {
		dst[i] = 1
	}
}

// Bound sets the right-hand side.
func (b *Turnover) Bound(h []float64) {
	n := len(b.Before)
	for i, v := range b.Before {
		if b.Unit >= 0 {
			v = 0
		}
		h[i], h[n+i] = v, -v
	}
}

func (b *Turnover) bought(i int, d []float64) float64 {
	if b.Unit >= 0 {
		return d[i] - b.Before[i]*d[b.Unit]
	}
	return d[i]
}

// Mul sets dst = G(d, e).
func (b *Turnover) Mul(dst, d, e []float64) {
	n := len(b.Before)
	for i := range n {
		v := b.bought(i, d)
		dst[i], dst[n+i] = v-e[i], -v-e[i]
	}
}

// MulTransposed adds Gᵀz.
func (b *Turnover) MulTransposed(dd, de, z []float64) {
	n := len(b.Before)
	for i := range n {
		b.add(dd, i, z[i]-z[n+i])
		de[i] -= z[i] + z[n+i]
	}
}

func (b *Turnover) add(dd []float64, i int, v float64) {
	dd[i] += v
	if b.Unit >= 0 {
		dd[b.Unit] -= v * b.Before[i]
	}
}

// Factor eliminates each variable separately.
func (b *Turnover) Factor(c []float64, curvature float64, m *Normal) {
	k := len(b.Before)
	b.c1, b.c2 = c[:k:k], c[k:]
	for i := range k {
		// The minimum of c₁(v−e)² + c₂(v+e)² + curvature·e² over e.
		sum := b.c1[i] + b.c2[i] + curvature
		f := (4*b.c1[i]*b.c2[i] + curvature*(b.c1[i]+b.c2[i])) / sum
		r := Row{Index: []int{i}, Value: []float64{1}}
		if b.Unit >= 0 && b.Before[i] != 0 {
			r = Row{Index: []int{i, b.Unit}, Value: []float64{1, -b.Before[i]}}
		}
		m.Add(r, f)
	}
}

// Reduce subtracts BᵀD⁻¹e.
func (b *Turnover) Reduce(dd, de []float64) {
	for i, v := range de {
		b.add(dd, i, (b.c1[i]-b.c2[i])/(b.c1[i]+b.c2[i])*v)
	}
}

// Expand computes the variables.
func (b *Turnover) Expand(de, d []float64) {
	for i := range de {
		de[i] = (de[i] + (b.c1[i]-b.c2[i])*b.bought(i, d)) / (b.c1[i] + b.c2[i])
	}
}
