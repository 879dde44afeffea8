package returns

import (
	"fmt"
	"math"
	"reflect"

	"stega/api"
	"stega/civil"
	"stega/events"
	"stega/quant"
	spans "stega/series"
)

// sample holds the input of the statistics.
type sample struct {
	returns   []float64
	benchmark []float64 // the returns of the benchmark on the same days; nil without one
	rf        float64   // risk-free return per period
	required  float64   // least acceptable return per period
	annualRF  float64   // risk-free return per year
	periods   float64   // periods per year
	days      float64   // calendar days from the first price to the last
	cutoff    float64   // tail probability of values at risk: 1 − confidence
}

// sample returns the sample of a series, and of the returns of a benchmark on the same days.
func (q query) sample(s series, benchmark []float64) sample {
	return sample{
		returns: snapConstant(s.returns), benchmark: snapConstant(benchmark),
		days: float64(s.days[len(s.days)-1] - s.days[0]), periods: q.periods, cutoff: 1 - q.confidence,
		annualRF: q.riskFree, rf: quant.PerPeriod(q.riskFree, q.periods),
		required: quant.PerPeriod(q.required, q.periods),
	}
}

// perYear returns the returns in a year to annualize by: those of the query, or those of the dates.
func (q query) perYear(s series) float64 {
	if q.periods > 0 {
		return q.periods
	}
	return q.frequency.PerYearOf(s.days)
}

// fewReturns are the numbers of returns below which annual figures are uncertain.
var fewReturns = map[spans.Frequency]int{spans.Daily: 60, spans.Weekly: 26, spans.Monthly: 12}

// staleDays is the number of days before the end of a window after which a series is stale.
const staleDays = 10

// notes returns what a reader of the statistics must not overlook: an unusual calendar, few returns, an early end.
func (a request) notes() (notes []string) {
	s, add := a.series, func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	switch of := a.frequency.PerYearOf(s.days); {
	case a.frequency == spans.Daily && of == quant.Weekly:
		add("the prices are weekly: annual figures use 52 returns a year")
	case a.frequency == spans.Daily && of == quant.Monthly:
		add("the prices are monthly: annual figures use 12 returns a year")
	case a.frequency == spans.Daily && of > quant.Daily:
		add("the prices are of every day of the week: annual figures use %.4g returns a year", of)
	case of != a.frequency.PerYear():
		add("the prices are irregular, with %.4g returns a year and not %g: days are missing", of,
			a.frequency.PerYear())
	}
	if n, few := len(s.returns), fewReturns[a.frequency]; n < few {
		add("the history is short: annual figures of %d %s returns are uncertain", n, a.frequency)
	}
	if last := s.days[len(s.days)-1]; a.To != nil && *a.To-last > staleDays {
		add("the prices end on %s, %d days before the end of the window", last, *a.To-last)
	}
	return notes
}

// snapConstant returns constant returns in place of returns that differ only by floating-point rounding, so that no
// statistic divides by that rounding.
func snapConstant(returns []float64) []float64 {
	if len(returns) == 0 {
		return returns
	}
	low, high := returns[0], returns[0]
	for _, r := range returns {
		low, high = math.Min(low, r), math.Max(high, r)
	}
	if high-low == 0 || high-low > 1e-15*(2+math.Abs(high)) {
		return returns
	}
	out := make([]float64, len(returns))
	for i := range out {
		out[i] = returns[0]
	}
	return out
}

// statistic is one statistic: its name, its formula, and the number of returns that it needs. The last field is the
// reason for which it can be undefined when there are enough returns.
type statistic struct {
	name       string
	compute    func(x *sample) float64
	minReturns int
	undefined  string
}

// The reasons for which statistics are undefined.
const (
	noVariance  = "the returns do not vary"
	noShortfall = "no return is below the required one"
	noLoss      = "no return is below 0"
	noGain      = "no return is above 0"
	noDrawdown  = "there is no drawdown"
	noTail      = "the 5 % quantile of the returns is 0"
)

// noise is the size per period below which a deviation, a loss or an excess is rounding: prices have some eight digits.
// A ratio to it is no figure.
const noise = 1e-8

// riskless reports, for each reason, that the denominator of a sample's statistics is zero or noise.
var riskless = map[string]func(x *sample) bool{
	noVariance:          func(x *sample) bool { return quant.Deviation(x.returns) < noise },
	noShortfall:         func(x *sample) bool { return quant.DownsideDeviation(x.returns, x.required) < noise },
	noLoss:              func(x *sample) bool { return minReturn(x.returns) > -noise },
	noGain:              func(x *sample) bool { return maxReturn(x.returns) < noise },
	noDrawdown:          func(x *sample) bool { return maxDrawdown(x.returns) > -noise },
	noBenchmarkVariance: func(x *sample) bool { return quant.Deviation(x.benchmark) < noise },
	noActiveVariance: func(x *sample) bool {
		return quant.Deviation(quant.Excess(x.returns, x.benchmark)) < noise
	},
	noOwnVariance: func(x *sample) bool {
		return quant.Deviation(x.returns) < noise || quant.Deviation(x.benchmark) < noise
	},
}

// value returns the statistic of a sample; nil where it is undefined.
func (f *statistic) value(x *sample) *float64 {
	if len(x.returns) < f.minReturns {
		return nil
	}
	if none := riskless[f.undefined]; none != nil && none(x) {
		return nil
	}
	return finite(f.compute(x))
}

// reason returns why a statistic of a sample is undefined.
func (f *statistic) reason(x *sample) string {
	switch n := len(x.returns); {
	case n < f.minReturns:
		return fmt.Sprintf("it needs %d returns, and there are %d", f.minReturns, n)
	case f.undefined != "":
		return f.undefined
	}
	return "it is too large for a number"
}

// ofReturns adapts a function of the returns alone.
func ofReturns(f func(returns []float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns) }
}

// annual adapts a function of the returns and the periods per year.
func annual(f func(returns []float64, periods float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.periods) }
}

// overRequired adapts a function of the returns and the required return per period.
func overRequired(f func(returns []float64, required float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.required) }
}

// overRiskFree adapts a function of the returns, the annual risk-free return and the periods per year.
func overRiskFree(f func(returns []float64, rf, periods float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.annualRF, x.periods) }
}

// tail adapts a function of the returns and a tail probability.
func tail(f func(returns []float64, cutoff float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.cutoff) }
}

// maxReturn returns the highest return.
func maxReturn(returns []float64) float64 {
	best := math.Inf(-1)
	for _, r := range returns {
		best = math.Max(best, r)
	}
	return best
}

// minReturn returns the lowest return.
func minReturn(returns []float64) float64 {
	worst := math.Inf(1)
	for _, r := range returns {
		worst = math.Min(worst, r)
	}
	return worst
}

// maxDrawdown returns the depth of the deepest drawdown, which is 0 or negative.
func maxDrawdown(returns []float64) float64 {
	d, _, _, _ := quant.MaxDrawdown(returns)
	return d
}

// cagr returns the compound annual growth rate over calendar days.
func cagr(x *sample) float64 { return quant.CAGR(1, 1+quant.CumulativeReturn(x.returns), x.days) }

// longestDrawdown returns the greatest length in the list of drawdowns, in periods; 0 without one.
func longestDrawdown(returns []float64) float64 {
	longest := 0
	for _, d := range quant.Drawdowns(returns) {
		longest = max(longest, d.Length)
	}
	return float64(longest)
}

// statistics lists every statistic of a series, in the order of the answer.
var statistics = []statistic{
	{"annual_return", annual(quant.AnnualReturn), 1, ""},
	{"arithmetic_return", annual(quant.ArithmeticReturn), 1, ""},
	{"cumulative_return", ofReturns(quant.CumulativeReturn), 1, ""},
	{"cagr", cagr, 1, ""},
	{"annual_volatility", annual(quant.AnnualVolatility), 2, ""},
	{"sharpe", func(x *sample) float64 { return quant.Sharpe(x.returns, x.rf, x.periods) }, 2, noVariance},
	{"sortino", func(x *sample) float64 { return quant.Sortino(x.returns, x.required, x.periods) }, 1, noShortfall},
	{"calmar", annual(quant.Calmar), 1, noDrawdown},
	{"omega", overRequired(quant.Omega), 1, noShortfall},
	{"downside_risk", func(x *sample) float64 { return quant.DownsideRisk(x.returns, x.required, x.periods) }, 1, ""},
	{"max_drawdown", ofReturns(maxDrawdown), 1, ""},
	{"best", ofReturns(maxReturn), 1, ""},
	{"worst", ofReturns(minReturn), 1, ""},

	{"skewness", ofReturns(quant.Skewness), 2, noVariance},
	{"sample_skewness", ofReturns(quant.SampleSkewness), 3, noVariance},
	{"kurtosis", ofReturns(quant.Kurtosis), 2, noVariance},
	{"sample_kurtosis", ofReturns(quant.SampleKurtosis), 4, noVariance},
	{"excess_kurtosis", ofReturns(quant.ExcessKurtosis), 2, noVariance},
	{"sample_excess_kurtosis", ofReturns(quant.SampleExcessKurtosis), 4, noVariance},
	{"mean_absolute_deviation", ofReturns(quant.MeanAbsoluteDeviation), 1, ""},
	{"semi_deviation", ofReturns(quant.SemiDeviation), 2, ""},

	{"historical_var", tail(quant.HistoricalVaR), 1, ""},
	{"historical_cvar", tail(quant.HistoricalCVaR), 1, ""},
	{"gaussian_var", tail(quant.GaussianVaR), 2, ""},
	{"gaussian_cvar", tail(quant.GaussianCVaR), 2, ""},
	{"modified_var", tail(quant.ModifiedVaR), 2, noVariance},
	{"modified_cvar", tail(quant.ModifiedCVaR), 2, noVariance},
	{"tail_ratio", ofReturns(quant.TailRatio), 1, noTail},

	{"longest_drawdown", ofReturns(longestDrawdown), 1, ""},
	{"ulcer_index", ofReturns(quant.UlcerIndex), 1, ""},
	{"pain_index", ofReturns(quant.PainIndex), 1, ""},
	{"martin_ratio", overRiskFree(quant.MartinRatio), 1, noDrawdown},
	{"pain_ratio", overRiskFree(quant.PainRatio), 1, noDrawdown},
	{"burke_ratio", overRiskFree(quant.Burke), 1, noLoss},
	{"modified_burke_ratio", overRiskFree(quant.ModifiedBurke), 1, noLoss},

	{"geometric_sharpe", overRiskFree(quant.AnnualSharpe), 2, noVariance},
	{"adjusted_sharpe", overRiskFree(quant.AdjustedSharpe), 2, noVariance},
	{"omega_sharpe", overRequired(quant.OmegaSharpe), 1, noShortfall},
	{"kappa_3", func(x *sample) float64 { return quant.Kappa(x.returns, x.required, 3) }, 1, noShortfall},
	{"upside_potential_ratio", overRequired(quant.UpsidePotentialRatio), 1, noShortfall},
	{"gain_loss_ratio", ofReturns(quant.BernardoLedoit), 1, noLoss},
	{"d_ratio", ofReturns(quant.DRatio), 1, noGain},
	{"skewness_kurtosis_ratio", ofReturns(quant.SkewnessKurtosisRatio), 2, noVariance},
	{"stability", ofReturns(quant.Stability), 2, "the wealth is constant"},
	{"downside_deviation", overRequired(quant.DownsideDeviation), 1, ""},
	{"downside_potential", overRequired(quant.DownsidePotential), 1, ""},
	{"downside_frequency", overRequired(quant.DownsideFrequency), 1, ""},
	{"upside_risk", overRequired(quant.UpsideRisk), 1, ""},
	{"upside_variance", overRequired(quant.UpsideVariance), 1, ""},
	{"upside_potential", overRequired(quant.UpsidePotential), 1, ""},
	{"upside_frequency", overRequired(quant.UpsideFrequency), 1, ""},
}

// compute sets the fields of a struct to the statistics of a sample: the fields are those of the list, in its order.
// One that is undefined is nil, and the map has the reason by its name; the map is nil when all are defined.
func compute(into any, list []statistic, x sample) (undefined map[string]string) {
	fields := reflect.ValueOf(into).Elem()
	for i := range list {
		f := &list[i]
		v := f.value(&x)
		if v == nil {
			if undefined == nil {
				undefined = map[string]string{}
			}
			undefined[f.name] = f.reason(&x)
		}
		fields.Field(i).Set(reflect.ValueOf(v))
	}
	return undefined
}

// extent returns the fields that begin an answer about a target.
func (q query) extent(target api.Target, s series) api.Extent {
	return api.Extent{
		Target:       target,
		From:         s.days[0],
		To:           s.days[len(s.days)-1],
		Frequency:    string(q.frequency),
		Observations: len(s.returns),
	}
}

// summarize returns the answer with all statistics.
func summarize(a request) (any, error) {
	_, start, trough, end := quant.MaxDrawdown(a.series.returns)
	out := api.Returns{
		Extent: a.extent(a.target, a.series), RiskFree: a.riskFree, Required: a.required, Confidence: a.confidence,
		MaxDrawdownStart:  a.series.endDay(start, trough >= 0),
		MaxDrawdownTrough: a.series.endDay(trough, trough >= 0),
		MaxDrawdownEnd:    a.series.endDay(end, end >= 0),
	}
	out.Undefined = compute(&out.Statistics, statistics, a.sample(a.series, nil))
	out.PeriodsPerYear, out.Notes = a.periods, a.notes()
	if a.comparison != nil {
		out.Benchmark = a.comparison.statistics(a.query)
	}
	return out, nil
}

// endDay returns the day on which return i ends, and nil when ok is false. For -1 it returns the day of the first
// price.
func (s series) endDay(i int, ok bool) *civil.Date {
	if !ok {
		return nil
	}
	return &s.days[i+1]
}

// endDays returns the days on which the returns end.
func (s series) endDays() events.Days { return s.days[1:] }

// slice returns n returns with their days, from the given index on.
func (s series) slice(from, n int) series {
	return series{days: s.days[from : from+n+1], returns: s.returns[from : from+n]}
}
