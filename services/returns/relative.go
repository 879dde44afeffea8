package returns

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/quant"
)

// rival is a benchmark, and both series on the days that they have in common.
type rival struct {
	who      subject
	own, its series
}

// rival finds the benchmark that is asked for, if any.
func (s *Service) rival(ctx context.Context, q query, who subject, own series) (*rival, error) {
	if q.benchmark == "" {
		return nil, nil //nolint:nilnil // nothing is compared
	}
	r := &rival{}
	its, err := s.benchmark(ctx, q, &r.who)
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return nil, notComparable(f, q.benchmark)
	}
	if err != nil {
		return nil, err
	}
	mine, theirs := daySet(own), daySet(its)
	r.own, r.its = own.on(theirs), its.on(mine)
	if len(r.own.days) < 2 {
		return nil, fault.Invalid("benchmark_apart", "%s (%s to %s) and the benchmark %s (%s to %s) have prices on %d common days of the window, and a return needs two",
			who.name(), own.days[0], own.days[len(own.days)-1], r.who.name(), its.days[0], its.days[len(its.days)-1], len(r.own.days)).
			WithHint("choose another benchmark, or a window in which both have prices")
	}
	r.own, r.its = r.own.every(q.frequency), r.its.every(q.frequency)
	return r, nil
}

func (s *Service) benchmark(ctx context.Context, q query, who *subject) (its series, err error) {
	if uuid.Validate(q.benchmark) == nil {
		*who, its, err = s.followed(ctx, q.benchmark, q)
		return its, err
	}
	if who.Symbol, err = events.Symbol(q.benchmark); err != nil {
		return its, fault.Invalid("symbol_unknown", "%s", err).WithHint("a benchmark is a symbol, or the id of a portfolio")
	}
	return asset(ctx, s.db.Read(), who.Symbol, q.From, q.To)
}

// notComparable is a fault of the benchmark's, told as one of the question.
func notComparable(f *fault.Fault, benchmark string) error {
	code := map[string]string{
		"symbol_unknown": "benchmark_unknown", "portfolio_unknown": "benchmark_unknown", "window_empty": "benchmark_apart", "prices_missing": "benchmark_apart",
	}[f.Code]
	if code == "" {
		code = f.Code
	}
	out := fault.Invalid(code, "the benchmark %.64s cannot be compared with: %s", benchmark, f.Detail)
	out.Hint = f.Hint
	return out
}

func daySet(s series) func(day civil.Date) bool {
	set := make(map[civil.Date]bool, len(s.days))
	for _, day := range s.days {
		set[day] = true
	}
	return func(day civil.Date) bool { return set[day] }
}

// against makes figures of two series.
func against(f func(returns, benchmark []float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.rival) }
}

func againstAnnual(f func(returns, benchmark []float64, periods float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.rival, x.periods) }
}

func againstRiskFree(f func(returns, benchmark []float64, rf, periods float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.rival, x.annualRF, x.periods) }
}

type regression func(returns, benchmark []float64, rf, periods float64) (alpha, beta float64)

func alpha(f regression) func(x *sample) float64 {
	return func(x *sample) float64 { a, _ := f(x.returns, x.rival, x.rf, x.periods); return a }
}

func beta(f regression) func(x *sample) float64 {
	return func(x *sample) float64 { _, b := f(x.returns, x.rival, x.rf, x.periods); return b }
}

func excess(difference quant.Compounding) func(x *sample) float64 {
	return func(x *sample) float64 {
		return quant.MSquaredExcess(x.returns, x.rival, x.annualRF, x.periods, difference)
	}
}

// ofRival makes a figure of the benchmark alone.
func ofRival(f func(x *sample) float64) func(x *sample) float64 {
	return func(x *sample) float64 {
		its := *x
		its.returns = x.rival
		return f(&its)
	}
}

// The reasons of figures against a benchmark.
const (
	still     = "the benchmark's returns do not vary"
	alike     = "the difference to the benchmark does not vary"
	fewRises  = "the benchmark has not two different returns from 0 up"
	fewFalls  = "the benchmark has not two different returns below 0"
	noRise    = "the benchmark never rises"
	noFall    = "the benchmark never falls"
	noNet     = "the benchmark's annual return is 0"
	unrelated = "the beta is 0, or is not defined as the benchmark's returns do not vary"
	exactFit  = "the benchmark explains all of the returns, or its returns do not vary"
)

// relatives are the figures against a benchmark.
var relatives = []figure{
	{"annual_return", ofRival(annual(quant.AnnualReturn)), 1, ""},
	{"cumulative_return", ofRival(plain(quant.CumulativeReturn)), 1, ""},
	{"annual_volatility", ofRival(annual(quant.AnnualVolatility)), 2, ""},
	{"max_drawdown", ofRival(plain(depth)), 1, ""},
	{"alpha", alpha(quant.AlphaBeta), 2, still},
	{"beta", beta(quant.AlphaBeta), 2, still},
	{"correlation", against(quant.PairCorrelation), 2, "the returns of one of the two do not vary"},
	{"tracking_error", againstAnnual(quant.TrackingError), 2, ""},
	{"information_ratio", againstAnnual(quant.InformationRatio), 2, alike},
	{"capture", againstAnnual(quant.Capture), 1, noNet},
	{"up_capture", againstAnnual(quant.UpCapture), 1, noRise},
	{"down_capture", againstAnnual(quant.DownCapture), 1, noFall},
	{"capture_ratio", againstAnnual(quant.CaptureRatio), 1, "the benchmark never rises or never falls"},
	{"up_alpha", alpha(quant.UpAlphaBeta), 2, fewRises},
	{"up_beta", beta(quant.UpAlphaBeta), 2, fewRises},
	{"down_alpha", alpha(quant.DownAlphaBeta), 2, fewFalls},
	{"down_beta", beta(quant.DownAlphaBeta), 2, fewFalls},

	{"jensen_alpha", againstRiskFree(quant.JensenAlpha), 2, still},
	{"regression_epsilon", againstRiskFree(quant.Epsilon), 2, still},
	{"fama_beta", against(quant.FamaBeta), 2, still},
	{"systematic_risk", againstAnnual(quant.SystematicRisk), 2, still},
	{"specific_risk", againstAnnual(quant.SpecificRisk), 2, still},
	{"total_risk", againstAnnual(quant.TotalRisk), 2, still},
	{"appraisal_ratio", againstRiskFree(quant.AppraisalRatio), 2, exactFit},
	{"treynor_ratio", againstRiskFree(quant.Treynor), 2, unrelated},
	{"modified_treynor_ratio", againstRiskFree(quant.ModifiedTreynor), 2, unrelated},
	{"m_squared", againstRiskFree(quant.MSquared), 2, flat},
	{"m_squared_excess", excess(quant.Geometric), 2, flat},
	{"m_squared_excess_arithmetic", excess(quant.Arithmetic), 2, flat},
	{"m2_sortino", func(x *sample) float64 { return quant.M2Sortino(x.returns, x.rival, x.required, x.periods) }, 1, noShort},
	{"omega_excess_return", func(x *sample) float64 { return quant.OmegaExcess(x.returns, x.rival, x.required, x.periods) }, 1, ""},
}

// object is the figures against the benchmark, and of how many common returns they are.
func (r *rival) object(a asked) object {
	var o object
	b := a
	b.who = r.who
	o.head(b, r.its)
	o.figures(relatives, a.sample(r.own, r.its.returns))
	return o
}
