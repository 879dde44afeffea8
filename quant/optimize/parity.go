package optimize

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// RiskContributions returns the shares of the assets in the variance of a portfolio: wᵢ(Σw)ᵢ/(wᵀΣw). They sum to one,
// and are NaN without risk.
func RiskContributions(covariance *mat.SymDense, weights []float64) []float64 {
	w := mat.NewVecDense(len(weights), append([]float64(nil), weights...))
	var sw mat.VecDense
	sw.MulVec(covariance, w)
	total := mat.Dot(w, &sw)
	out := make([]float64, len(weights))
	for i, v := range weights {
		out[i] = v * sw.AtVec(i) / total
	}
	return out
}

// RiskParity returns the long weights whose shares in the risk are the budgets, which need not sum to one. Nil means
// equal risk contribution (Maillard, Roncalli, Teïletche 2010). A budget of zero leaves its asset out. The portfolio
// is unique: x/Σx, where x minimises the convex ½xᵀΣx − Σ bᵢ·ln xᵢ by Newton's method (Spinu, An algorithm for
// computing risk parity weights, 2013). Bounds, groups, L2 and costs of the problem are ignored.
//
// Errors: an *InvalidError for an asset with a budget but without variance, an *UnboundedError when long positions
// can cancel all risk, and those of MinVolatility.
func RiskParity(ctx context.Context, problem Problem, budgets []float64) (*Portfolio, error) {
	problem.Constraints, problem.L2, problem.Cost, problem.Before = Constraints{}, 0, 0, nil
	m, err := check(&problem, false)
	if err != nil {
		return nil, err
	}
	b, err := m.budgets(budgets)
	if err != nil {
		return nil, err
	}
	var part []int
	for i, v := range b {
		if v > 0 {
			part = append(part, i)
		}
	}
	x, iterations, err := m.spinu(ctx, part, b)
	if err != nil {
		return nil, err
	}
	w := make([]float64, m.n)
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	for k, i := range part {
		w[i] = x[k] / sum
	}
	p := m.performance(w)
	p.Iterations = iterations
	for i, c := range RiskContributions(m.risk.sigma, w) {
		if miss := math.Abs(c - b[i]); !(miss < 1e-6) {
			return nil, &ConvergenceError{Iterations: iterations, Gap: miss}
		}
		p.Gap = math.Max(p.Gap, math.Abs(c-b[i]))
	}
	return p, nil
}

// budgets returns the budgets, scaled to sum to one.
func (m *meanVariance) budgets(budgets []float64) ([]float64, error) {
	b := make([]float64, m.n)
	if budgets == nil {
		for i := range b {
			b[i] = 1 / float64(m.n)
		}
	} else {
		if err := values("budgets", budgets, m.feasible); err != nil {
			return nil, err
		}
		sum := 0.0
		for i, v := range budgets {
			if v < 0 {
				return nil, &InvalidError{Field: "budgets", Asset: i, Name: m.names.of(i),
					Detail: fmt.Sprintf("%v is below zero", v)}
			}
			sum += v
		}
		if sum == 0 {
			return nil, invalid("budgets", "all are zero")
		}
		for i, v := range budgets {
			b[i] = v / sum
		}
	}
	for i, v := range b {
		if v > 0 && m.risk.gram[i*m.n+i] <= 0 {
			return nil, &InvalidError{Field: "covariance", Asset: i, Name: m.names.of(i),
				Detail: "its variance is zero, so that it cannot bear a share of the risk"}
		}
	}
	return b, nil
}

// spinu minimises ½xᵀSx − Σ bᵢ·ln xᵢ over some assets.
func (m *meanVariance) spinu(ctx context.Context, part []int, b []float64) ([]float64, int, error) {
	n := len(part)
	// In yᵢ = xᵢσᵢ the matrix is a correlation, independent of the size of the variances.
	s := mat.NewSymDense(n, nil)
	dev := make([]float64, n)
	for k, i := range part {
		dev[k] = math.Sqrt(m.risk.gram[i*m.n+i])
	}
	for k, i := range part {
		for l := k; l < n; l++ {
			s.SetSym(k, l, m.risk.gram[i*m.n+part[l]]/dev[k]/dev[l])
		}
	}
	y, sy := make([]float64, n), mat.NewVecDense(n, nil)
	for k, i := range part {
		y[k] = math.Sqrt(b[i])
	}
	value := func(y []float64) float64 {
		v := mat.NewVecDense(n, y)
		sy.MulVec(s, v)
		f := mat.Dot(v, sy) / 2
		for k, i := range part {
			f -= b[i] * math.Log(y[k])
		}
		return f
	}
	const most = 200
	h, g := mat.NewSymDense(n, nil), mat.NewVecDense(n, nil)
	next := make([]float64, n)
	var chol mat.Cholesky
	var d mat.VecDense
	for it := range most {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		now := value(y)
		h.CopySym(s)
		worst, size := 0.0, 0.0
		for k, i := range part {
			h.SetSym(k, k, s.At(k, k)+b[i]/(y[k]*y[k]))
			g.SetVec(k, sy.AtVec(k)-b[i]/y[k])
			worst = math.Max(worst, math.Abs(y[k]*sy.AtVec(k)-b[i]))
			size = math.Max(size, y[k])
		}
		if m.Progress != nil {
			m.Progress(Progress{Iteration: it, Gap: worst})
		}
		if worst < 1e-14 || size > 1e9 || !chol.Factorize(h) || chol.SolveVecTo(&d, g) != nil && it > most/2 {
			if size > 1e7 {
				return nil, it, &UnboundedError{"long positions can cancel out all risk, so that it has no shares"}
			}
			return scale(y, dev), it, nil
		}
		step := 1.0
		for k := range part {
			if v := d.AtVec(k); v > 0 {
				step = math.Min(step, .99*y[k]/v)
			}
		}
		slope := mat.Dot(g, &d)
		for ; step > 1e-12; step /= 2 {
			for k := range next {
				next[k] = y[k] - step*d.AtVec(k)
			}
			if value(next) <= now-1e-4*step*slope || step == 1 && slope < 1e-14 {
				break
			}
		}
		if slope < 1e-26 || step <= 1e-12 {
			return scale(y, dev), it, nil
		}
		y, next = next, y
	}
	return scale(y, dev), most, nil
}

func scale(y, dev []float64) []float64 {
	out := make([]float64, len(y))
	for i, v := range y {
		out[i] = v / dev[i]
	}
	return out
}

// EqualWeights returns n weights of 1/n.
func EqualWeights(n int) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = 1 / float64(n)
	}
	return w
}
