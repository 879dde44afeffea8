// Package correlations computes correlations and covariances of symbols. It stores the returns of each symbol, which
// events carry, in packed form, and caches in memory the sums that the matrix follows from. So a new day updates the
// sums and does not compute them again. The sums follow from the database and are never older than it.
package correlations

import (
	"stega/bus"
	"stega/events"
	"stega/replay"
	"stega/rest"
	"stega/services/internal/follower"
	"stega/store"
)

// Service is the correlations service.
type Service struct {
	db    *store.DB
	views replay.Views
	cache seriesCache
	sums  sumsCache
	work  *rest.Work
}

// New returns the service on its database, which may be nil when only Register is called.
func New(db *store.DB) *Service {
	return &Service{db: db, work: rest.NewWork(0, 0), views: replay.Views{
		Service: "correlations",
		Topics: []string{
			events.AssetUpdated{}.Topic(), events.PortfolioCreated{}.Topic(), events.PortfolioUpdated{}.Topic(),
			events.PortfolioDeleted{}.Topic(),
		},
		Entities: []replay.Entities{
			{
				Owner: "returns",
				Keys:  []replay.Column{{Table: "symbols", Name: "symbol"}, {Table: "series", Name: "symbol"}},
			},
			{Owner: "portfolio", Keys: []replay.Column{{Table: "portfolios", Name: "id"}}},
		},
	}}
}

// Name returns "correlations".
func (s *Service) Name() string { return "correlations" }

// Register registers the handlers of all commands and events of the service.
func (s *Service) Register(d *bus.Dispatcher) {
	// Returns are changes and not states: a dead message blocks the later messages of its symbol.
	bus.Handle(d, s.assetUpdated, bus.HoldWhenDead())
	(&follower.Portfolios{Views: &s.views}).Register(d)
	bus.Handle(d, s.rebuild, bus.Deferred(), bus.Continues())
	s.views.Register(d)
}
