// Package correlations makes correlations and covariances of all symbols. It keeps the returns of each symbol packed,
// as events tell them, and in memory the sums from which the matrix follows, so that a new day is an update and not a
// computation anew; these are made of what the database has, and are never older than it.
package correlations

import (
	"stega/bus"
	"stega/events"
	"stega/replay"
	"stega/rest"
	"stega/store"
)

// Service is the correlations service.
type Service struct {
	db       *store.DB
	views    replay.Views
	memory   memory
	universe universe
	work     *rest.Work
}

// New makes the service on its database, which may be nil when only Register is called.
func New(db *store.DB) *Service {
	return &Service{db: db, work: rest.NewWork(0, 0), views: replay.Views{
		Service: "correlations",
		Topics: []string{
			events.AssetUpdated{}.Topic(), events.PortfolioCreated{}.Topic(), events.PortfolioUpdated{}.Topic(), events.PortfolioDeleted{}.Topic(),
		},
		Entities: []replay.Entities{
			{Owner: "returns", Keys: []replay.Column{{Table: "symbols", Name: "symbol"}, {Table: "series", Name: "symbol"}}},
			{Owner: "portfolio", Keys: []replay.Column{{Table: "portfolios", Name: "id"}}},
		},
	}}
}

// Name is correlations.
func (s *Service) Name() string { return "correlations" }

// Register is everything that the service answers to.
func (s *Service) Register(d *bus.Dispatcher) {
	// Returns are changes and not states: a dead message holds the later ones of its symbol.
	bus.Handle(d, s.assetUpdated, bus.HoldWhenDead())
	bus.Handle(d, s.portfolioCreated, bus.Name("correlations:portfolios"))
	bus.Handle(d, s.portfolioUpdated, bus.Name("correlations:portfolios"))
	bus.Handle(d, s.portfolioDeleted, bus.Name("correlations:portfolios"))
	bus.Handle(d, s.rebuild, bus.Deferred(), bus.Continues())
	s.views.Register(d)
}
