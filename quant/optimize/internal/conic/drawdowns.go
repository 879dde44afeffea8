package conic

import (
	"gonum.org/v1/gonum/floats"
)

// Drawdowns has two variables for each of T periods. u is the drawdown of the sum of returns since the start, at
// least the loss since the highest value so far. z is at least the excess of u over the drawdown at risk a, the last
// dense variable:
//
//	u(t) ≥ u(t−1) − R(t)·d, with u(0) = 0,  u ≥ 0,  z ≥ u − a,  z ≥ 0.
//
// The column of R for a is zero. a + Σz/(T(1−β)) is the conditional drawdown at risk. Source: Chekhlov, Uryasev,
// Zabarankin, Drawdown measure in portfolio optimization (2005).
//
// Eliminating z leaves a tridiagonal matrix over u. Rows along a drawdown have weights that grow without limit, so no
// difference of large numbers may be formed. Instead the excess of the diagonal over the rest is carried along
// (Grassmann, Taksar, Heyman, 1985).
type Drawdowns struct {
	T, N   int
	R      []float64 // T×N, row by row
	Weight float64   // of each z in the risk

	c []float64
	// over t: the unshared diagonal of u; that of z; the rest for u after the past is eliminated
	k, dz, rest []float64
	buf, flow   []float64
}

// Size returns two variables and four rows for each period.
func (b *Drawdowns) Size() (int, int) { return 2 * b.T, 4 * b.T }

// Weights sets the weights of z.
func (b *Drawdowns) Weights(dst []float64) {
	for i := range b.T {
		dst[i], dst[b.T+i] = 0, b.Weight
	}
}

// Bound leaves the right-hand side at zero.
func (b *Drawdowns) Bound([]float64) {}

// Mul sets dst = G(d, e).
func (b *Drawdowns) Mul(dst, d, e []float64) {
	n := b.T
	u, z, alpha := e[:n], e[n:], d[b.N-1]
	gemv(false, n, b.N, -1, b.R, d, 0, dst[n:2*n])
	before := 0.0
	for t := range n {
		dst[t] = u[t] - alpha - z[t]
		dst[n+t] += before - u[t]
		dst[2*n+t], dst[3*n+t] = -z[t], -u[t]
		before = u[t]
	}
}

// MulTransposed adds Gᵀz.
func (b *Drawdowns) MulTransposed(dd, de, z []float64) {
	n := b.T
	gemv(true, n, b.N, -1, b.R, z[n:2*n], 1, dd)
	for t := range n {
		dd[b.N-1] -= z[t]
		de[t] += z[t] - z[n+t] - z[3*n+t]
		if t+1 < n {
			de[t] += z[n+t+1]
		}
		de[n+t] -= z[t] + z[2*n+t]
	}
}

// Factor eliminates z, and then u in order of time.
func (b *Drawdowns) Factor(c []float64, _ float64, m *Normal) {
	T := b.T
	if b.k == nil {
		b.k, b.dz, b.rest = make([]float64, T), make([]float64, T), make([]float64, T)
		b.buf, b.flow = make([]float64, T*b.N), make([]float64, T)
	}
	b.c = c
	share := make([]float64, T) // of a in u
	alpha := 0.0
	for t := range T {
		b.dz[t] = c[t] + c[2*T+t]
		tie := c[t] * (c[2*T+t] / b.dz[t])
		b.k[t] = tie + c[3*T+t]
		share[t] = tie / b.k[t]
		alpha += tie * (c[3*T+t] / b.k[t])
	}
	m.AddDiagonal(b.N-1, alpha)
	// Over u: diag(k) and c₂ between neighbours, the first tied to zero.
	for t := range T {
		c2 := c[T+t]
		b.rest[t] = b.k[t] + c2
		if t > 0 {
			b.rest[t] = b.k[t] + c2*(b.rest[t-1]/(c2+b.rest[t-1]))
		}
	}
	// Over the dense variables: R̃ᵀ(C₂⁻¹ + EK⁻¹Eᵀ)⁻¹R̃, with E the differences u(t−1) − u(t), and R̃ = (R, −E·share).
	excess, last := 0.0, 0.0 // of the pivot before, and that itself
	for t := range T {
		own, next := 1/c[T+t], 1/b.k[t]
		row := b.buf[t*b.N : (t+1)*b.N]
		copy(row, b.R[t*b.N:(t+1)*b.N])
		row[b.N-1] = share[t]
		if t > 0 {
			row[b.N-1] -= share[t-1]
			before := 1 / b.k[t-1]
			f := before / last
			own += before * (excess / last)
			floats.AddScaled(row, f, b.buf[(t-1)*b.N:t*b.N])
		}
		excess, last = own, own+next
		b.flow[t] = 1 / last
	}
	m.AddRows(b.buf, b.flow)
}

// invert sets e = D⁻¹(e − B·d) with g = R·d and alpha the last of d. flow receives, for each t, the weight of the
// second row times its residual: p(t) = c₂(t)·(u(t−1) − u(t) − g(t)). With rest(t) = x, eliminating the past leaves
// x·u(t) + p(t+1) = sum(t).
func (b *Drawdowns) invert(e, g []float64, alpha float64) {
	T, c := b.T, b.c
	u, z := e[:T], e[T:]
	sum := make([]float64, T)
	for t := range T {
		u[t] += c[t] / b.dz[t] * (z[t] + c[2*T+t]*alpha)
		c2 := c[T+t]
		if t == 0 {
			sum[0] = u[0] - c2*g[0]
			continue
		}
		x := b.rest[t-1]
		sum[t] = u[t] + (sum[t-1]-x*g[t])*(c2/(c2+x))
	}
	first := u[0]
	u[T-1] = sum[T-1] / b.rest[T-1]
	for t := T - 1; t > 0; t-- {
		c2, x, ahead := c[T+t], b.rest[t-1], u[t]+g[t]
		b.flow[t] = (sum[t-1] - x*ahead) * (c2 / (c2 + x))
		u[t-1] = (sum[t-1] + c2*ahead) / (c2 + x)
	}
	if b.flow[0] = -c[T] * (u[0] + g[0]); c[T] > b.k[0] { // both are exact; this one rounds better
		b.flow[0] = b.k[0]*u[0] - first
		if T > 1 {
			b.flow[0] += b.flow[1]
		}
	}
	for t := range T {
		z[t] = (z[t] + c[t]*(u[t]-alpha)) / b.dz[t]
	}
}

// Reduce subtracts BᵀD⁻¹e.
func (b *Drawdowns) Reduce(dd, de []float64) {
	v := append([]float64(nil), de...)
	T := b.T
	b.invert(v, make([]float64, T), 0)
	gemv(true, T, b.N, 1, b.R, b.flow, 1, dd)
	for t := range T { // c₁·(z − u)
		dd[b.N-1] -= b.c[t] * ((de[T+t] - b.c[2*T+t]*v[t]) / b.dz[t])
	}
}

// Expand computes the variables.
func (b *Drawdowns) Expand(de, d []float64) {
	g := make([]float64, b.T)
	gemv(false, b.T, b.N, 1, b.R, d, 0, g)
	b.invert(de, g, d[b.N-1])
}
