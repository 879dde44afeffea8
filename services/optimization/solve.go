package optimization

import (
	"context"
	"math"

	"stega/quant"
	"stega/quant/optimize"
)

// solve finds the answer to a request whose defaults are filled in. held are the weights that trading begins with.
func (e *estimates) solve(ctx context.Context, held map[string]float64, progress func(optimize.Progress)) (*Result, error) {
	p := optimize.Problem{
		Names: e.window.symbols, Returns: e.expected, Covariance: e.covariance, RiskFree: e.RiskFree, Constraints: e.limits(e.window.symbols),
		L2: e.L2, Cost: e.TransactionCosts, Before: e.before(held), Progress: progress,
	}
	if e.Repair != noRepair {
		p.Repair = quant.RepairMethod(e.Repair)
	}
	if e.Objective == frontier {
		return e.trace(ctx, p)
	}
	best, err := e.best(ctx, p)
	if err != nil {
		return nil, faultOf(err)
	}
	return e.of(best), nil
}

// before are the weights that trading begins with.
func (e *estimates) before(held map[string]float64) []float64 {
	if e.TransactionCosts == 0 {
		return nil
	}
	if len(e.CurrentWeights) > 0 {
		held = e.CurrentWeights
	}
	out := make([]float64, len(e.window.symbols))
	for i, s := range e.window.symbols {
		out[i] = held[s]
	}
	return out
}

func (e *estimates) best(ctx context.Context, p optimize.Problem) (*optimize.Portfolio, error) {
	if e.Request.scenarios() {
		return e.avoid(ctx, p)
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
		weights, err := optimize.HierarchicalRiskParity(e.covariance, e.correlation, quant.LinkageMethod(e.Linkage), e.window.symbols)
		if err != nil {
			return nil, err
		}
		return e.weighed(weights)
	default:
		return optimize.MinVolatility(ctx, p)
	}
}

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

// avoid solves over the days themselves.
func (e *estimates) avoid(ctx context.Context, p optimize.Problem) (*optimize.Portfolio, error) {
	s := optimize.Scenarios{
		Names: p.Names, Scenarios: e.scenarios, Returns: p.Returns, Measure: optimize.Measure(e.Measure), Confidence: limit(e.Confidence, 0),
		Periods: e.window.PerYear(), Benchmark: e.Benchmark, RiskFree: p.RiskFree, Constraints: p.Constraints, L2: p.L2, Cost: p.Cost, Before: p.Before,
		Progress: p.Progress,
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

// trace finds points of the efficient frontier, its least volatility and its highest Sharpe ratio.
func (e *estimates) trace(ctx context.Context, p optimize.Problem) (*Result, error) {
	f, err := optimize.TraceFrontier(ctx, p)
	if err != nil {
		return nil, faultOf(err)
	}
	r := e.result()
	calm, steep := f.MinVolatility(), f.MaxSharpe(e.RiskFree)
	top := f.Highest()
	if math.IsInf(top, 0) { // without bounds it has no end: it is shown up to twice the distance of the highest Sharpe ratio
		top = math.Max(calm.Return+2*(steep.Return-calm.Return), calm.Return+math.Abs(calm.Return))
	}
	points, err := f.Points(e.Points, top)
	if err != nil {
		return nil, faultOf(err)
	}
	for _, at := range points {
		r.Points = append(r.Points, e.point(at))
	}
	low, high := e.point(calm), e.point(steep)
	r.MinVolatility, r.MaxSharpe, r.Notes = &low, &high, e.caveats(calm.Notes)
	return r, nil
}
