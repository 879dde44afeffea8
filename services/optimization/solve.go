package optimization

import (
	"context"
	"math"

	"stega/quant"
	"stega/quant/optimize"
)

// solve solves a request whose defaults are set. current has the weights that trading starts from.
func (e *estimates) solve(
	ctx context.Context, current map[string]float64, progress func(optimize.Progress),
) (*Result, error) {
	p := optimize.Problem{
		Names: e.window.symbols, Returns: e.expected, Covariance: e.covariance, RiskFree: e.RiskFree,
		Constraints: e.limits(e.window.symbols),
		L2:          e.L2, Cost: e.TransactionCosts, Before: e.startWeights(current), Progress: progress,
	}
	if e.Repair != noRepair {
		p.Repair = quant.RepairMethod(e.Repair)
	}
	if e.Objective == frontier {
		return e.traceFrontier(ctx, p)
	}
	best, err := e.solveOne(ctx, p)
	if err != nil {
		return nil, faultOf(err)
	}
	return e.resultOf(best), nil
}

// startWeights returns the weights that trading starts from, or nil without transaction costs.
func (e *estimates) startWeights(current map[string]float64) []float64 {
	if e.TransactionCosts == 0 {
		return nil
	}
	if len(e.CurrentWeights) > 0 {
		current = e.CurrentWeights
	}
	out := make([]float64, len(e.window.symbols))
	for i, s := range e.window.symbols {
		out[i] = current[s]
	}
	return out
}

// solveOne returns the optimal portfolio of an objective.
func (e *estimates) solveOne(ctx context.Context, p optimize.Problem) (*optimize.Portfolio, error) {
	if e.Request.scenarios() {
		return e.solveScenarios(ctx, p)
	}
	switch e.Objective {
	case maxSharpe:
		return optimize.MaxSharpe(ctx, p)
	case maxUtility:
		return optimize.MaxUtility(ctx, p, *e.RiskAversion)
	case efficientReturn:
		return optimize.EfficientReturn(ctx, p, *e.Target)
	case efficientRisk:
		return optimize.EfficientRisk(ctx, p, *e.Target)
	case riskParity:
		return optimize.RiskParity(ctx, p, e.budgets())
	case hrp:
		weights, err := optimize.HierarchicalRiskParity(
			e.covariance, e.correlation, quant.LinkageMethod(e.Linkage), e.window.symbols,
		)
		if err != nil {
			return nil, err
		}
		return e.portfolioOf(weights)
	default:
		return optimize.MinVolatility(ctx, p)
	}
}

// budgets returns the risk budgets in the order of the symbols, or nil for equal ones.
func (e *estimates) budgets() []float64 {
	if len(e.Budgets) == 0 {
		return nil
	}
	out := make([]float64, len(e.window.symbols))
	for i, s := range e.window.symbols {
		out[i] = e.Budgets[s]
	}
	return out
}

// solveScenarios solves over the returns of each row instead of a covariance.
func (e *estimates) solveScenarios(ctx context.Context, p optimize.Problem) (*optimize.Portfolio, error) {
	s := optimize.Scenarios{
		Names:       p.Names,
		Scenarios:   e.scenarios,
		Returns:     p.Returns,
		Measure:     optimize.Measure(e.Measure),
		Confidence:  limit(e.Confidence, 0),
		Periods:     e.window.PerYear(),
		Benchmark:   e.Benchmark,
		RiskFree:    p.RiskFree,
		Constraints: p.Constraints,
		L2:          p.L2,
		Cost:        p.Cost,
		Before:      p.Before,
		Progress:    p.Progress,
	}
	switch e.Objective {
	case maxUtility:
		return optimize.MaxSemiUtility(ctx, s, *e.RiskAversion)
	case efficientReturn:
		return optimize.RiskForReturn(ctx, s, *e.Target)
	case efficientRisk:
		return optimize.ReturnForRisk(ctx, s, *e.Target)
	default:
		return optimize.MinRisk(ctx, s)
	}
}

// traceFrontier returns points of the efficient frontier, with those of least volatility and of the highest Sharpe
// ratio.
func (e *estimates) traceFrontier(ctx context.Context, p optimize.Problem) (*Result, error) {
	f, err := optimize.TraceFrontier(ctx, p)
	if err != nil {
		return nil, faultOf(err)
	}
	r := e.result()
	lowest, best := f.MinVolatility(), f.MaxSharpe(e.RiskFree)
	top := f.Highest()
	if math.IsInf(top, 0) { // an unbounded frontier is cut at twice the distance of the maximum
		top = math.Max(lowest.Return+2*(best.Return-lowest.Return), lowest.Return+math.Abs(lowest.Return))
	}
	points, err := f.Points(e.Points, top)
	if err != nil {
		return nil, faultOf(err)
	}
	for _, at := range points {
		r.Points = append(r.Points, e.point(at))
	}
	low, high := e.point(lowest), e.point(best)
	r.MinVolatility, r.MaxSharpe, r.Notes = &low, &high, e.allNotes(lowest.Notes)
	return r, nil
}
