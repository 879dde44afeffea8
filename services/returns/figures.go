package returns

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

	"stega/civil"
	"stega/events"
	"stega/quant"
)

// sample is what figures are made of.
type sample struct {
	returns  []float64
	rival    []float64 // the benchmark's, on the same days; nil without one
	rf       float64   // a period
	required float64   // a period
	annualRF float64
	periods  float64 // a year
	days     float64 // of the calendar, from the first price to the last
	cutoff   float64 // of values at risk: 1 − confidence
}

// sample is that of a series, and of the returns of a benchmark on the same days.
func (q query) sample(s series, rival []float64) sample {
	return sample{
		returns: steady(s.returns), rival: steady(rival), days: float64(s.days[len(s.days)-1] - s.days[0]), periods: q.periods, annualRF: q.riskFree, rf: quant.PerPeriod(q.riskFree, q.periods),
		required: quant.PerPeriod(q.required, q.periods), cutoff: 1 - q.confidence,
	}
}

// steady takes away differences that are only the rounding of floating-point numbers, so that nothing is divided by
// them.
func steady(returns []float64) []float64 {
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

// figure is one statistic: how it is made, of how many returns at least, and why it is not defined when there are as
// many.
type figure struct {
	name      string
	of        func(x *sample) float64
	least     int
	undefined string
}

// The reasons of figures that are not defined.
const (
	flat       = "the returns do not vary"
	noShort    = "no return is below the required one"
	noLoss     = "no return is below 0"
	noGain     = "no return is above 0"
	noDrawdown = "there is no drawdown"
	noTail     = "the 5 % quantile of the returns is 0"
)

// why says why a figure is not defined.
func (f *figure) why(x *sample) string {
	switch n := len(x.returns); {
	case n < f.least:
		return fmt.Sprintf("it needs %d returns, and there are %d", f.least, n)
	case f.undefined != "":
		return f.undefined
	}
	return "it is beyond what a number can hold"
}

// plain makes figures of the returns alone.
func plain(f func(returns []float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns) }
}

func annual(f func(returns []float64, periods float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.periods) }
}

func overRequired(f func(returns []float64, required float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.required) }
}

func overRiskFree(f func(returns []float64, rf, periods float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.annualRF, x.periods) }
}

func tail(f func(returns []float64, cutoff float64) float64) func(x *sample) float64 {
	return func(x *sample) float64 { return f(x.returns, x.cutoff) }
}

func most(returns []float64) float64 {
	best := math.Inf(-1)
	for _, r := range returns {
		best = math.Max(best, r)
	}
	return best
}

func least(returns []float64) float64 {
	worst := math.Inf(1)
	for _, r := range returns {
		worst = math.Min(worst, r)
	}
	return worst
}

func depth(returns []float64) float64 {
	d, _, _, _ := quant.MaxDrawdown(returns)
	return d
}

func cagr(x *sample) float64 { return quant.CAGR(1, 1+quant.CumulativeReturn(x.returns), x.days) }

func longest(returns []float64) float64 {
	wealth := append([]float64{0}, quant.Cumulative(returns)...)
	return float64(quant.LongestDrawdown(wealth))
}

// figures are all that are told of a series, in the order of the answer.
var figures = []figure{
	{"annual_return", annual(quant.AnnualReturn), 1, ""},
	{"arithmetic_return", annual(quant.ArithmeticReturn), 1, ""},
	{"cumulative_return", plain(quant.CumulativeReturn), 1, ""},
	{"cagr", cagr, 1, ""}, // by the calendar
	{"annual_volatility", annual(quant.AnnualVolatility), 2, ""},
	{"sharpe", func(x *sample) float64 { return quant.Sharpe(x.returns, x.rf, x.periods) }, 2, flat},
	{"sortino", func(x *sample) float64 { return quant.Sortino(x.returns, x.required, x.periods) }, 1, noShort},
	{"calmar", annual(quant.Calmar), 1, noDrawdown},
	{"omega", overRequired(quant.Omega), 1, noShort},
	{"downside_risk", func(x *sample) float64 { return quant.DownsideRisk(x.returns, x.required, x.periods) }, 1, ""},
	{"max_drawdown", plain(depth), 1, ""},
	{"best", plain(most), 1, ""},
	{"worst", plain(least), 1, ""},

	{"skewness", plain(quant.Skewness), 2, flat},
	{"sample_skewness", plain(quant.SampleSkewness), 3, flat},
	{"kurtosis", plain(quant.Kurtosis), 2, flat},
	{"sample_kurtosis", plain(quant.SampleKurtosis), 4, flat},
	{"excess_kurtosis", plain(quant.ExcessKurtosis), 2, flat},
	{"sample_excess_kurtosis", plain(quant.SampleExcessKurtosis), 4, flat},
	{"mean_absolute_deviation", plain(quant.MeanAbsoluteDeviation), 1, ""},
	{"semi_deviation", plain(quant.SemiDeviation), 2, ""},

	{"historical_var", tail(quant.HistoricalVaR), 1, ""},
	{"historical_cvar", tail(quant.HistoricalCVaR), 1, ""},
	{"gaussian_var", tail(quant.GaussianVaR), 2, ""},
	{"gaussian_cvar", tail(quant.GaussianCVaR), 2, ""},
	{"modified_var", tail(quant.ModifiedVaR), 2, flat},
	{"modified_cvar", tail(quant.ModifiedCVaR), 2, flat},
	{"tail_ratio", plain(quant.TailRatio), 1, noTail},

	{"longest_drawdown", plain(longest), 1, ""}, // in periods
	{"ulcer_index", plain(quant.UlcerIndex), 1, ""},
	{"pain_index", plain(quant.PainIndex), 1, ""},
	{"martin_ratio", overRiskFree(quant.MartinRatio), 1, noDrawdown},
	{"pain_ratio", overRiskFree(quant.PainRatio), 1, noDrawdown},
	{"burke_ratio", overRiskFree(quant.Burke), 1, noLoss},
	{"modified_burke_ratio", overRiskFree(quant.ModifiedBurke), 1, noLoss},

	{"geometric_sharpe", overRiskFree(quant.AnnualSharpe), 2, flat},
	{"adjusted_sharpe", overRiskFree(quant.AdjustedSharpe), 2, flat},
	{"omega_sharpe", overRequired(quant.OmegaSharpe), 1, noShort},
	{"kappa_3", func(x *sample) float64 { return quant.Kappa(x.returns, x.required, 3) }, 1, noShort},
	{"upside_potential_ratio", overRequired(quant.UpsidePotentialRatio), 1, noShort},
	{"gain_loss_ratio", plain(quant.BernardoLedoit), 1, noLoss},
	{"d_ratio", plain(quant.DRatio), 1, noGain},
	{"skewness_kurtosis_ratio", plain(quant.SkewnessKurtosisRatio), 2, flat},
	{"stability", plain(quant.Stability), 2, "the wealth does not move"},
	{"downside_deviation", overRequired(quant.DownsideDeviation), 1, ""},
	{"downside_potential", overRequired(quant.DownsidePotential), 1, ""},
	{"downside_frequency", overRequired(quant.DownsideFrequency), 1, ""},
	{"upside_risk", overRequired(quant.UpsideRisk), 1, ""},
	{"upside_variance", overRequired(quant.UpsideVariance), 1, ""},
	{"upside_potential", overRequired(quant.UpsidePotential), 1, ""},
	{"upside_frequency", overRequired(quant.UpsideFrequency), 1, ""},
}

// object is a JSON object whose fields keep their order.
type object []field

type field struct {
	name  string
	value any
}

func (o *object) add(name string, value any) { *o = append(*o, field{name, value}) }

// figures adds figures of a sample, null where one is not defined, and then says why.
func (o *object) figures(list []figure, x sample) {
	undefined := map[string]string{}
	for i := range list {
		f := &list[i]
		v := finite(f.of(&x))
		if v == nil || len(x.returns) < f.least {
			v, undefined[f.name] = nil, f.why(&x)
		}
		o.add(f.name, v)
	}
	if len(undefined) > 0 {
		o.add("undefined", undefined)
	}
}

// subject adds whose figures they are.
func (o *object) subject(s subject) {
	if s.Symbol != "" {
		o.add("symbol", s.Symbol)
		return
	}
	o.add("portfolio_id", s.PortfolioID)
	o.add("version", s.Version)
	o.add("rebalance", s.Rebalance)
}

// MarshalJSON writes the fields in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		value, err := json.Marshal(f.value)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", f.name, err)
		}
		_, _ = fmt.Fprintf(&b, "%q:%s", f.name, value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// head adds what every answer begins with.
func (o *object) head(a asked, s series) {
	o.subject(a.who)
	o.add("from", s.days[0]) // of the first price
	o.add("to", s.days[len(s.days)-1])
	o.add("frequency", a.frequency)
	o.add("observations", len(s.returns))
}

// summarize answers with all figures: ratios, not percents.
func summarize(a asked) (any, error) {
	var o object
	o.head(a, a.series)
	o.add("risk_free", a.riskFree)
	o.add("required", a.required)
	o.add("confidence", a.confidence)
	_, start, trough, end := quant.MaxDrawdown(a.series.returns)
	o.add("max_drawdown_start", a.series.dayAfter(start, trough >= 0)) // the peak before
	o.add("max_drawdown_trough", a.series.dayAfter(trough, trough >= 0))
	o.add("max_drawdown_end", a.series.dayAfter(end, end >= 0)) // the peak is reached again; null: not yet
	o.figures(figures, a.sample(a.series, nil))
	if a.rival != nil {
		o.add("benchmark", a.rival.object(a))
	}
	return o, nil
}

// dayAfter is the day on which a return ends, that before the first is the first price's; nil when there is none.
func (s series) dayAfter(i int, there bool) *civil.Date {
	if !there {
		return nil
	}
	return &s.days[i+1]
}

// ends are the days on which the returns end.
func (s series) ends() events.Days { return s.days[1:] }

// part is so many returns from one on.
func (s series) part(from, n int) series {
	return series{days: s.days[from : from+n+1], returns: s.returns[from : from+n]}
}
