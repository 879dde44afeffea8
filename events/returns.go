package events

import "stega/civil"

// AssetUpdated says that the return series of a symbol changed between two days, and how it reads there now: whoever
// merges these days over those that it has, has the series. A long change travels in several of these.
type AssetUpdated struct {
	Symbol       string     `json:"symbol"`
	ChangedFrom  civil.Date `json:"changed_from"`
	ChangedTo    civil.Date `json:"changed_to"`
	First        civil.Date `json:"first"`
	Last         civil.Date `json:"last"`
	Observations int        `json:"observations"` // days with a price
	// Days are those from changed_from to changed_to that have a price, ordered, and Returns are the simple returns of
	// each since the priced day before it, wherever that is; the first day of the series has none.
	Days    Days   `json:"dates"`
	Returns Floats `json:"returns"`
	// Replay is there when these are all the days with a price in a span. Only then are days taken out of a series.
	Replay *Replay `json:"replay,omitempty"`
}

// Topic is returns.asset_updated.
func (AssetUpdated) Topic() string { return "returns.asset_updated" }

// Subject is the symbol.
func (e AssetUpdated) Subject() string { return e.Symbol }

// PortfolioReturnsUpdated says that the returns of a portfolio may read differently now, because the
// portfolio or one of its series changed.
type PortfolioReturnsUpdated struct {
	PortfolioID string   `json:"portfolio_id"`
	Version     int64    `json:"version"`
	Missing     []string `json:"missing,omitempty"` // symbols that have no prices yet
}

// Topic is returns.portfolio_updated.
func (PortfolioReturnsUpdated) Topic() string { return "returns.portfolio_updated" }

// Subject is the portfolio's id.
func (e PortfolioReturnsUpdated) Subject() string { return e.PortfolioID }
