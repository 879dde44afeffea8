package optimize

import (
	"context"
	"fmt"
	"math"
	"sort"

	"stega/quant"
	"stega/quant/optimize/internal/conic"
)

// Measure is a measure of loss over scenarios.
type Measure string

// The measures.
const (
	// CVaR is the conditional value at risk: the mean loss in the worst 1−β of the periods (Rockafellar and Uryasev
	// 2000).
	CVaR Measure = "cvar"
	// CDaR is the conditional drawdown at risk: the mean of the worst 1−β of the drawdowns of the sum of returns
	// since the start, which begins at zero and is not compounded (Chekhlov, Uryasev, Zabarankin 2005).
	CDaR Measure = "cdar"
	// Semideviation is √(periods/T·Σ min(r − benchmark, 0)²), annual (Markowitz, Starer, Fram, Gerber, Avoiding the
	// downside, 2019).
	Semideviation Measure = "semideviation"
)

// Scenarios is a problem of loss over T periods, observed or simulated, of equal weight.
type Scenarios struct {
	Names     []string
	Scenarios [][]float64 // [asset][period], N series of T simple returns, without NaN
	Returns   []float64   // expected annual returns; not needed for the least risk
	Measure   Measure
	// Confidence is β of CVaR and CDaR, above 0 and below 1; 0 stands for .95.
	Confidence float64
	Periods    float64 // periods a year; 0 stands for 252
	Benchmark  float64 // per period; a return below it is a loss; for the semideviation
	// Held measures compounded drawdowns of positions that are bought once and held, as parts of their cost, instead
	// of drawdowns of the sum of returns.
	Held     bool
	RiskFree float64 // annual rate
	Constraints
	L2       float64 // as in Problem
	Cost     float64
	Before   []float64
	Progress func(Progress)
}

// downside is a checked problem of loss. Returns are divided by unit, their size, so that weights and losses have a
// similar size.
type downside struct {
	*Scenarios
	*feasible
	beta, periods, unit float64
	periodsCount        int
}

func newDownside(s *Scenarios, returns bool) (*downside, error) {
	names := assetNames(s.Names)
	f, err := newFeasible(len(s.Scenarios), names, s.Constraints)
	if err != nil {
		return nil, err
	}
	d := &downside{Scenarios: s, feasible: f, beta: s.Confidence, periods: s.Periods, periodsCount: len(s.Scenarios[0])}
	if d.beta == 0 {
		d.beta = .95
	}
	if d.periods == 0 {
		d.periods = quant.Daily
	}
	switch {
	case s.Measure != CVaR && s.Measure != CDaR && s.Measure != Semideviation:
		return nil, invalid("measure", "%q is not supported", s.Measure)
	case !(d.beta > 0 && d.beta < 1):
		return nil, invalid("confidence", "%v is not between 0 and 1", s.Confidence)
	case !(d.periods > 0) || math.IsInf(d.periods, 0):
		return nil, invalid("periods", "%v", s.Periods)
	case d.periodsCount == 0:
		return nil, invalid("scenarios", "there are none")
	case math.IsNaN(s.Benchmark) || math.IsInf(s.Benchmark, 0):
		return nil, invalid("benchmark", "%v", s.Benchmark)
	case !(s.L2 >= 0) || math.IsInf(s.L2, 0):
		return nil, invalid("l2", "%v is not a number from zero up", s.L2)
	case !(s.Cost >= 0) || math.IsInf(s.Cost, 0):
		return nil, invalid("cost", "%v is not a number from zero up", s.Cost)
	}
	if returns || s.Returns != nil {
		if err := values("returns", s.Returns, f); err != nil {
			return nil, err
		}
	}
	if s.Before != nil {
		if err := values("before", s.Before, f); err != nil {
			return nil, err
		}
	}
	return d, d.measureUnit()
}

func (d *downside) measureUnit() error {
	sum := 0.0
	for a, series := range d.Scenarios.Scenarios {
		if len(series) != d.periodsCount {
			return &InvalidError{Field: "scenarios", Asset: a, Name: d.names.of(a),
				Detail: fmt.Sprintf("%d periods, and %d of %s", len(series), d.periodsCount, d.names.of(0))}
		}
		for t, r := range series {
			if math.IsNaN(r) || math.IsInf(r, 0) {
				return &InvalidError{Field: "scenarios", Asset: a, Name: d.names.of(a),
					Detail: fmt.Sprintf("%v in period %d", r, t)}
			}
			sum += r * r
		}
	}
	d.unit = math.Sqrt(sum / float64(d.n*d.periodsCount))
	if d.unit == 0 {
		d.unit = 1
	}
	return nil
}

// task returns the program of the constraints with factor times the risk as its objective: the semivariance per
// period, or the measure, in units of d.unit.
func (d *downside) task(factor float64) *task {
	n, T := d.n+1, d.periodsCount
	alpha := d.n
	if d.Measure == Semideviation {
		n = d.n
	}
	t := d.feasible.task(n-d.n, -1, d.Progress)
	rows := make([]float64, T*n)
	for a, series := range d.Scenarios.Scenarios {
		wealth := 1.0
		for i, r := range series {
			if d.Held && d.Measure == CDaR {
				r, wealth = wealth*r, wealth*(1+r)
			}
			rows[i*n+a] = r / d.unit
		}
	}
	weight := 1 / (float64(T) * (1 - d.beta))
	switch d.Measure {
	case CVaR:
		for i := range T {
			rows[i*n+alpha] = 1
		}
		t.addBlock(&conic.Tails{T: T, N: n, R: rows, Positive: true, Weight: weight}, factor, 0)
		t.program.Q[alpha] = factor
	case CDaR:
		t.addBlock(&conic.Drawdowns{T: T, N: n, R: rows, Weight: weight}, factor, 0)
		t.program.Q[alpha] = factor
	case Semideviation:
		t.addBlock(&conic.Tails{T: T, N: n, R: rows, Shift: -d.Benchmark / d.unit, Weight: 1}, 0, 2*factor/float64(T))
	}
	return t
}

// extra adds L2 and costs, divided by unit.
func (d *downside) extra(t *task, unit float64) {
	if d.L2 > 0 {
		n := t.program.N
		t.program.P = make([]float64, n*n)
		for i := range d.n {
			t.program.P[i*n+i] = 2 * d.L2 / unit
		}
	}
	if d.Cost > 0 {
		before := d.Before
		if before == nil {
			before = make([]float64, d.n)
		}
		t.addBlock(&conic.Turnover{Before: before, Unit: -1}, d.Cost/unit, 0)
	}
}

// natural returns the unit of the risk in the objective.
func (d *downside) natural() float64 {
	if d.Measure == Semideviation {
		return d.unit * d.unit
	}
	return d.unit
}

func (d *downside) portfolio(t *task, s *conic.Solution) *Portfolio {
	w := d.within(s.D)
	p := &Portfolio{Weights: w, Return: math.NaN(), Active: t.active(s), Iterations: s.Iterations, Gap: s.Gap}
	if d.Returns != nil {
		p.Return = dot(d.Returns, w)
	}
	total := make([]float64, d.periodsCount)
	for a, series := range d.Scenarios.Scenarios {
		for i, r := range series {
			total[i] += w[a] * r
		}
	}
	p.Volatility = quant.AnnualVolatility(total, d.periods)
	p.Sharpe = (p.Return - d.RiskFree) / p.Volatility
	p.Risk = d.measure(w)
	return p
}

// measure returns the risk of weights, by its definition.
func (d *downside) measure(w []float64) float64 {
	losses := make([]float64, d.periodsCount)
	for a, series := range d.Scenarios.Scenarios {
		wealth := 1.0
		for i, r := range series {
			if d.Held && d.Measure == CDaR {
				r, wealth = wealth*r, wealth*(1+r)
			}
			losses[i] -= w[a] * r
		}
	}
	switch d.Measure {
	case CDaR:
		deep := 0.0
		for i, l := range losses {
			deep = math.Max(0, deep+l)
			losses[i] = deep
		}
	case Semideviation:
		sum := 0.0
		for _, l := range losses {
			short := math.Max(0, l+d.Benchmark)
			sum += short * short
		}
		return math.Sqrt(sum / float64(len(losses)) * d.periods)
	case CVaR:
	}
	return TailMean(losses, d.beta)
}

// TailMean returns the mean of the largest 1−β of T values, the one on the border counted in part: min over a of a +
// Σ max(v − a, 0)/(T(1−β)). Of losses, it is the conditional value at risk. NaN without values.
func TailMean(values []float64, beta float64) float64 {
	sorted := append([]float64(nil), values...)
	sort.Sort(sort.Reverse(sort.Float64Slice(sorted)))
	size := float64(len(sorted)) * (1 - beta)
	sum, left := 0.0, size
	for _, v := range sorted {
		part := math.Min(1, left)
		if part <= 0 {
			break
		}
		sum += part * v
		left -= part
	}
	return sum / size
}

// MinRisk returns the weights that minimise the risk plus L2·‖w‖² plus Cost·‖w − Before‖₁; for the semideviation, its
// square per period. An interior point method takes about 20 iterations of O(T·N²).
//
// Errors, here and in the other functions of Scenarios: *InvalidError, *InfeasibleError, *ConvergenceError, and that
// of the context.
func MinRisk(ctx context.Context, scenarios Scenarios) (*Portfolio, error) {
	d, err := newDownside(&scenarios, false)
	if err != nil {
		return nil, err
	}
	return d.least(ctx)
}

func (d *downside) least(ctx context.Context) (*Portfolio, error) {
	t := d.task(1)
	d.extra(t, d.natural())
	s, err := t.run(ctx, nil)
	if err != nil {
		return nil, err
	}
	return d.portfolio(t, s), nil
}

// RiskForReturn returns the weights that minimise the objective of MinRisk at a return of at least target: wᵀμ ≥
// target.
func RiskForReturn(ctx context.Context, scenarios Scenarios, target float64) (*Portfolio, error) {
	d, err := newDownside(&scenarios, true)
	if err != nil {
		return nil, err
	}
	if err := d.reachable(d.Returns, target); err != nil {
		return nil, err
	}
	t := d.task(1)
	d.extra(t, d.natural())
	t.require("target return", negative(conic.Dense(d.Returns)), -target)
	s, err := t.run(ctx, nil)
	if err != nil {
		return nil, d.explain(ctx, d.Returns, target, err)
	}
	return d.portfolio(t, s), nil
}

// ReturnForRisk returns the weights that maximise wᵀμ − L2·‖w‖² − Cost·‖w − Before‖₁ at a risk of at most target, in
// the unit of Portfolio.Risk.
func ReturnForRisk(ctx context.Context, scenarios Scenarios, target float64) (*Portfolio, error) {
	d, err := newDownside(&scenarios, true)
	if err != nil {
		return nil, err
	}
	if math.IsNaN(target) || math.IsInf(target, 0) || d.Measure != CVaR && target <= 0 {
		return nil, invalid("target", "a risk of %v", target)
	}
	t := d.task(0)
	for i, v := range d.Returns {
		t.program.Q[i] = -v
	}
	d.extra(t, 1)
	if d.Measure == Semideviation {
		t.program.Cone = &conic.Cone{Block: 0,
			Factor: d.unit / target * math.Sqrt(d.periods/float64(d.periodsCount)), Bound: 1}
	} else {
		t.program.Side = []conic.Side{{Row: conic.Row{Index: []int{d.n}, Value: []float64{1}}, Scale: []float64{1},
			Bound: target / d.unit}}
	}
	s, err := t.run(ctx, func() error { return d.riskTooLow(ctx, target) })
	if err != nil {
		return nil, err
	}
	p := d.portfolio(t, s)
	price := s.Cone / target
	if len(s.Side) > 0 {
		price = s.Side[0] / d.unit
	}
	if price > 1e-9 && p.Risk > target-1e-6*math.Abs(target) {
		p.Active = append(p.Active, Active{"target risk", price})
	}
	return p, nil
}

// riskTooLow returns an error if no portfolio has a risk as low as target.
func (d *downside) riskTooLow(ctx context.Context, target float64) error {
	plain := *d.Scenarios
	plain.L2, plain.Cost, plain.Progress = 0, 0, nil
	copied := *d
	copied.Scenarios = &plain
	least, err := copied.least(ctx)
	if err != nil || least.Risk < target {
		return err
	}
	return infeasible([]string{"target risk"}, "the target %s %.6g is below the least that the constraints allow, %.6g",
		d.Measure, target, least.Risk)
}

// MaxSemiUtility returns the weights that maximise wᵀμ/periods − aversion/2·s² − L2·‖w‖² − Cost·‖w − Before‖₁, with
// s² the semivariance per period. The measure must be Semideviation.
func MaxSemiUtility(ctx context.Context, scenarios Scenarios, aversion float64) (*Portfolio, error) {
	if scenarios.Measure != Semideviation {
		return nil, invalid("measure", "utility is defined for the semideviation, not for %q", scenarios.Measure)
	}
	if !(aversion > 0) || math.IsInf(aversion, 0) {
		return nil, invalid("aversion", "%v is not above zero", aversion)
	}
	d, err := newDownside(&scenarios, true)
	if err != nil {
		return nil, err
	}
	t := d.task(aversion / 2 * d.unit * d.unit)
	for i, v := range d.Returns {
		t.program.Q[i] = -v / d.periods
	}
	d.extra(t, 1)
	s, err := t.run(ctx, nil)
	if err != nil {
		return nil, err
	}
	return d.portfolio(t, s), nil
}
