package returns

import (
	"fmt"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"stega/fault"
)

// maxWindow bounds the returns of a rolling window.
const maxWindow = 100_000

// maxRolled bounds the returns of all rolling windows together: some seconds of a core.
const maxRolled = 200_000_000

// shorter are names of figures that are said often.
var shorter = map[string]string{"return": "cumulative_return", "volatility": "annual_volatility", "var": "historical_var", "cvar": "historical_cvar"}

// rolled finds the figure of a name; that of a benchmark alone is not meant.
func rolled(name string) (f *figure, relative bool) {
	if long := shorter[name]; long != "" {
		name = long
	}
	named := func(f figure) bool { return f.name == name }
	if i := slices.IndexFunc(figures, named); i >= 0 {
		return &figures[i], false
	}
	if i := slices.IndexFunc(relatives, named); i >= 0 {
		return &relatives[i], true
	}
	return nil, false
}

// metricOf reads the name of a figure.
func metricOf(c echo.Context, into *string) error {
	v := c.QueryParam("metric")
	if v == "" {
		return nil
	}
	if f, _ := rolled(v); f == nil {
		names := []string{"return", "volatility"}
		for _, f := range append(figures[:len(figures):len(figures)], relatives...) {
			if !slices.Contains(names, f.name) {
				names = append(names, f.name)
			}
		}
		return wrong("metric", v, "known").WithHint("metric is one of %s", strings.Join(names, ", "))
	}
	*into = v
	return nil
}

// rolling answers with a figure of each window of so many consecutive returns, on the day on which it ends.
func rolling(a asked) (any, error) {
	f, relative := rolled(a.metric)
	s, its := a.series, []float64(nil)
	if !relative && a.rival != nil {
		return nil, unused("benchmark", a.metric+" compares with nothing")
	}
	if relative {
		if a.rival == nil {
			return nil, fault.Invalid("benchmark_missing", "%s compares with a benchmark, and none is said", a.metric).
				WithHint("say benchmark=SYMBOL, or the id of a portfolio")
		}
		s, its = a.rival.own, a.rival.its.returns
	}
	if a.window < f.least {
		return nil, fault.Invalid("window_short", "window=%d is too short: %s needs %d returns", a.window, a.metric, f.least).WithHint("say window=%d or more", max(f.least, 20))
	}
	if a.window > len(s.returns) {
		return nil, fault.Invalid("window_long", "window=%d is longer than the %d %s returns that there are", a.window, len(s.returns), a.frequency).
			WithHint("say a smaller window, or an earlier from")
	}
	if windows := len(s.returns) - a.window + 1; windows*a.window > maxRolled {
		return nil, fault.Invalid("window_long", "%d windows of %d returns are too many", windows, a.window).
			WithHint("say a smaller window, or a later from")
	}
	values := make([]*float64, 0, len(s.returns)-a.window+1)
	undefined := 0
	var why string
	for i := range cap(values) {
		if err := a.ctx.Err(); err != nil {
			return nil, err
		}
		rival := its
		if rival != nil {
			rival = its[i : i+a.window]
		}
		x := a.sample(s.part(i, a.window), rival)
		v := finite(f.of(&x))
		if v == nil {
			undefined++
			why = f.why(&x)
		}
		values = append(values, v)
	}
	var o object
	o.head(a, s)
	o.add("metric", a.metric)
	o.add("window", a.window)
	if relative {
		var b object
		b.subject(a.rival.who)
		o.add("benchmark", b)
	}
	o.add("dates", s.ends()[a.window-1:])
	o.add("values", values)
	if undefined > 0 {
		o.add("undefined", map[string]string{"values": fmt.Sprintf("%d of %d: %s", undefined, len(values), why)})
	}
	return o, nil
}
