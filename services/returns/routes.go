package returns

import (
	"context"
	"math"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"stega/api"
	"stega/events"
	"stega/fault"
	"stega/quant"
	"stega/rest"
	"stega/services/internal/follower"
)

// Routes returns the HTTP routes of the service: the same five for assets and for portfolios.
func (s *Service) Routes(rest.Service) []rest.Route {
	var routes []rest.Route
	for _, of := range []struct {
		name, path, title string
		find              finder
	}{
		{"Asset", "/v1/returns/assets/{symbol}", "an asset", s.assetOf},
		{"Portfolio", "/v1/returns/portfolios/{id}", "a portfolio", s.portfolioOf},
	} {
		add := func(name, path, summary string, compute answerer, answer any, params ...rest.Param) {
			routes = append(routes, rest.Route{
				Name:    "get" + of.name + name,
				Method:  http.MethodGet,
				Path:    of.path + path,
				Scope:   rest.ScopeRead,
				Summary: summary + " of " + of.title,
				Query:   rest.Windowing(append([]rest.Param{frequencyParam, rebalanceParam}, params...)...),
				Answer:  answer,
				Handler: s.of(of.find, compute),
			})
		}
		add("Returns", "", "Show the return and risk statistics", summarize, api.Returns{}, riskFreeParam, perYearParam,
			requiredParam, confidenceParam, benchmarkParam)
		add("Series", "/series", "Show the series of returns", listed, api.ReturnSeries{}, kindParam, benchmarkParam)
		add("Drawdowns", "/drawdowns", "Show the deepest drawdowns", drawdowns, api.Drawdowns{}, limitParam)
		add("Table", "/table", "Show the returns by calendar month or year", tabled, api.ReturnsTable{}, byParam,
			perYearParam)
		add("Rolling", "/rolling", "Show a statistic over a rolling window", rolling, api.RollingStatistic{},
			metricParam(), windowParam, riskFreeParam, requiredParam, perYearParam, confidenceParam, benchmarkParam)
	}
	return routes
}

// Rebuild returns the command that rebuilds the read views.
func (s *Service) Rebuild() events.Typed { return Rebuild{} }

// nameOf returns the name of a target for people.
func nameOf(t api.Target) string {
	if t.Symbol != "" {
		return t.Symbol
	}
	return "portfolio " + t.PortfolioID
}

// request is a query with its target and the series of both.
type request struct {
	query

	ctx        context.Context
	target     api.Target
	series     series
	comparison *comparison // nil without a benchmark
}

type finder func(c echo.Context, q query) (api.Target, series, error)

type answerer func(a request) (any, error)

// of returns the handler that answers a query about the series that find finds.
func (s *Service) of(find finder, answer answerer) echo.HandlerFunc {
	return func(c echo.Context) error {
		q, err := read(c)
		if err != nil {
			return err
		}
		a := request{query: q, ctx: c.Request().Context()}
		if a.target, a.series, err = find(c, q); err != nil {
			return err
		}
		if a.comparison, err = s.compare(a.ctx, q, a.target, a.series); err != nil {
			return err
		}
		a.series = a.series.every(q.frequency)
		a.periods = a.perYear(a.series)
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

func (s *Service) assetOf(c echo.Context, q query) (api.Target, series, error) {
	if c.QueryParam("rebalance") != "" && uuid.Validate(q.benchmark) != nil {
		return api.Target{}, series{}, fault.Invalid("parameter_unknown", "an asset is not rebalanced").
			WithHint("leave out rebalance")
	}
	symbol, err := events.Symbol(c.Param("symbol"))
	if err != nil {
		return api.Target{}, series{}, fault.NotFound("symbol_unknown", "%s", err).
			WithHint("list what there is with: GET /v1/symbols")
	}
	series, err := asset(c.Request().Context(), s.db.Read(), symbol, q.From, q.To)
	return api.Target{Symbol: symbol}, series, err
}

func (s *Service) portfolioOf(c echo.Context, q query) (api.Target, series, error) {
	return s.followed(c.Request().Context(), c.Param("id"), q)
}

// followed is a portfolio that is known here.
func (s *Service) followed(ctx context.Context, id string, q query) (api.Target, series, error) {
	p, found, err := follower.Load(ctx, s.db.Read(), id)
	if err == nil && !found {
		err = fault.NotFound("portfolio_unknown", "there is no portfolio %.64s", id).
			WithHint("list them with: GET /v1/portfolios")
	}
	if err != nil {
		return api.Target{}, series{}, err
	}
	series, err := portfolio(ctx, s.db.Read(), p, q.From, q.To, q.rebalance)
	return api.Target{PortfolioID: id, Version: p.Version, Rebalance: string(q.rebalance)}, series, err
}

func listed(a request) (any, error) {
	own := a.series
	if a.comparison != nil {
		own = a.comparison.own
	}
	answer := api.ReturnSeries{Target: a.target, Kind: a.kind, Frequency: string(a.frequency), Dates: own.days}
	if a.kind == "simple" || a.kind == "log" {
		answer.Dates = own.days[1:]
	}
	answer.Values = values(a.kind, own.returns)
	if a.comparison != nil {
		answer.Benchmark = &api.BenchmarkSeries{
			Target: a.comparison.target,
			Values: values(a.kind, a.comparison.series.returns),
		}
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
