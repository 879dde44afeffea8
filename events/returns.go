package events

import (
	"github.com/govalues/decimal"

	"stega/civil"
)

// AssetUpdated is published when the return series of a symbol changed between two days, and carries the series
// there. A service that merges these days into its series has the whole series. A long change is sent in several of
// these.
type AssetUpdated struct {
	Symbol       string     `json:"symbol"`
	ChangedFrom  civil.Date `json:"changed_from"`
	ChangedTo    civil.Date `json:"changed_to"`
	First        civil.Date `json:"first"`
	Last         civil.Date `json:"last"`
	Observations int        `json:"observations"` // days with a price
	// LastClose is the exact close of the last day. A change of earlier days can omit it.
	LastClose *decimal.Decimal `json:"last_close,omitempty"`
	// Days lists the days with a price from changed_from to changed_to, ordered. Returns has the simple return of
	// each since the previous day with a price, wherever that is. The first day of the series has no return.
	Days    Days   `json:"dates"`
	Returns Floats `json:"returns"`
	// Replay is set when these are all the days with a price in a span. Only then are days removed from a series.
	Replay *Replay `json:"replay,omitempty"`
}

// Topic returns returns.asset_updated.
func (AssetUpdated) Topic() string { return "returns.asset_updated" }

// Subject returns the symbol.
func (e AssetUpdated) Subject() string { return e.Symbol }

// PortfolioReturnsUpdated is published when the returns of a portfolio may have changed, because the portfolio or one
// of its series changed.
type PortfolioReturnsUpdated struct {
	PortfolioID string   `json:"portfolio_id"`
	Version     int64    `json:"version"`
	Missing     []string `json:"missing,omitempty"` // symbols without prices yet
}

// Topic returns returns.portfolio_updated.
func (PortfolioReturnsUpdated) Topic() string { return "returns.portfolio_updated" }

// Subject returns the portfolio's id.
func (e PortfolioReturnsUpdated) Subject() string { return e.PortfolioID }
