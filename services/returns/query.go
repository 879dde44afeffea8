package returns

import (
	"maps"
	"slices"

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
	periods    float64 // a year; 0: from the dates
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

// maxRiskFree and maxRequired bound rates a year, as ratios: a risk-free rate of 2 is meant as 2 %.
const maxRiskFree, maxRequired = 1, 10

// The parameters of the routes.
var (
	frequencyParam = rest.OneOf("frequency", "time that one return covers", spans.Daily, spans.Weekly, spans.Monthly)
	rebalanceParam = rest.OneOf("rebalance", "how a portfolio is rebalanced to its weights", quant.RebalanceDaily,
		quant.RebalanceMonthly, quant.RebalanceNone)
	kindParam     = rest.OneOf("kind", "kind of the series", "simple", "log", "cumulative", "drawdown")
	byParam       = rest.OneOf("by", "periods of the table", "monthly", "yearly")
	riskFreeParam = rateParam("risk_free", "risk-free return a year, as a ratio", 0.0, maxRiskFree)
	requiredParam = rateParam("required", "least acceptable return a year, as a ratio; risk_free when left out", nil,
		maxRequired)
	benchmarkParam  = rest.Param{Name: "benchmark", About: "symbol, or id of a portfolio, to compare with"}
	confidenceParam = rest.Param{
		Name:    "confidence",
		About:   "confidence of values at risk",
		Type:    rest.Number,
		Default: 0.95,
		Min:     0,
		Max:     1,
		MinOpen: true,
		MaxOpen: true,
		Hint:    "0.95 is 95 %",
	}
	perYearParam = rest.Param{
		Name:  "periods_per_year",
		About: "returns in a year, to annualize by; from the dates when left out",
		Type:  rest.Number,
		Min:   0,
		Max:   366,

		MinOpen: true,
		Hint:    "252 for daily returns of a stock exchange, 365 for a market that trades every day",
	}
	limitParam = rest.Param{
		Name:    "limit",
		About:   "number of drawdowns, the deepest first",
		Type:    rest.Integer,
		Default: 10,
		Min:     1,
		Max:     maxDrawdowns,
	}
	windowParam = rest.Param{
		Name:    "window",
		About:   "returns of each window",
		Type:    rest.Integer,
		Default: 63,
		Min:     1,
		Max:     maxWindow,
	}
)

// rateParam returns the parameter of a rate a year. otherwise is its default; nil for none.
func rateParam(name, about string, otherwise any, most float64) rest.Param {
	return rest.Param{
		Name:    name,
		About:   about,
		Type:    rest.Number,
		Default: otherwise,
		Min:     -1,
		Max:     most,
		MinOpen: true,
		Hint:    "0.02 is 2 % a year",
	}
}

// metricParam is the name of a statistic.
func metricParam() rest.Param {
	names := slices.Concat([]string{"sharpe"}, slices.Sorted(maps.Keys(aliases)))
	for _, f := range slices.Concat(statistics, relatives) {
		if !slices.Contains(names, f.name) {
			names = append(names, f.name)
		}
	}
	return rest.OneOf("metric", "statistic of each window", names...)
}

// read returns the query of a request. Parameters that its route does not declare have their defaults.
func read(c echo.Context) (q query, err error) {
	q = query{
		frequency:  rest.Word[spans.Frequency](c, "frequency"),
		rebalance:  rest.Word[quant.Rebalance](c, "rebalance"),
		riskFree:   rest.ArgOr(c, "risk_free", 0.0),
		confidence: rest.ArgOr(c, "confidence", 0.95),
		benchmark:  rest.ArgOr(c, "benchmark", ""),
		kind:       rest.ArgOr(c, "kind", ""),
		limit:      rest.ArgOr(c, "limit", 0),
		by:         rest.ArgOr(c, "by", ""),
		metric:     rest.ArgOr(c, "metric", ""),
		window:     rest.ArgOr(c, "window", 0),
	}
	q.required = rest.ArgOr(c, "required", q.riskFree)
	q.periods = rest.ArgOr(c, "periods_per_year", 0.0)
	q.Window, err = rest.Windowed(c)
	return q, err
}

// unused returns the fault of a parameter that would have no effect.
func unused(name, hint string) *fault.Fault {
	return fault.Invalid("parameter_unused", "%s has no part in this", name).WithHint("leave it out: %s", hint)
}
