package events

import "stega/civil"

// OptimizationCompleted carries the result of an optimization; one that follows its portfolio publishes each new
// result. Weights are ratios of wealth, one for each symbol; a frontier has none. Statistics are annual, and null
// where undefined.
type OptimizationCompleted struct {
	ID               string     `json:"id"`
	Name             string     `json:"name,omitempty"`
	Objective        string     `json:"objective"`
	PortfolioID      string     `json:"portfolio_id,omitempty"`
	PortfolioVersion int64      `json:"portfolio_version,omitempty"`
	AsOf             civil.Date `json:"as_of"` // last day with a return in the input
	Symbols          []string   `json:"symbols,omitempty"`
	Weights          Floats     `json:"weights,omitempty"`
	AnnualReturn     *float64   `json:"annual_return"`
	AnnualVolatility *float64   `json:"annual_volatility"`
	Sharpe           *float64   `json:"sharpe"`
	Turnover         *float64   `json:"turnover,omitempty"` // half of the trades from the portfolio to these weights
	Trades           []Trade    `json:"trades,omitempty"`
}

// Trade is a change of one weight.
type Trade struct {
	Symbol string  `json:"symbol"`
	From   float64 `json:"from"`
	To     float64 `json:"to"`
	Change float64 `json:"change"`
}

// Topic returns optimization.completed.
func (OptimizationCompleted) Topic() string { return "optimization.completed" }

// Subject returns the optimization's id.
func (e OptimizationCompleted) Subject() string { return e.ID }
