package conic

import "math"

// scaling is the Nesterov-Todd scaling W of a point s, z, with W·z = W⁻¹·s = λ. For the rows of the orthant it is a
// diagonal √(s/z). For the cone it is β·(2vvᵀ − J), stored as the unit vector w of W² = β²·(2wwᵀ − J). Source:
// Vandenberghe, The CVXOPT linear and quadratic cone program solvers (2010).
type scaling struct {
	nl     int
	d      []float64 // s/z of the orthant's rows
	lambda []float64
	beta   float64
	w      []float64
}

func (k *scaling) update(s, z []float64) {
	nl := k.nl
	for i := range nl {
		k.d[i] = s[i] / z[i]
		k.lambda[i] = math.Sqrt(s[i] * z[i])
	}
	if len(s) == nl {
		return
	}
	s, z = s[nl:], z[nl:]
	ns, nz := math.Sqrt(hyper(s, s)), math.Sqrt(hyper(z, z))
	dot := 0.0
	for i := range s {
		dot += s[i] / ns * z[i] / nz
	}
	gamma := math.Sqrt((1 + dot) / 2)
	for i := range s {
		w := s[i] / ns
		if i == 0 {
			w += z[i] / nz
		} else {
			w -= z[i] / nz
		}
		k.w[i] = w / (2 * gamma)
	}
	tail := 0.0
	for _, v := range k.w[1:] {
		tail += v * v
	}
	k.w[0] = math.Sqrt(1 + tail)
	k.beta = math.Sqrt(ns / nz)
	k.mulW(k.lambda[nl:], z)
}

// hyper returns xᵀJy = x₀y₀ − x₁ᵀy₁.
func hyper(x, y []float64) float64 {
	if &x[0] == &y[0] { // (x₀−‖x₁‖)(x₀+‖x₁‖) keeps precision near the border
		norm := 0.0
		for _, v := range x[1:] {
			norm = math.Hypot(norm, v)
		}
		return (x[0] - norm) * (x[0] + norm)
	}
	sum := x[0] * y[0]
	for i := 1; i < len(x); i++ {
		sum -= x[i] * y[i]
	}
	return sum
}

// mulW sets dst = W·x for the cone.
func (k *scaling) mulW(dst, x []float64) { k.apply(dst, x, k.beta, 1) }

// mulInverse sets dst = W⁻¹·x for the cone.
func (k *scaling) mulInverse(dst, x []float64) { k.apply(dst, x, 1/k.beta, -1) }

func (k *scaling) apply(dst, x []float64, scale, sign float64) {
	dot := 0.0
	for i := 1; i < len(x); i++ {
		dot += k.w[i] * x[i]
	}
	dot *= sign
	x0 := x[0]
	f := sign * (x0 + dot/(1+k.w[0]))
	for i := 1; i < len(x); i++ {
		dst[i] = scale * (x[i] + f*k.w[i])
	}
	dst[0] = scale * (k.w[0]*x0 + dot)
}

// square sets dst = W²·x over all rows.
func (k *scaling) square(dst, x []float64) {
	for i, d := range k.d {
		dst[i] = d * x[i]
	}
	if len(x) > k.nl {
		k.mulW(dst[k.nl:], x[k.nl:])
		k.mulW(dst[k.nl:], dst[k.nl:])
	}
}

// squareInverse sets dst = W⁻²·x over all rows.
func (k *scaling) squareInverse(dst, x []float64) {
	for i, d := range k.d {
		dst[i] = x[i] / d
	}
	if len(x) > k.nl {
		k.mulInverse(dst[k.nl:], x[k.nl:])
		k.mulInverse(dst[k.nl:], dst[k.nl:])
	}
}

// divide sets dst = W·(λ⋄x): the complementarity residual x as a change of s.
func (k *scaling) divide(dst, x []float64) {
	for i := range k.nl {
		dst[i] = x[i] / k.lambda[i] * math.Sqrt(k.d[i])
	}
	if len(x) == k.nl {
		return
	}
	l, v, out := k.lambda[k.nl:], x[k.nl:], dst[k.nl:]
	first := hyper(l, v) / hyper(l, l)
	for i := 1; i < len(v); i++ {
		out[i] = (v[i] - first*l[i]) / l[0]
	}
	out[0] = first
	k.mulW(out, out)
}

// residual sets dst = target·e − λ∘λ − (W⁻¹ds)∘(W·dz); without ds and dz, it omits the last term.
func (k *scaling) residual(dst []float64, target float64, ds, dz []float64) {
	for i := range k.nl {
		dst[i] = target - k.lambda[i]*k.lambda[i]
		if ds != nil {
			dst[i] -= ds[i] * dz[i]
		}
	}
	if len(dst) == k.nl {
		return
	}
	l, out := k.lambda[k.nl:], dst[k.nl:]
	minusProduct(out, l, l, true)
	out[0] += target
	if ds != nil {
		a, b := make([]float64, len(l)), make([]float64, len(l))
		k.mulInverse(a, ds[k.nl:])
		k.mulW(b, dz[k.nl:])
		minusProduct(out, a, b, false)
	}
}

// minusProduct subtracts x∘y, the product of the cone's algebra, from dst.
func minusProduct(dst, x, y []float64, clearFirst bool) {
	if clearFirst {
		clear(dst)
	}
	dot := 0.0
	for i := range x {
		dot += x[i] * y[i]
	}
	for i := 1; i < len(x); i++ {
		dst[i] -= x[0]*y[i] + y[0]*x[i]
	}
	dst[0] -= dot
}

// longest returns the largest step, at most limit, along dx that stays in the cone.
func longest(nl int, x, dx []float64, limit float64) float64 {
	for i := range nl {
		if dx[i] < 0 && -x[i] > limit*dx[i] {
			limit = math.Min(limit, -x[i]/dx[i])
		}
	}
	if len(x) == nl {
		return limit
	}
	x, dx = x[nl:], dx[nl:]
	if dx[0] < 0 {
		limit = math.Min(limit, -x[0]/dx[0])
	}
	a, b, c := hyper(dx, dx), hyper(x, dx), hyper(x, x)
	disc := b*b - a*c
	switch {
	case a < 0: // one positive root
		if root := (-b - math.Sqrt(disc)) / a; b > 0 {
			limit = math.Min(limit, root)
		} else {
			limit = math.Min(limit, c/(-b+math.Sqrt(disc)))
		}
	case b < 0 && disc >= 0:
		limit = math.Min(limit, c/(-b+math.Sqrt(disc)))
	}
	return limit
}

// inside moves x along the unit of the cone until it is well inside.
func inside(nl int, x []float64) {
	short := math.Inf(-1)
	for i := range nl {
		short = math.Max(short, -x[i])
	}
	if len(x) > nl {
		norm := 0.0
		for _, v := range x[nl+1:] {
			norm = math.Hypot(norm, v)
		}
		short = math.Max(short, norm-x[nl])
	}
	size := 1.0
	for _, v := range x {
		size = math.Max(size, math.Abs(v))
	}
	if short < -1e-8*size {
		return
	}
	for i := range nl {
		x[i] += 1 + short
	}
	if len(x) > nl {
		x[nl] += 1 + short
	}
}
