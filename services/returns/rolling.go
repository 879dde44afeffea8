package returns

import (
	"fmt"
	"slices"

	"stega/api"
	"stega/fault"
)

// maxWindow bounds the returns of a rolling window.
const maxWindow = 100_000

// maxRolled bounds the returns of all windows of an answer, which take some seconds of one core.
const maxRolled = 200_000_000

// aliases maps short names to the names of statistics.
var aliases = map[string]string{
	"return":     "cumulative_return",
	"volatility": "annual_volatility",
	"var":        "historical_var",
	"cvar":       "historical_cvar",
}

// findStatistic returns the statistic of a name, and whether it is relative to a benchmark. A name that both lists
// have is the statistic of the series itself.
func findStatistic(name string) (f *statistic, relative bool) {
	if long := aliases[name]; long != "" {
		name = long
	}
	named := func(f statistic) bool { return f.name == name }
	if i := slices.IndexFunc(statistics, named); i >= 0 {
		return &statistics[i], false
	}
	if i := slices.IndexFunc(relatives, named); i >= 0 {
		return &relatives[i], true
	}
	return nil, false
}

// rolling returns the answer with one statistic of each window of consecutive returns, on the day the window ends.
func rolling(a request) (any, error) {
	f, relative := findStatistic(a.metric)
	s, benchmark := a.series, []float64(nil)
	if !relative && a.comparison != nil {
		return nil, unused("benchmark", a.metric+" is not relative to a benchmark")
	}
	if relative {
		if a.comparison == nil {
			return nil, fault.Invalid("benchmark_missing", "%s needs a benchmark", a.metric).
				WithHint("give benchmark=SYMBOL, or the id of a portfolio")
		}
		s, benchmark, a.periods = a.comparison.own, a.comparison.series.returns, a.comparison.periods
	}
	if a.window < f.minReturns {
		return nil, fault.Invalid("window_short", "window=%d is too short: %s needs %d returns", a.window, a.metric,
			f.minReturns).
			WithHint("give window=%d or more", max(f.minReturns, 20))
	}
	if a.window > len(s.returns) {
		return nil, fault.Invalid("window_long", "window=%d is longer than the series of %d %s returns", a.window,
			len(s.returns), a.frequency).
			WithHint("give a smaller window, or an earlier from")
	}
	if windows := len(s.returns) - a.window + 1; windows*a.window > maxRolled {
		return nil, fault.Invalid("window_long", "%d windows of %d returns are too many", windows, a.window).
			WithHint("give a smaller window, or a later from")
	}
	values := make([]*float64, 0, len(s.returns)-a.window+1)
	undefined := 0
	var reason string
	for i := range cap(values) {
		if err := a.ctx.Err(); err != nil {
			return nil, err
		}
		var part []float64
		if benchmark != nil {
			part = benchmark[i : i+a.window]
		}
		x := a.sample(s.slice(i, a.window), part)
		v := f.value(&x)
		if v == nil {
			undefined++
			reason = f.reason(&x)
		}
		values = append(values, v)
	}
	out := api.RollingStatistic{
		Extent: a.extent(a.target, s),
		Metric: a.metric,
		Window: a.window,
		Dates:  s.endDays()[a.window-1:],
		Values: values,
	}
	if relative {
		out.Benchmark = &a.comparison.target
	}
	if undefined > 0 {
		out.Undefined = map[string]string{"values": fmt.Sprintf("%d of %d: %s", undefined, len(values), reason)}
	}
	return out, nil
}
