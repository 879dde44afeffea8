package returns

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"stega/fault"
	"stega/quant"
	"stega/rest"
	spans "stega/series"
)

// query is what a client asks of a series.
type query struct {
	rest.Window
	frequency  spans.Frequency
	periods    float64
	riskFree   float64 // a year
	required   float64 // the least acceptable return a year
	confidence float64 // of values at risk
	rebalance  quant.Rebalance
	benchmark  string

	kind   string
	limit  int
	by     string
	metric string
	window int
}

// shared are the parameters of all paths, and elsewhere those of some, with what they are for: they are known on all
// paths, and refused where they would do nothing.
var (
	shared    = []string{"from", "to", "frequency", "rebalance"}
	elsewhere = map[string]string{
		"risk_free": "the summary and rolling figures", "required": "the summary and rolling figures",
		"confidence": "the summary and rolling figures", "benchmark": "the summary, the series and rolling figures", "kind": "the series",
	}
)

// read reads a query; names are the parameters that its path has beside the shared ones.
func read(c echo.Context, names ...string) (query, error) {
	q := query{
		frequency: spans.Daily, rebalance: quant.RebalanceDaily, kind: "simple", confidence: 0.95, limit: 10, by: "monthly", metric: "sharpe", window: 63,
		benchmark: c.QueryParam("benchmark"),
	}
	known := append(shared[:len(shared):len(shared)], names...)
	err := rest.Known(c, slices.Concat(known, slices.Sorted(maps.Keys(elsewhere)))...)
	if err != nil {
		return q, err
	}
	for _, name := range slices.Sorted(maps.Keys(elsewhere)) {
		if c.QueryParams().Has(name) && !slices.Contains(names, name) {
			return q, unused(name, "it is for "+elsewhere[name])
		}
	}
	if q.Window, err = rest.Windowed(c); err != nil {
		return q, err
	}
	for _, err := range []error{
		choice(c, "frequency", &q.frequency, spans.Daily, spans.Weekly, spans.Monthly), choice(c, "kind", &q.kind, "simple", "log", "cumulative", "drawdown"),
		choice(c, "rebalance", &q.rebalance, quant.RebalanceDaily, quant.RebalanceMonthly, quant.RebalanceNone), choice(c, "by", &q.by, "monthly", "yearly"),
		whole(c, "limit", &q.limit, maxDrawdowns), whole(c, "window", &q.window, maxWindow), metricOf(c, &q.metric),
		rate(c, "risk_free", &q.riskFree), share(c, "confidence", &q.confidence),
	} {
		if err != nil {
			return q, err
		}
	}
	q.required = q.riskFree
	if err := rate(c, "required", &q.required); err != nil {
		return q, err
	}
	q.periods = q.frequency.PerYear()
	return q, nil
}

// unused is the fault of a parameter that would do nothing.
func unused(name, hint string) *fault.Fault {
	return fault.Invalid("parameter_unused", "%s has no part in this", name).WithHint("leave it out: %s", hint)
}

func wrong(name, value, what string) *fault.Fault {
	return fault.Invalid("parameter_invalid", "%s=%.64s is not %s", name, value, what)
}

func choice[T ~string](c echo.Context, name string, into *T, values ...T) error {
	v := c.QueryParam(name)
	if v == "" {
		return nil
	}
	known := make([]string, len(values))
	for i, value := range values {
		if known[i] = string(value); v == known[i] {
			*into = value
			return nil
		}
	}
	return wrong(name, v, "known").WithHint("%s is one of %s", name, strings.Join(known, ", "))
}

func whole(c echo.Context, name string, into *int, most int) error {
	v := c.QueryParam(name)
	if v == "" {
		return nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		return wrong(name, v, "a number from 1 to "+strconv.Itoa(most)).WithHint("leave %s out for %d", name, *into)
	}
	*into = n
	return nil
}

// rate is a ratio a year.
func rate(c echo.Context, name string, into *float64) error {
	v := c.QueryParam(name)
	if v == "" {
		return nil
	}
	r, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(r) || r <= -1 || r > 10 {
		return wrong(name, v, "a rate a year").WithHint("0.02 is 2 %% a year")
	}
	*into = r
	return nil
}

// share is a ratio between 0 and 1.
func share(c echo.Context, name string, into *float64) error {
	v := c.QueryParam(name)
	if v == "" {
		return nil
	}
	r, err := strconv.ParseFloat(v, 64)
	if err != nil || !(r > 0 && r < 1) {
		return wrong(name, v, "between 0 and 1").WithHint("0.95 is 95 %%")
	}
	*into = r
	return nil
}
