package client

import (
	"context"
	"net/url"

	"stega/civil"
)

// ReturnsQuery says how returns are looked at; what is empty is the server's default.
type ReturnsQuery struct {
	Window

	Frequency string // daily, weekly, monthly
	RiskFree  string // a year, as a ratio
	Rebalance string // of a portfolio: daily, monthly, none
	Kind      string // of a series: simple, log, cumulative, drawdown
}

func (r ReturnsQuery) query() url.Values {
	q := r.Window.query()
	set(q, "frequency", r.Frequency)
	set(q, "risk_free", r.RiskFree)
	set(q, "rebalance", r.Rebalance)
	set(q, "kind", r.Kind)
	return q
}

// Whose says whose returns they are.
type Whose struct {
	Symbol      string `json:"symbol,omitempty"`
	PortfolioID string `json:"portfolio_id,omitempty"`
	Version     int64  `json:"version,omitempty"`
	Rebalance   string `json:"rebalance,omitempty"`
}

// Returns are figures of returns: ratios, not percents; nil where one is not defined.
type Returns struct {
	Whose

	From              civil.Date  `json:"from"`
	To                civil.Date  `json:"to"`
	Frequency         string      `json:"frequency"`
	Observations      int         `json:"observations"`
	AnnualReturn      *float64    `json:"annual_return"`
	CumulativeReturn  *float64    `json:"cumulative_return"`
	AnnualVolatility  *float64    `json:"annual_volatility"`
	RiskFree          float64     `json:"risk_free"`
	Sharpe            *float64    `json:"sharpe"`
	Sortino           *float64    `json:"sortino"`
	Calmar            *float64    `json:"calmar"`
	DownsideRisk      *float64    `json:"downside_risk"`
	MaxDrawdown       *float64    `json:"max_drawdown"`
	MaxDrawdownStart  *civil.Date `json:"max_drawdown_start"`
	MaxDrawdownTrough *civil.Date `json:"max_drawdown_trough"`
	MaxDrawdownEnd    *civil.Date `json:"max_drawdown_end"`
	Best              *float64    `json:"best"`
	Worst             *float64    `json:"worst"`
}

// Series is a series of returns: the values are those of the dates.
type Series struct {
	Whose

	Kind      string       `json:"kind"`
	Frequency string       `json:"frequency"`
	Dates     []civil.Date `json:"dates"`
	Values    []*float64   `json:"values"`
}

// AssetReturns are the figures of a symbol.
func (c *Client) AssetReturns(ctx context.Context, symbol string, q ReturnsQuery) (Answer[Returns], error) {
	return Get[Returns](ctx, c, "/v1/returns/assets/"+url.PathEscape(symbol), q.query())
}

// AssetSeries is the series of a symbol.
func (c *Client) AssetSeries(ctx context.Context, symbol string, q ReturnsQuery) (Answer[Series], error) {
	return Get[Series](ctx, c, "/v1/returns/assets/"+url.PathEscape(symbol)+"/series", q.query())
}

// PortfolioReturns are the figures of a portfolio.
func (c *Client) PortfolioReturns(ctx context.Context, id string, q ReturnsQuery) (Answer[Returns], error) {
	return Get[Returns](ctx, c, "/v1/returns/portfolios/"+url.PathEscape(id), q.query())
}

// PortfolioSeries is the series of a portfolio.
func (c *Client) PortfolioSeries(ctx context.Context, id string, q ReturnsQuery) (Answer[Series], error) {
	return Get[Series](ctx, c, "/v1/returns/portfolios/"+url.PathEscape(id)+"/series", q.query())
}
