package events

import (
	"time"

	"github.com/govalues/decimal"
)

// Asset is one position of a portfolio: a symbol and its weight, a decimal ratio (0.6 is 60 %).
type Asset struct {
	Symbol string          `json:"symbol"`
	Weight decimal.Decimal `json:"weight"`
}

// Portfolio is the whole state of a portfolio at one version.
type Portfolio struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Version   int64     `json:"version"`
	Assets    []Asset   `json:"assets"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Subject is the portfolio's id.
func (p Portfolio) Subject() string { return p.ID }

// PortfolioCreated says that a portfolio came to be.
type PortfolioCreated struct{ Portfolio }

// Topic is portfolio.created.
func (PortfolioCreated) Topic() string { return "portfolio.created" }

// PortfolioUpdated says that a portfolio has a new version; it carries the whole of it.
type PortfolioUpdated struct {
	Portfolio
	Replay *Replay `json:"replay,omitempty"` // nothing changed: it is published again
}

// Topic is portfolio.updated.
func (PortfolioUpdated) Topic() string { return "portfolio.updated" }

// PortfolioDeleted says that a portfolio is gone; it carries the last state, with the deletion's version.
type PortfolioDeleted struct {
	Portfolio
	Replay *Replay `json:"replay,omitempty"` // there is none of this id: only the id is there
}

// Topic is portfolio.deleted.
func (PortfolioDeleted) Topic() string { return "portfolio.deleted" }
