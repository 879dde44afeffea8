package optimize

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mat"
)

// rebuild recomputes the inverse. The equations come first in it, then the free variables.
func (l *line) rebuild() error {
	f := len(l.free)
	k := mat.NewDense(l.m+f, l.m+f, nil)
	for a, i := range l.free {
		for b, j := range l.free {
			k.Set(l.m+a, l.m+b, l.s[i*l.n+j])
		}
		for r := range l.m {
			k.Set(l.m+a, r, l.rows[r][i])
			k.Set(r, l.m+a, l.rows[r][i])
		}
	}
	l.age = 0
	l.inv = new(mat.Dense)
	if err := l.inv.Inverse(k); err != nil {
		if c := mat.Condition(0); !errors.As(err, &c) || math.IsInf(float64(c), 1) {
			return &ConvergenceError{Gap: math.NaN(), Primal: math.NaN(), Dual: math.NaN()}
		}
	}
	return nil
}

// solve sets x = K⁻¹b, with two steps of refinement.
func (l *line) solve(x *mat.VecDense, b []float64) {
	x.MulVec(l.inv, mat.NewVecDense(len(b), b))
	rest := make([]float64, len(b))
	for range 2 {
		copy(rest, b)
		v := x.RawVector().Data
		for r := range l.m {
			for a, i := range l.free {
				rest[r] -= l.rows[r][i] * v[l.m+a]
			}
		}
		for a, i := range l.free {
			row := l.s[i*l.n : (i+1)*l.n]
			sum := 0.0
			for c, j := range l.free {
				sum += row[j] * v[l.m+c]
			}
			for r := range l.m {
				sum += l.rows[r][i] * v[r]
			}
			rest[l.m+a] -= sum
		}
		var d mat.VecDense
		d.MulVec(l.inv, mat.NewVecDense(len(b), rest))
		x.AddVec(x, &d)
	}
}

// grow frees a variable and borders the inverse.
func (l *line) grow(i int) {
	k := l.m + len(l.free)
	c := mat.NewVecDense(k, nil)
	for r := range l.m {
		c.SetVec(r, l.rows[r][i])
	}
	for a, j := range l.free {
		c.SetVec(l.m+a, l.s[i*l.n+j])
	}
	var v mat.VecDense
	v.MulVec(l.inv, c)
	pivot := l.s[i*l.n+i] - mat.Dot(c, &v)
	l.enter(i)
	if math.Abs(pivot) < 1e-9 {
		l.inv = nil // recomputed
		return
	}
	inv := mat.NewDense(k+1, k+1, nil)
	inv.Slice(0, k, 0, k).(*mat.Dense).Copy(l.inv)
	top := inv.Slice(0, k, 0, k).(*mat.Dense)
	top.RankOne(top, 1/pivot, &v, &v)
	for a := range k {
		x := -v.AtVec(a) / pivot
		inv.Set(a, k, x)
		inv.Set(k, a, x)
	}
	inv.Set(k, k, 1/pivot)
	l.inv = inv
}

// shrink fixes a variable at a bound, and removes its row and column from the inverse.
func (l *line) shrink(i, where int) {
	at := l.m + l.at[i]
	k := l.m + len(l.free)
	l.drop(i, where)
	pivot := l.inv.At(at, at)
	if math.Abs(pivot) < 1e-9 {
		l.inv = nil
		return
	}
	v := make([]float64, 0, k-1)
	inv := mat.NewDense(k-1, k-1, nil)
	for a := range k {
		if a == at {
			continue
		}
		v = append(v, l.inv.At(a, at))
		to := inv.RawRowView(len(v) - 1)
		row := l.inv.RawRowView(a)
		copy(to, row[:at])
		copy(to[at:], row[at+1:])
	}
	u := mat.NewVecDense(k-1, v)
	inv.RankOne(inv, -1/pivot, u, u)
	l.inv = inv
}
