package returns

import (
	"math"
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

// shared are the parameters of all paths.
var shared = []string{"from", "to", "frequency", "risk_free", "required", "confidence", "rebalance", "benchmark", "kind"}

func read(c echo.Context, names ...string) (query, error) {
	q := query{
		frequency: spans.Daily, rebalance: quant.RebalanceDaily, kind: "simple", confidence: 0.95, limit: 10, by: "monthly", metric: "sharpe", window: 63,
		benchmark: c.QueryParam("benchmark"),
	}
	err := rest.Known(c, append(shared[:len(shared):len(shared)], names...)...)
	if err != nil {
		return q, err
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
