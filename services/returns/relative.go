package returns

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"stega/api"
	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/quant"
)

// comparison holds a benchmark, with both series on their common days.
type comparison struct {
	target      api.Target
	own, series series
	periods     float64 // a year, of the common days
}

// compare loads the benchmark of a query. It returns nil when the query has none.
func (s *Service) compare(ctx context.Context, q query, who api.Target, own series) (*comparison, error) {
	if q.benchmark == "" {
		return nil, nil //nolint:nilnil // the query has no benchmark
	}
	r := &comparison{}
	its, err := s.benchmark(ctx, q, &r.target)
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return nil, notComparable(f, q.benchmark)
	}
	if err != nil {
		return nil, err
	}
	mine, theirs := daySet(own), daySet(its)
	r.own, r.series = own.onDays(theirs), its.onDays(mine)
	if len(r.own.days) < 2 {
		return nil, fault.Invalid("benchmark_apart",
			"%s (%s to %s) and the benchmark %s (%s to %s) have %d common days with prices in the window: a return "+
				"needs two",
			nameOf(who), own.days[0], own.days[len(own.days)-1], nameOf(r.target), its.days[0],
			its.days[len(its.days)-1],
			len(r.own.days)).
			WithHint("choose another benchmark, or a window in which both have prices")
	}
	r.own, r.series = r.own.every(q.frequency), r.series.every(q.frequency)
	r.periods = q.perYear(r.own)
	return r, nil
}

// benchmark loads the daily returns of the symbol or the portfolio that a query names as its benchmark.
func (s *Service) benchmark(ctx context.Context, q query, who *api.Target) (its series, err error) {
	if uuid.Validate(q.benchmark) == nil {
		*who, its, err = s.followed(ctx, q.benchmark, q)
		return its, err
	}
	if who.Symbol, err = events.Symbol(q.benchmark); err != nil {
		return its, fault.Invalid("symbol_unknown", "%s", err).
			WithHint("a benchmark is a symbol, or the id of a portfolio")
	}
	return asset(ctx, s.db.Read(), who.Symbol, q.From, q.To)
}

// notComparable turns a fault about the benchmark into a fault of the parameter benchmark.
func notComparable(f *fault.Fault, benchmark string) error {
	code := map[string]string{
		"symbol_unknown": "benchmark_unknown", "portfolio_unknown": "benchmark_unknown",
		"window_empty": "benchmark_apart", "prices_missing": "benchmark_apart",
	}[f.Code]
	if code == "" {
		code = f.Code
	}
	out := fault.Invalid(code, "the benchmark %.64s cannot be used: %s", benchmark, f.Detail)
	out.Hint = f.Hint
	return out
}

// daySet returns a predicate that reports whether a series has a day.
func daySet(s series) func(day civil.Date) bool {
	set := make(map[civil.Date]bool, len(s.days))
	for _, day := range s.days {
		set[day] = true
	}
	return func(day civil.Date) bool { return set[day] }
}

// against adapts a function of the returns and the benchmark's returns.
func against(f func(returns, benchmark []float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.benchmark) }
}

// againstAnnual adapts a function of both series and the periods per year.
func againstAnnual(f func(returns, benchmark []float64, periods float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.benchmark, x.periods) }
}

// againstRiskFree adapts a function of both series, the annual risk-free return and the periods per year.
func againstRiskFree(f func(returns, benchmark []float64, rf, periods float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.benchmark, x.annualRF, x.periods) }
}

// regression is a regression of returns on a benchmark's; rf is the risk-free return per period.
type regression func(returns, benchmark []float64, rf, periods float64) (alpha, beta float64)

func alpha(f regression) func(x *sample) float64 {
	return func(x *sample) float64 { a, _ := f(x.returns, x.benchmark, x.rf, x.periods); return a }
}

func beta(f regression) func(x *sample) float64 {
	return func(x *sample) float64 { _, b := f(x.returns, x.benchmark, x.rf, x.periods); return b }
}

// excess adapts M² excess with a kind of compounding.
func excess(difference quant.Compounding) func(x *sample) float64 {
	return func(x *sample) float64 {
		return quant.MSquaredExcess(x.returns, x.benchmark, x.annualRF, x.periods, difference)
	}
}

// ofBenchmark computes a statistic of the benchmark alone.
func ofBenchmark(f func(x *sample) float64) func(x *sample) float64 {
	return func(x *sample) float64 {
		of := *x
		of.returns = x.benchmark
		return f(&of)
	}
}

// The reasons for which statistics relative to a benchmark are undefined.
const (
	noBenchmarkVariance = "the benchmark's returns do not vary"
	noOwnVariance       = "the returns of one of the two do not vary"
	noActiveVariance    = "the difference from the benchmark does not vary"
	fewRises            = "the benchmark has fewer than two different returns of 0 or more"
	fewFalls            = "the benchmark has fewer than two different returns below 0"
	noRise              = "the benchmark never rises"
	noFall              = "the benchmark never falls"
	noNet               = "the benchmark's annual return is 0"
	noBeta              = "the beta is 0, or is undefined because the benchmark's returns do not vary"
	noResidual          = "the benchmark explains all of the returns, or its returns do not vary"
)

// relatives lists every statistic relative to a benchmark, in the order of the answer.
var relatives = []statistic{
	{"annual_return", ofBenchmark(annual(quant.AnnualReturn)), 1, ""},
	{"cumulative_return", ofBenchmark(ofReturns(quant.CumulativeReturn)), 1, ""},
	{"annual_volatility", ofBenchmark(annual(quant.AnnualVolatility)), 2, ""},
	{"max_drawdown", ofBenchmark(ofReturns(maxDrawdown)), 1, ""},
	{"alpha", alpha(quant.AlphaBeta), 2, noBenchmarkVariance},
	{"beta", beta(quant.AlphaBeta), 2, noBenchmarkVariance},
	{"correlation", against(quant.PairCorrelation), 2, noOwnVariance},
	{"tracking_error", againstAnnual(quant.TrackingError), 2, ""},
	{"information_ratio", againstAnnual(quant.InformationRatio), 2, noActiveVariance},
	{"capture", againstAnnual(quant.Capture), 1, noNet},
	{"up_capture", againstAnnual(quant.UpCapture), 1, noRise},
	{"down_capture", againstAnnual(quant.DownCapture), 1, noFall},
	{"capture_ratio", againstAnnual(quant.CaptureRatio), 1, "the benchmark never rises or never falls"},
	{"up_alpha", alpha(quant.UpAlphaBeta), 2, fewRises},
	{"up_beta", beta(quant.UpAlphaBeta), 2, fewRises},
	{"down_alpha", alpha(quant.DownAlphaBeta), 2, fewFalls},
	{"down_beta", beta(quant.DownAlphaBeta), 2, fewFalls},

	{"jensen_alpha", againstRiskFree(quant.JensenAlpha), 2, noBenchmarkVariance},
	{"regression_epsilon", againstRiskFree(quant.Epsilon), 2, noBenchmarkVariance},
	{"fama_beta", against(quant.FamaBeta), 2, noBenchmarkVariance},
	{"systematic_risk", againstAnnual(quant.SystematicRisk), 2, noBenchmarkVariance},
	{"specific_risk", againstAnnual(quant.SpecificRisk), 2, noBenchmarkVariance},
	{"total_risk", againstAnnual(quant.TotalRisk), 2, noBenchmarkVariance},
	{"appraisal_ratio", againstRiskFree(quant.AppraisalRatio), 2, noResidual},
	{"treynor_ratio", againstRiskFree(quant.Treynor), 2, noBeta},
	{"modified_treynor_ratio", againstRiskFree(quant.ModifiedTreynor), 2, noBeta},
	{"m_squared", againstRiskFree(quant.MSquared), 2, noVariance},
	{"m_squared_excess", excess(quant.Geometric), 2, noVariance},
	{"m_squared_excess_arithmetic", excess(quant.Arithmetic), 2, noVariance},
	{"m2_sortino", func(x *sample) float64 {
		return quant.M2Sortino(x.returns, x.benchmark, x.required, x.periods)
	}, 1, noShortfall},
	{"omega_excess_return", func(x *sample) float64 {
		return quant.OmegaExcess(x.returns, x.benchmark, x.required, x.periods)
	}, 1, ""},
}

// statistics returns the statistics relative to the benchmark.
func (r *comparison) statistics(q query) *api.RelativeReturns {
	out := &api.RelativeReturns{Extent: q.extent(r.target, r.series)}
	q.periods = r.periods
	out.Undefined = compute(&out.RelativeStatistics, relatives, q.sample(r.own, r.series.returns))
	return out
}
