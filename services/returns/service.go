// Package returns makes returns and risk of prices and portfolios. It keeps the prices of each symbol packed and
// follows portfolios, both from events alone, and answers over any window of days.
package returns

import (
	"stega/bus"
	"stega/events"
	"stega/replay"
	"stega/rest"
	"stega/store"
)

// Service is the returns service.
type Service struct {
	db    *store.DB
	views replay.Views
	work  *rest.Work
}

// New makes the service on its database, which may be nil when only Register is called.
func New(db *store.DB) *Service {
	return &Service{db: db, work: rest.NewWork(0, 0), views: replay.Views{
		Service: "returns",
		Topics: []string{
			events.PricesImported{}.Topic(), events.PortfolioCreated{}.Topic(), events.PortfolioUpdated{}.Topic(), events.PortfolioDeleted{}.Topic(),
		},
		Entities: []replay.Entities{
			{Owner: "marketdata", Keys: []replay.Column{{Table: "series", Name: "symbol"}}},
			{Owner: "portfolio", Keys: []replay.Column{{Table: "portfolios", Name: "id"}, {Table: "holdings", Name: "portfolio_id"}}},
		},
	}}
}

// Name is returns.
func (s *Service) Name() string { return "returns" }

// Register is everything that the service answers to.
func (s *Service) Register(d *bus.Dispatcher) {
	// Bars are changes and not states: a dead message holds the later ones of its symbol.
	bus.Handle(d, s.pricesImported, bus.HoldWhenDead())
	bus.Handle(d, s.portfolioCreated, bus.Name("returns:portfolios"))
	bus.Handle(d, s.portfolioUpdated, bus.Name("returns:portfolios"))
	bus.Handle(d, s.portfolioDeleted, bus.Name("returns:portfolios"))
	bus.Handle(d, s.owner().Replay)
	bus.Handle(d, s.rebuild, bus.Deferred(), bus.Continues())
	s.views.Register(d)
}
