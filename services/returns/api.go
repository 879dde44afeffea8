package returns

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/quant"
	"stega/rest"
)

// Routes adds the service's paths below /v1.
func (s *Service) Routes(v1 *echo.Group, port rest.Service) {
	v1.GET("/returns/assets/:symbol", s.of(s.assetOf, summarize))
	v1.GET("/returns/assets/:symbol/series", s.of(s.assetOf, listed))
	v1.GET("/returns/portfolios/:id", s.of(s.portfolioOf, summarize))
	v1.GET("/returns/portfolios/:id/series", s.of(s.portfolioOf, listed))
	v1.POST("/rebuild/returns", func(c echo.Context) error {
		if err := rest.Known(c); err != nil {
			return err
		}
		return rest.Write(c, port, Rebuild{}, s.Name(), rest.Hash(c, nil))
	})
}

// query is what a client asks of a series.
type query struct {
	rest.Window
	frequency string
	periods   float64
	riskFree  float64 // a year
	kind      string
	rebalance quant.Rebalance
}

// subject is whose returns they are.
type subject struct {
	Symbol      string          `json:"symbol,omitempty"`
	PortfolioID string          `json:"portfolio_id,omitempty"`
	Version     int64           `json:"version,omitempty"`   // of the portfolio
	Rebalance   quant.Rebalance `json:"rebalance,omitempty"` // of the portfolio
}

type finder func(c echo.Context, q query) (subject, series, error)

// of answers a question about the series that find finds.
func (s *Service) of(find finder, answer func(q query, who subject, s series) (any, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		q, err := read(c)
		if err != nil {
			return err
		}
		who, series, err := find(c, q)
		if err != nil {
			return err
		}
		body, err := answer(q, who, series.every(q.frequency))
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, body)
	}
}

func read(c echo.Context) (query, error) {
	q := query{frequency: "daily", periods: quant.Daily, kind: "simple", rebalance: quant.RebalanceDaily}
	err := rest.Known(c, "from", "to", "frequency", "risk_free", "kind", "rebalance")
	if err != nil {
		return q, err
	}
	if q.Window, err = rest.Windowed(c); err != nil {
		return q, err
	}
	choice := func(name string, into *string, values ...string) error {
		v := c.QueryParam(name)
		if v == "" {
			return nil
		}
		for _, known := range values {
			if v == known {
				*into = v
				return nil
			}
		}
		return fault.Invalid("parameter_invalid", "%s=%s is not known", name, v).WithHint("%s is one of %s", name, strings.Join(values, ", "))
	}
	rebalance := string(q.rebalance)
	for _, err := range []error{
		choice("frequency", &q.frequency, "daily", "weekly", "monthly"), choice("kind", &q.kind, "simple", "log", "cumulative", "drawdown"),
		choice("rebalance", &rebalance, "daily", "monthly", "none"),
	} {
		if err != nil {
			return q, err
		}
	}
	q.rebalance = quant.Rebalance(rebalance)
	q.periods = map[string]float64{"daily": quant.Daily, "weekly": quant.Weekly, "monthly": quant.Monthly}[q.frequency]
	if v := c.QueryParam("risk_free"); v != "" {
		q.riskFree, err = strconv.ParseFloat(v, 64)
		if err != nil || math.IsNaN(q.riskFree) || q.riskFree <= -1 || q.riskFree > 10 {
			return q, fault.Invalid("parameter_invalid", "risk_free=%s is not a rate a year", v).WithHint("0.02 is 2 %% a year")
		}
	}
	return q, nil
}

func (s *Service) assetOf(c echo.Context, q query) (subject, series, error) {
	if c.QueryParam("rebalance") != "" {
		return subject{}, series{}, fault.Invalid("parameter_unknown", "an asset is not rebalanced").WithHint("leave out rebalance")
	}
	symbol, err := events.Symbol(c.Param("symbol"))
	if err != nil {
		return subject{}, series{}, fault.NotFound("symbol_unknown", "%s", err)
	}
	series, err := asset(c.Request().Context(), s.db.Read(), symbol, q.From, q.To)
	return subject{Symbol: symbol}, series, err
}

func (s *Service) portfolioOf(c echo.Context, q query) (subject, series, error) {
	ctx, id := c.Request().Context(), c.Param("id")
	p, found, err := loadPortfolio(ctx, s.db.Read(), id)
	if err == nil && !found {
		err = fault.NotFound("portfolio_unknown", "there is no portfolio %.64s", id).WithHint("list them with: GET /v1/portfolios")
	}
	if err != nil {
		return subject{}, series{}, err
	}
	series, err := portfolio(ctx, s.db.Read(), p, q.From, q.To, q.rebalance)
	return subject{PortfolioID: id, Version: p.Version, Rebalance: q.rebalance}, series, err
}

// Summary is the answer about returns: ratios, not percents; null where a figure is not defined.
type Summary struct {
	subject

	From              civil.Date  `json:"from"` // of the first price
	To                civil.Date  `json:"to"`
	Frequency         string      `json:"frequency"`
	Observations      int         `json:"observations"` // returns
	AnnualReturn      *float64    `json:"annual_return"`
	CumulativeReturn  *float64    `json:"cumulative_return"`
	AnnualVolatility  *float64    `json:"annual_volatility"`
	RiskFree          float64     `json:"risk_free"`
	Sharpe            *float64    `json:"sharpe"`
	Sortino           *float64    `json:"sortino"`
	Calmar            *float64    `json:"calmar"`
	DownsideRisk      *float64    `json:"downside_risk"`
	MaxDrawdown       *float64    `json:"max_drawdown"`
	MaxDrawdownStart  *civil.Date `json:"max_drawdown_start"` // the peak before
	MaxDrawdownTrough *civil.Date `json:"max_drawdown_trough"`
	MaxDrawdownEnd    *civil.Date `json:"max_drawdown_end"` // the peak is reached again; null: not yet
	Best              *float64    `json:"best"`             // the best period
	Worst             *float64    `json:"worst"`
}

func summarize(q query, who subject, s series) (any, error) {
	rf := quant.PerPeriod(q.riskFree, q.periods)
	depth, start, trough, end := quant.MaxDrawdown(s.returns)
	a := Summary{
		subject: who, From: s.days[0], To: s.days[len(s.days)-1], Frequency: q.frequency, Observations: len(s.returns),
		AnnualReturn: finite(quant.AnnualReturn(s.returns, q.periods)), CumulativeReturn: finite(quant.CumulativeReturn(s.returns)),
		AnnualVolatility: finite(quant.AnnualVolatility(s.returns, q.periods)), RiskFree: q.riskFree,
		Sharpe: finite(quant.Sharpe(s.returns, rf, q.periods)), Sortino: finite(quant.Sortino(s.returns, rf, q.periods)),
		Calmar: finite(quant.Calmar(s.returns, q.periods)), DownsideRisk: finite(quant.DownsideRisk(s.returns, rf, q.periods)),
		MaxDrawdown: finite(depth),
	}
	best, worst := math.Inf(-1), math.Inf(1)
	for _, r := range s.returns {
		best, worst = math.Max(best, r), math.Min(worst, r)
	}
	a.Best, a.Worst = finite(best), finite(worst)
	if trough >= 0 {
		a.MaxDrawdownStart, a.MaxDrawdownTrough = &s.days[start+1], &s.days[trough+1]
		if end >= 0 {
			a.MaxDrawdownEnd = &s.days[end+1]
		}
	}
	return a, nil
}

// finite is a number that JSON can carry, or nil.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// Series is the answer about a series: values[i] is that of dates[i]. Simple and log returns begin with the second price; cumulative
// returns and drawdowns begin with the first, at 0.
type Series struct {
	subject

	Kind      string       `json:"kind"`
	Frequency string       `json:"frequency"`
	Dates     []civil.Date `json:"dates"`
	Values    []*float64   `json:"values"`
}

func listed(q query, who subject, s series) (any, error) {
	a := Series{subject: who, Kind: q.kind, Frequency: q.frequency, Dates: s.days[1:]}
	var values []float64
	switch q.kind {
	case "log":
		values = quant.Log(s.returns)
	case "cumulative":
		a.Dates, values = s.days, append([]float64{0}, quant.Cumulative(s.returns)...)
	case "drawdown":
		a.Dates, values = s.days, append([]float64{0}, quant.Drawdown(s.returns)...)
	default:
		values = s.returns
	}
	a.Values = make([]*float64, len(values))
	for i, v := range values {
		a.Values[i] = finite(v)
	}
	return a, nil
}
