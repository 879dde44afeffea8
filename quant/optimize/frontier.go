package optimize

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

// Frontier is the whole efficient frontier: the portfolios of least variance for each return, from the least
// volatility to the highest return. Between two corners the weights are a mixture of both, so that every point is
// exact.
type Frontier struct {
	Corners []Corner // from the least volatility to the highest return
	m       *meanVariance
	ray     []float64 // without bounds, the direction of the weights after the last corner; else nil
	notes   []string
}

// Corner is a portfolio of the frontier at which an asset enters, leaves or reaches a bound.
type Corner struct {
	Price      float64 // λ of min ½wᵀΣw − λ·wᵀμ
	Weights    []float64
	Return     float64
	Volatility float64
}

// TraceFrontier computes the frontier by the critical line algorithm: the portfolios that minimise ½·wᵀ(Σ + L2·I)w −
// λ·wᵀμ for all λ ≥ 0. It starts at the least volatility and follows the line of the active constraints until one of
// them changes, again and again. Each such corner costs O(N·f) for f weights between their bounds. Errors are those
// of MinVolatility; trading costs are an *InvalidError.
//
// Sources: Markowitz, The optimization of a quadratic function subject to linear constraints (1956); Niedermayer,
// Applying Markowitz's critical line algorithm (2007).
func TraceFrontier(ctx context.Context, problem Problem) (*Frontier, error) {
	m, err := check(&problem, true)
	if err != nil {
		return nil, err
	}
	if m.Cost != 0 {
		return nil, invalid("cost",
			"the frontier with trading costs has no corners: compute its points with EfficientReturn")
	}
	// A singular matrix has no unique frontier of weights. A small ridge is added to each variance, and a larger one
	// if that does not suffice.
	size := 0.0
	for i := range m.n {
		size += m.risk.gram[i*m.n+i] / float64(m.n)
	}
	ridges := []float64{0, 1e-9, 1e-7, 1e-5}
	if len(m.risk.notes) > 0 {
		ridges = ridges[1:]
	}
	for _, r := range ridges {
		var f *Frontier
		if f, err = m.trace(ctx, r*size); err == nil {
			if f.notes = m.risk.notes; r > 0 {
				f.notes = append(slices.Clone(f.notes),
					fmt.Sprintf("%.0e times the mean variance was added to each, so that the frontier is unique", r))
			}
			return f, nil
		}
		var failed *ConvergenceError
		if !errors.As(err, &failed) {
			return nil, err
		}
	}
	return nil, err
}

// trace follows the line with a ridge added to each variance.
func (m *meanVariance) trace(ctx context.Context, ridge float64) (*Frontier, error) {
	padded := *m.Problem
	padded.L2 += ridge
	padded.Progress = nil
	with := &meanVariance{Problem: &padded, feasible: m.feasible, risk: m.risk}
	t := with.task(1)
	s, err := t.run(ctx, nil)
	if err != nil {
		return nil, err
	}
	l, err := newLine(with, t, s)
	if err != nil {
		return nil, err
	}
	f := &Frontier{m: m}
	for step := 0; ; step++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if m.Progress != nil {
			m.Progress(Progress{Iteration: step, Gap: math.NaN()})
		}
		if wrong := l.wrong(); wrong > 1e-8 || step > 100*(m.n+len(m.less))+1000 {
			return nil, &ConvergenceError{Iterations: step, Gap: math.NaN(), Primal: wrong, Dual: math.NaN()}
		}
		f.add(l)
		more, err := l.next()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	if l.slope(m.n) > 1e-9 {
		f.ray = append([]float64(nil), l.beta[:m.n]...)
	}
	return f, nil
}

// add appends the present portfolio, unless it equals the last one.
func (f *Frontier) add(l *line) {
	w := f.m.within(l.x)
	if k := len(f.Corners); k > 0 {
		moved := 0.0
		for i, v := range f.Corners[k-1].Weights {
			moved = math.Max(moved, math.Abs(v-w[i]))
		}
		if moved < 1e-11 {
			f.Corners[k-1].Price = l.lambda * l.unit
			return
		}
	}
	f.Corners = append(f.Corners, Corner{Price: l.lambda * l.unit, Weights: w, Return: dot(f.m.Returns, w),
		Volatility: math.Sqrt(f.m.risk.variance(w))})
}

func (f *Frontier) portfolio(w []float64) *Portfolio {
	p := f.m.performance(f.m.within(w))
	p.Notes = f.notes
	return p
}

// MinVolatility returns the portfolio of least volatility.
func (f *Frontier) MinVolatility() *Portfolio { return f.portfolio(f.Corners[0].Weights) }

// Highest returns the highest return; infinity without bounds.
func (f *Frontier) Highest() float64 {
	if f.ray != nil {
		return math.Inf(1)
	}
	return f.Corners[len(f.Corners)-1].Return
}

// AtReturn returns the portfolio of least variance with at least the target return. A target above the highest return
// is an *InfeasibleError, NaN an *InvalidError.
func (f *Frontier) AtReturn(target float64) (*Portfolio, error) {
	if math.IsNaN(target) {
		return nil, invalid("target", "%v", target)
	}
	k := sort.Search(len(f.Corners), func(i int) bool { return f.Corners[i].Return >= target })
	if k == 0 {
		return f.MinVolatility(), nil
	}
	last := f.Corners[k-1]
	if k < len(f.Corners) {
		t := (target - last.Return) / (f.Corners[k].Return - last.Return)
		return f.portfolio(mix(last.Weights, f.Corners[k].Weights, t)), nil
	}
	if f.ray == nil {
		if target <= last.Return+1e-12*math.Max(1, math.Abs(last.Return)) {
			return f.portfolio(last.Weights), nil
		}
		return nil, infeasible([]string{"target return"},
			"the target return %.6g is above the highest that the constraints allow, %.6g", target, last.Return)
	}
	return f.portfolio(along(last.Weights, f.ray, (target-last.Return)/dot(f.ray, f.m.Returns))), nil
}

// MaxSharpe returns the portfolio of the frontier with the highest ratio of the return above riskFree to volatility.
func (f *Frontier) MaxSharpe(riskFree float64) *Portfolio {
	var best *Portfolio
	ratio := math.Inf(-1)
	try := func(w []float64) {
		p := f.portfolio(w)
		p.Sharpe = (p.Return - riskFree) / p.Volatility
		if best == nil || p.Sharpe > ratio || math.IsNaN(ratio) {
			best, ratio = p, p.Sharpe
		}
	}
	try(f.Corners[0].Weights)
	between := func(from, to []float64, most float64) {
		m0 := dot(f.m.Returns, from) - riskFree
		m1 := dot(f.m.Returns, to) - riskFree - m0
		c0, c1, c2 := f.parabola(from, to)
		if t := (m1*c0 - m0*c1) / (m0*c2 - m1*c1); t > 0 && t < most {
			try(mix(from, to, t))
		}
	}
	for k := 1; k < len(f.Corners); k++ {
		between(f.Corners[k-1].Weights, f.Corners[k].Weights, 1)
		try(f.Corners[k].Weights)
	}
	if f.ray != nil {
		last := f.Corners[len(f.Corners)-1].Weights
		between(last, along(last, f.ray, 1), math.Inf(1))
	}
	return best
}

// Points returns n portfolios with equally spaced returns, from the least volatility to the highest return, or to top
// if that is less. An unbounded frontier needs a top. Errors: *InvalidError.
func (f *Frontier) Points(n int, top float64) ([]*Portfolio, error) {
	top = math.Min(top, f.Highest())
	low := f.Corners[0].Return
	if n < 2 || math.IsInf(top, 0) || math.IsNaN(top) || top < low {
		return nil, invalid("points", "%d between returns of %.6g and %.6g", n, low, top)
	}
	var out []*Portfolio
	for i := range n {
		p, err := f.AtReturn(low + (top-low)*float64(i)/float64(n-1))
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// parabola returns the coefficients of the variance c₀ + 2c₁t + c₂t² of (1−t)·from + t·to.
func (f *Frontier) parabola(from, to []float64) (c0, c1, c2 float64) {
	d := along(to, from, -1)
	c0, c2 = f.m.risk.variance(from), f.m.risk.variance(d)
	n := f.m.n
	for i, v := range d {
		c1 += v * dot(f.m.risk.gram[i*n:(i+1)*n], from)
	}
	return c0, c1, c2
}

// mix returns (1−t)·a + t·b.
func mix(a, b []float64, t float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] + t*(b[i]-a[i])
	}
	return out
}

// along returns a + t·d.
func along(a, d []float64, t float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] + t*d[i]
	}
	return out
}
