package optimize

import (
	"context"
	"errors"
	"fmt"
	"math"

	"stega/quant/optimize/internal/conic"
)

// meanVariance is a checked problem.
type meanVariance struct {
	*Problem
	*feasible
	risk *risk
}

// check checks a problem; returns makes expected returns mandatory.
func check(p *Problem, returns bool) (*meanVariance, error) {
	names := assetNames(p.Names)
	r, err := newRisk(p.Covariance, names, p.Repair)
	if err != nil {
		return nil, err
	}
	f, err := newFeasible(r.n, names, p.Constraints)
	if err != nil {
		return nil, err
	}
	m := &meanVariance{Problem: p, feasible: f, risk: r}
	if returns || p.Returns != nil {
		if err := values("returns", p.Returns, f); err != nil {
			return nil, err
		}
	}
	if p.Before != nil {
		if err := values("before", p.Before, f); err != nil {
			return nil, err
		}
	}
	for _, v := range []struct {
		field string
		value float64
	}{{"l2", p.L2}, {"cost", p.Cost}} {
		if !(v.value >= 0) || math.IsInf(v.value, 0) {
			return nil, invalid(v.field, "%v is not a number from zero up", v.value)
		}
	}
	if math.IsNaN(p.RiskFree) || math.IsInf(p.RiskFree, 0) {
		return nil, invalid("risk_free", "%v", p.RiskFree)
	}
	return m, nil
}

// values checks that each asset has a finite value.
func values(field string, v []float64, f *feasible) error {
	if len(v) != f.n {
		return invalid(field, "%d for %d assets", len(v), f.n)
	}
	for i, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return &InvalidError{Field: field, Asset: i, Name: f.names.of(i), Detail: fmt.Sprint("it is ", x)}
		}
	}
	return nil
}

// task returns the program of the constraints with the objective factor·wᵀΣw + L2·‖w‖² + Cost·‖w − Before‖₁.
func (m *meanVariance) task(factor float64) *task {
	t := m.feasible.task(0, -1, m.Progress)
	t.program.P = m.quadratic(factor, m.n)
	if m.Cost > 0 {
		t.addBlock(&conic.Turnover{Before: m.before(), Unit: -1}, m.Cost, 0)
	}
	return t
}

func (m *meanVariance) before() []float64 {
	if m.Before == nil {
		return make([]float64, m.n)
	}
	return m.Before
}

// quadratic returns 2·(factor·Σ + L2·I) over size variables.
func (m *meanVariance) quadratic(factor float64, size int) []float64 {
	if factor == 0 && m.L2 == 0 {
		return nil
	}
	out := make([]float64, size*size)
	for i := range m.n {
		for j := range m.n {
			out[i*size+j] = 2 * factor * m.risk.gram[i*m.n+j]
		}
		out[i*size+i] += 2 * m.L2
	}
	return out
}

func (m *meanVariance) portfolio(t *task, s *conic.Solution, w []float64) *Portfolio {
	p := m.performance(w)
	p.Active, p.Iterations, p.Gap = t.active(s), s.Iterations, s.Gap
	return p
}

// performance returns the portfolio of the weights with its return, volatility and Sharpe ratio.
func (m *meanVariance) performance(w []float64) *Portfolio {
	p := &Portfolio{Weights: w, Return: math.NaN(), Volatility: math.Sqrt(m.risk.variance(w)), Risk: math.NaN(),
		Notes: m.risk.notes}
	if m.Returns != nil {
		p.Return = dot(m.Returns, w)
	}
	p.Sharpe = (p.Return - m.RiskFree) / p.Volatility
	return p
}

// MinVolatility returns the weights that minimise wᵀΣw + L2·‖w‖² + Cost·‖w − Before‖₁ (Markowitz 1952).
//
// Errors, here and in the other functions of a Problem: *InvalidError, *InfeasibleError, *ConvergenceError, and that
// of the context.
func MinVolatility(ctx context.Context, problem Problem) (*Portfolio, error) {
	m, err := check(&problem, false)
	if err != nil {
		return nil, err
	}
	return m.least(ctx)
}

func (m *meanVariance) least(ctx context.Context) (*Portfolio, error) {
	t := m.task(1)
	s, err := t.run(ctx, nil)
	if err != nil {
		return nil, err
	}
	return m.portfolio(t, s, m.within(s.D)), nil
}

// MaxUtility returns the weights that maximise wᵀμ − aversion/2·wᵀΣw − L2·‖w‖² − Cost·‖w − Before‖₁, with an aversion
// above zero. A direction that gains without risk and without bounds is an *UnboundedError.
func MaxUtility(ctx context.Context, problem Problem, aversion float64) (*Portfolio, error) {
	if !(aversion > 0) || math.IsInf(aversion, 0) {
		return nil, invalid("aversion", "%v is not above zero", aversion)
	}
	m, err := check(&problem, true)
	if err != nil {
		return nil, err
	}
	t := m.task(aversion / 2)
	for i, v := range m.Returns {
		t.program.Q[i] = -v
	}
	s, err := t.run(ctx, m.free)
	if err != nil {
		return nil, err
	}
	return m.portfolio(t, s, m.within(s.D)), nil
}

// free returns an UnboundedError if positions without bounds may be why a problem has no solution.
func (m *meanVariance) free() error {
	if len(m.risk.notes) == 0 {
		return nil
	}
	for _, b := range m.bounds {
		if math.IsInf(b.Lower, 0) || math.IsInf(b.Upper, 0) {
			return &UnboundedError{"the covariance is singular, so that positions without bounds can gain without risk"}
		}
	}
	return nil
}

// EfficientReturn returns the weights that minimise wᵀΣw + L2·‖w‖² + Cost·‖w − Before‖₁ at a return of at least
// target: wᵀμ ≥ target.
func EfficientReturn(ctx context.Context, problem Problem, target float64) (*Portfolio, error) {
	m, err := check(&problem, true)
	if err != nil {
		return nil, err
	}
	if err := m.reachable(m.Returns, target); err != nil {
		return nil, err
	}
	t := m.task(1)
	t.require("target return", negative(conic.Dense(m.Returns)), -target)
	s, err := t.run(ctx, nil)
	if err != nil {
		return nil, m.explain(ctx, m.Returns, target, err)
	}
	return m.portfolio(t, s, m.within(s.D)), nil
}

// reachable returns an error for a return that no weights within their bounds have.
func (f *feasible) reachable(returns []float64, target float64) error {
	if math.IsNaN(target) || math.IsInf(target, 0) {
		return invalid("target", "%v", target)
	}
	top, best := f.greedy(returns)
	if target > top+1e-9*math.Max(1, math.Abs(top)) {
		names := []string{"target return", "bounds"}
		if best >= 0 && returns[best] == top && f.budget == 1 {
			return infeasible(names, "the target return %.6g is above that of the best asset, %.6g (%s)", target, top,
				f.names.of(best))
		}
		return infeasible(names, "the target return %.6g is above the highest that the bounds allow, %.6g", target, top)
	}
	return nil
}

// greedy returns the highest return within bounds and budget, without the other constraints, and the asset with the
// highest return.
func (f *feasible) greedy(returns []float64) (top float64, best int) {
	order := byReturn(returns)
	left := f.budget
	for i, b := range f.bounds {
		if math.IsInf(b.Lower, 0) || math.IsInf(b.Upper, 0) {
			return math.Inf(1), order[0]
		}
		left -= b.Lower
		top += b.Lower * returns[i]
	}
	for _, i := range order {
		more := math.Min(left, f.bounds[i].Upper-f.bounds[i].Lower)
		top += more * returns[i]
		if left -= more; left <= 0 {
			break
		}
	}
	return top, order[0]
}

// explain adds the highest feasible return to an infeasibility that the target return causes.
func (f *feasible) explain(ctx context.Context, returns []float64, target float64, err error) error {
	var conflict *InfeasibleError
	if !errors.As(err, &conflict) {
		return err
	}
	top, e := f.highest(ctx, returns)
	if e != nil || top >= target {
		return err
	}
	return infeasible(conflict.Constraints,
		"the target return %.6g is above the highest that the constraints allow, %.6g; what stops it: %s",
		target, top, list(conflict.Constraints))
}

// EfficientRisk returns the weights that maximise wᵀμ − L2·‖w‖² − Cost·‖w − Before‖₁ at a volatility of at most
// target: √(wᵀΣw) ≤ target.
func EfficientRisk(ctx context.Context, problem Problem, target float64) (*Portfolio, error) {
	if !(target > 0) || math.IsInf(target, 0) {
		return nil, invalid("target", "the volatility %v is not above zero", target)
	}
	m, err := check(&problem, true)
	if err != nil {
		return nil, err
	}
	t := m.task(0)
	for i, v := range m.Returns {
		t.program.Q[i] = -v
	}
	scale := 1 / target
	cone := &conic.Cone{Root: make([]float64, len(m.risk.root)), Gram: make([]float64, len(m.risk.gram)), Bound: 1}
	for i, v := range m.risk.root {
		cone.Root[i] = v * scale
	}
	for i, v := range m.risk.gram {
		cone.Gram[i] = v * scale * scale
	}
	t.program.Cone = cone
	s, err := t.run(ctx, func() error { return m.riskTooLow(ctx, target) })
	if err != nil {
		return nil, err
	}
	p := m.portfolio(t, s, m.within(s.D))
	if price := s.Cone / target; price > 1e-9 && p.Volatility > target*(1-1e-6) {
		p.Active = append(p.Active, Active{"target volatility", price})
	}
	return p, nil
}

// riskTooLow returns an error if no portfolio has a volatility as low as target.
func (m *meanVariance) riskTooLow(ctx context.Context, target float64) error {
	plain := *m.Problem
	plain.L2, plain.Cost, plain.Progress = 0, 0, nil
	least, err := (&meanVariance{Problem: &plain, feasible: m.feasible, risk: m.risk}).least(ctx)
	if err != nil {
		return err
	}
	if least.Volatility < target {
		return m.free()
	}
	return infeasible([]string{"target volatility"},
		"the target volatility %.6g is below the least that the constraints allow, %.6g", target, least.Volatility)
}
