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

// Subject returns the portfolio's id.
func (p Portfolio) Subject() string { return p.ID }

// PortfolioCreated is published when a portfolio is created.
type PortfolioCreated struct{ Portfolio }

// Topic returns portfolio.created.
func (PortfolioCreated) Topic() string { return "portfolio.created" }

// PortfolioUpdated is published when a portfolio has a new version, and carries its whole state.
type PortfolioUpdated struct {
	Portfolio
	Replay *Replay `json:"replay,omitempty"` // set when nothing changed and the state is published again
}

// Topic returns portfolio.updated.
func (PortfolioUpdated) Topic() string { return "portfolio.updated" }

// PortfolioDeleted is published when a portfolio is deleted. It carries the last state, with the version of the
// deletion.
type PortfolioDeleted struct {
	Portfolio
	Replay *Replay `json:"replay,omitempty"` // set when no portfolio has this id: only the id is set
}

// Topic returns portfolio.deleted.
func (PortfolioDeleted) Topic() string { return "portfolio.deleted" }
