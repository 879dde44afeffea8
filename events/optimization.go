package events

import "stega/civil"

// OptimizationCompleted says what an optimization found; one that follows its portfolio says so each time that it is
// made anew. Weights are those of the symbols, ratios of wealth; a frontier has none. Figures are a year, and null
// where they are not defined.
type OptimizationCompleted struct {
	ID               string     `json:"id"`
	Name             string     `json:"name,omitempty"`
	Objective        string     `json:"objective"`
	PortfolioID      string     `json:"portfolio_id,omitempty"`
	PortfolioVersion int64      `json:"portfolio_version,omitempty"`
	AsOf             civil.Date `json:"as_of"` // the last day with a return that it is made of
	Symbols          []string   `json:"symbols,omitempty"`
	Weights          Floats     `json:"weights,omitempty"`
	AnnualReturn     *float64   `json:"annual_return"`
	AnnualVolatility *float64   `json:"annual_volatility"`
	Sharpe           *float64   `json:"sharpe"`
	Turnover         *float64   `json:"turnover,omitempty"` // half of what is to be traded to get there from the portfolio
	Trades           []Trade    `json:"trades,omitempty"`
}

// Trade is a change of one weight.
type Trade struct {
	Symbol string  `json:"symbol"`
	From   float64 `json:"from"`
	To     float64 `json:"to"`
	Change float64 `json:"change"`
}

// Topic is optimization.completed.
func (OptimizationCompleted) Topic() string { return "optimization.completed" }

// Subject is the optimization's id.
func (e OptimizationCompleted) Subject() string { return e.ID }
