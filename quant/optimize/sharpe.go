package optimize

import (
	"cmp"
	"context"
	"math"
	"slices"

	"stega/quant/optimize/internal/conic"
)

// byReturn returns the assets ordered by expected return, the highest first.
func byReturn(returns []float64) []int {
	order := make([]int, len(returns))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(returns[b], returns[a]) })
	return order
}

// MaxSharpe returns the tangency portfolio: the weights that maximise (wᵀμ − Cost·‖w − Before‖₁ − RiskFree)/√(wᵀΣw).
//
// In y = κw the problem is convex: minimise yᵀΣy + L2·‖y‖² with (μ − RiskFree)ᵀy − Cost·‖y − κ·Before‖₁ ≥ 1, Σy = κ,
// κ ≥ 0, and every constraint on w times κ. L2 applies to y and not to w, as in PyPortfolioOpt, so that it weighs
// more for smaller excess returns. Sources: Charnes and Cooper (1962); Cornuejols and Tütüncü, Optimization Methods
// in Finance (2006), section 8.2.
//
// Errors: an *InfeasibleError when no portfolio earns more than RiskFree; an *UnboundedError when positions without
// bounds approach the highest ratio but never reach it; an *InvalidError for a market-neutral portfolio, whose ratio
// does not depend on its scale; and those of MinVolatility.
func MaxSharpe(ctx context.Context, problem Problem) (*Portfolio, error) {
	m, err := check(&problem, true)
	if err != nil {
		return nil, err
	}
	if m.MarketNeutral {
		return nil, invalid("objective",
			"the Sharpe ratio of a market-neutral portfolio is the same at any scale: take a target volatility")
	}
	top, best := m.greedy(m.Returns)
	if top <= m.RiskFree {
		return nil, m.noExcessReturn(top, best)
	}
	excess, size := make([]float64, m.n), 0.0
	for i, v := range m.Returns {
		excess[i] = v - m.RiskFree
		size = math.Max(size, math.Abs(excess[i]))
	}
	if size == 0 {
		return nil, m.noExcessReturn(top, best)
	}
	// The variables are y·size, about as large as weights.
	kappa := m.n
	t := m.feasible.task(1, kappa, m.Progress)
	t.program.P = m.quadratic(1, m.n+1)
	row := conic.Dense(excess)
	for i := range row.Value {
		row.Value[i] /= -size
	}
	t.less(limit{name: "scale", asset: true}, conic.Row{Index: []int{kappa}, Value: []float64{-1}}, 0)
	if m.Cost > 0 {
		b := t.addBlock(&conic.Turnover{Before: m.before(), Unit: kappa}, 0, 0)
		scale := make([]float64, b+1)
		scale[b] = m.Cost / size
		t.program.Side = []conic.Side{{Row: row, Scale: scale, Bound: -1}}
	} else {
		t.program.Equal, t.program.B = append(t.program.Equal, negative(row)), append(t.program.B, 1)
	}
	s, err := t.tangent(ctx, m)
	if err != nil {
		return nil, err
	}
	k := s.D[kappa]
	total := 0.0
	for _, y := range s.D[:m.n] {
		total += math.Abs(y)
	}
	if k <= 1e-7*total {
		return nil, &UnboundedError{
			"ever larger opposite positions approach the highest Sharpe ratio but never reach it: set bounds"}
	}
	w := make([]float64, m.n)
	for i := range w {
		w[i] = s.D[i] / k
	}
	p := m.portfolio(t, s, m.within(w))
	p.Active = slices.DeleteFunc(p.Active, func(a Active) bool { return a.Constraint == "scale" })
	return p, nil
}

// tangent solves the transformed problem.
func (t *task) tangent(ctx context.Context, m *meanVariance) (*conic.Solution, error) {
	s, err := conic.Solve(ctx, t.program, func(i int, gap float64) {
		if m.Progress != nil {
			m.Progress(Progress{Iteration: i, Gap: gap})
		}
	})
	switch {
	case err != nil:
		return nil, err
	case s.Solved(solved):
		return s, nil
	}
	if err := m.conflict(ctx, m.less); err != nil {
		return nil, err
	}
	if err := m.free(); err != nil {
		return nil, err
	}
	if top, err := m.highest(ctx, m.Returns); err == nil && top <= m.RiskFree+1e-9 {
		return nil, m.noExcessReturn(top, -1)
	}
	if m.Cost > 0 {
		if err := m.noExcessAfterCosts(ctx); err != nil {
			return nil, err
		}
	}
	return nil, &ConvergenceError{Iterations: s.Iterations, Gap: s.Gap, Primal: s.Primal, Dual: s.Dual}
}

// noExcessAfterCosts returns an error if no portfolio earns more than the risk-free rate after costs.
func (m *meanVariance) noExcessAfterCosts(ctx context.Context) error {
	t := m.feasible.task(0, -1, nil)
	for i, v := range m.Returns {
		t.program.Q[i] = -v
	}
	t.addBlock(&conic.Turnover{Before: m.before(), Unit: -1}, m.Cost, 0)
	s, err := t.run(ctx, nil)
	if err != nil || -s.Objective > m.RiskFree+1e-9 {
		return err
	}
	return infeasible([]string{"risk-free rate", "cost"},
		"after costs no portfolio earns more than the risk-free rate of %.6g: the highest return is %.6g", m.RiskFree,
		-s.Objective)
}

func (m *meanVariance) noExcessReturn(top float64, best int) error {
	if best >= 0 && m.Returns[best] == top {
		return infeasible([]string{"risk-free rate"},
			"no asset earns more than the risk-free rate of %.6g: the best has %.6g (%s)", m.RiskFree, top,
			m.names.of(best))
	}
	return infeasible([]string{"risk-free rate"},
		"no portfolio within the constraints earns more than the risk-free rate of %.6g: the highest return is %.6g",
		m.RiskFree, top)
}
