package client

import (
	"context"
	"net/url"

	"stega/api"
)

// ReturnsQuery selects and parametrises returns; the zero value of a field leaves the default of the server.
type ReturnsQuery struct {
	Window

	Frequency  string   // daily, weekly, monthly
	RiskFree   *float64 // a year, as a ratio
	Required   *float64 // the least acceptable return a year, as a ratio
	Confidence *float64 // of values at risk, as a ratio
	// PeriodsPerYear is the number of returns in a year to annualize by; from the dates when nil.
	PeriodsPerYear *float64
	Rebalance      string // of a portfolio: daily, monthly, none
	Benchmark      string // a symbol, or the id of a portfolio
	Kind           string // of a series: simple, log, cumulative, drawdown
	Limit          int    // of drawdowns
	By             string // of a table: monthly, yearly
	// of rolling statistics: the name of one as Returns and Relative have it in JSON; or return, volatility
	Metric string
	Length int // of rolling statistics: the number of returns in each window
}

func (r ReturnsQuery) query() url.Values {
	q := r.Window.query()
	for _, p := range [][2]string{
		{"frequency", r.Frequency}, {"risk_free", number(r.RiskFree)}, {"required", number(r.Required)},
		{"confidence", number(r.Confidence)}, {"periods_per_year", number(r.PeriodsPerYear)},
		{"rebalance", r.Rebalance}, {"benchmark", r.Benchmark}, {"kind", r.Kind}, {"limit", count(r.Limit)},
		{"by", r.By},
		{"metric", r.Metric},
		{"window", count(r.Length)},
	} {
		set(q, p[0], p[1])
	}
	return q
}

// returnsPath returns the path of the returns of a target.
func returnsPath(of api.Target) string {
	if of.Symbol != "" {
		return "/v1/returns/assets/" + url.PathEscape(of.Symbol)
	}
	return "/v1/returns/portfolios/" + url.PathEscape(of.PortfolioID)
}

// Returns are the figures of a symbol or a portfolio.
func (c *Client) Returns(ctx context.Context, of api.Target, q ReturnsQuery) (Answer[api.Returns], error) {
	return Get[api.Returns](ctx, c, returnsPath(of), q.query())
}

// ReturnSeries is the series of a symbol or a portfolio.
func (c *Client) ReturnSeries(ctx context.Context, of api.Target, q ReturnsQuery) (Answer[api.ReturnSeries], error) {
	return Get[api.ReturnSeries](ctx, c, returnsPath(of)+"/series", q.query())
}

// Drawdowns are the deepest drawdowns.
func (c *Client) Drawdowns(ctx context.Context, of api.Target, q ReturnsQuery) (Answer[api.Drawdowns], error) {
	return Get[api.Drawdowns](ctx, c, returnsPath(of)+"/drawdowns", q.query())
}

// ReturnsTable is the table of months or years.
func (c *Client) ReturnsTable(ctx context.Context, of api.Target, q ReturnsQuery) (Answer[api.ReturnsTable], error) {
	return Get[api.ReturnsTable](ctx, c, returnsPath(of)+"/table", q.query())
}

// Rolling are rolling figures.
func (c *Client) Rolling(ctx context.Context, of api.Target, q ReturnsQuery) (Answer[api.RollingStatistic], error) {
	return Get[api.RollingStatistic](ctx, c, returnsPath(of)+"/rolling", q.query())
}

// AssetReturns are the figures of a symbol.
func (c *Client) AssetReturns(ctx context.Context, symbol string, q ReturnsQuery) (Answer[api.Returns], error) {
	return c.Returns(ctx, api.Target{Symbol: symbol}, q)
}

// AssetSeries is the series of a symbol.
func (c *Client) AssetSeries(ctx context.Context, symbol string, q ReturnsQuery) (Answer[api.ReturnSeries], error) {
	return c.ReturnSeries(ctx, api.Target{Symbol: symbol}, q)
}

// PortfolioReturns are the figures of a portfolio.
func (c *Client) PortfolioReturns(ctx context.Context, id string, q ReturnsQuery) (Answer[api.Returns], error) {
	return c.Returns(ctx, api.Target{PortfolioID: id}, q)
}

// PortfolioSeries is the series of a portfolio.
func (c *Client) PortfolioSeries(ctx context.Context, id string, q ReturnsQuery) (Answer[api.ReturnSeries], error) {
	return c.ReturnSeries(ctx, api.Target{PortfolioID: id}, q)
}
