package returns

import (
	"context"
	"math"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"stega/events"
	"stega/fault"
	"stega/quant"
	"stega/rest"
	spans "stega/series"
	"stega/services/internal/follower"
)

// Routes returns the HTTP routes of the service: the same five for assets and for portfolios.
func (s *Service) Routes(rest.Service) []rest.Route {
	var routes []rest.Route
	for _, of := range []struct {
		name, path, title string
		find              finder
		target            rest.Schema
	}{
		{"Asset", "/v1/returns/assets/{symbol}", "an asset", s.assetOf, rest.Schema{"symbol": textSchema}},
		{"Portfolio", "/v1/returns/portfolios/{id}", "a portfolio", s.portfolioOf, portfolioSchema()},
	} {
		add := func(name, path, summary string, answer answerer, schema rest.Schema, params ...rest.Param) {
			routes = append(routes, rest.Route{
				Name:    "get" + of.name + name,
				Method:  http.MethodGet,
				Path:    of.path + path,
				Scope:   rest.ScopeRead,
				Summary: summary + " of " + of.title,
				Query:   rest.Windowing(append([]rest.Param{frequencyParam, rebalanceParam}, params...)...),
				Answer:  objectSchema(of.target, schema),
				Handler: s.of(of.find, answer),
			})
		}
		add("Returns", "", "Show the return and risk statistics", summarize, summarySchema(), riskFreeParam,
			requiredParam, confidenceParam, benchmarkParam)
		add("Series", "/series", "Show the series of returns", listed, seriesSchema(), kindParam, benchmarkParam)
		add("Drawdowns", "/drawdowns", "Show the deepest drawdowns", drawdowns, drawdownsSchema(), limitParam)
		add("Table", "/table", "Show the returns by calendar month or year", tabled, tableSchema(), byParam)
		add("Rolling", "/rolling", "Show a statistic over a rolling window", rolling, rollingSchema(),
			metricParam(), windowParam, riskFreeParam, requiredParam, confidenceParam, benchmarkParam)
	}
	return routes
}

// Rebuild returns the command that rebuilds the read views.
func (s *Service) Rebuild() events.Typed { return Rebuild{} }

// subject is whose returns they are.
type subject struct {
	Symbol      string          `json:"symbol,omitempty"`
	PortfolioID string          `json:"portfolio_id,omitempty"`
	Version     int64           `json:"version,omitempty"`   // of the portfolio
	Rebalance   quant.Rebalance `json:"rebalance,omitempty"` // of the portfolio
}

// name is the subject for people.
func (s subject) name() string {
	if s.Symbol != "" {
		return s.Symbol
	}
	return "portfolio " + s.PortfolioID
}

// request is a query with its target and the series of both.
type request struct {
	query

	ctx        context.Context
	subject    subject
	series     series
	comparison *comparison // nil without a benchmark
}

type finder func(c echo.Context, q query) (subject, series, error)

type answerer func(a request) (any, error)

// of returns the handler that answers a query about the series that find finds.
func (s *Service) of(find finder, answer answerer) echo.HandlerFunc {
	return func(c echo.Context) error {
		q, err := read(c)
		if err != nil {
			return err
		}
		a := request{query: q, ctx: c.Request().Context()}
		if a.subject, a.series, err = find(c, q); err != nil {
			return err
		}
		if a.comparison, err = s.compare(a.ctx, q, a.subject, a.series); err != nil {
			return err
		}
		a.series = a.series.every(q.frequency)
		var body any
		err = s.work.Do(a.ctx, a.steps(c.Path()), func() (err error) {
			body, err = answer(a)
			return err
		})
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, body)
	}
}

// steps is what an answer costs: each statistic goes over all returns, and a rolling one over those of each window.
func (a request) steps(path string) float64 {
	n := float64(len(a.series.returns))
	if strings.HasSuffix(path, "/rolling") {
		return max(0, n-float64(a.window)) * float64(a.window)
	}
	return float64(len(statistics)) * n
}

func (s *Service) assetOf(c echo.Context, q query) (subject, series, error) {
	if c.QueryParam("rebalance") != "" && uuid.Validate(q.benchmark) != nil {
		return subject{}, series{}, fault.Invalid("parameter_unknown", "an asset is not rebalanced").
			WithHint("leave out rebalance")
	}
	symbol, err := events.Symbol(c.Param("symbol"))
	if err != nil {
		return subject{}, series{}, fault.NotFound("symbol_unknown", "%s", err).
			WithHint("list what there is with: GET /v1/symbols")
	}
	series, err := asset(c.Request().Context(), s.db.Read(), symbol, q.From, q.To)
	return subject{Symbol: symbol}, series, err
}

func (s *Service) portfolioOf(c echo.Context, q query) (subject, series, error) {
	return s.followed(c.Request().Context(), c.Param("id"), q)
}

// followed is a portfolio that is known here.
func (s *Service) followed(ctx context.Context, id string, q query) (subject, series, error) {
	p, found, err := follower.Load(ctx, s.db.Read(), id)
	if err == nil && !found {
		err = fault.NotFound("portfolio_unknown", "there is no portfolio %.64s", id).
			WithHint("list them with: GET /v1/portfolios")
	}
	if err != nil {
		return subject{}, series{}, err
	}
	series, err := portfolio(ctx, s.db.Read(), p, q.From, q.To, q.rebalance)
	return subject{PortfolioID: id, Version: p.Version, Rebalance: q.rebalance}, series, err
}

// Series is the answer about a series: values[i] is that of dates[i]. Simple and log returns begin with the second
// price; cumulative returns and drawdowns begin with the first, at 0. With a benchmark, both are on the days that
// they have in common.
type Series struct {
	subject

	Kind      string           `json:"kind"`
	Frequency spans.Frequency  `json:"frequency"`
	Dates     events.Days      `json:"dates"`
	Values    []*float64       `json:"values"`
	Benchmark *benchmarkSeries `json:"benchmark,omitempty"`
}

// benchmarkSeries is the benchmark on the same days.
type benchmarkSeries struct {
	subject

	Values []*float64 `json:"values"`
}

func listed(a request) (any, error) {
	own := a.series
	if a.comparison != nil {
		own = a.comparison.own
	}
	answer := Series{subject: a.subject, Kind: a.kind, Frequency: a.frequency, Dates: own.days}
	if a.kind == "simple" || a.kind == "log" {
		answer.Dates = own.days[1:]
	}
	answer.Values = values(a.kind, own.returns)
	if a.comparison != nil {
		answer.Benchmark = &benchmarkSeries{a.comparison.subject, values(a.kind, a.comparison.series.returns)}
	}
	return answer, nil
}

// values are returns as a kind of series.
func values(kind string, returns []float64) []*float64 {
	switch kind {
	case "log":
		return finites(quant.Log(returns))
	case "cumulative":
		return finites(append([]float64{0}, quant.Cumulative(returns)...))
	case "drawdown":
		return finites(append([]float64{0}, quant.Drawdown(returns)...))
	}
	return finites(returns)
}

// finite is a number that JSON can carry, or nil.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func finites(values []float64) []*float64 {
	out := make([]*float64, len(values))
	for i, v := range values {
		out[i] = finite(v)
	}
	return out
}
