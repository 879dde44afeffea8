// Package returns computes the returns and the risk of symbols and portfolios over any window of days. It stores the
// prices of each symbol in packed form, and the assets of each portfolio; both come from events alone.
package returns

import (
	"context"
	"stega/bus"
	"stega/events"
	"stega/replay"
	"stega/rest"
	"stega/services/internal/follower"
	"stega/store"
)

// Service is the returns service.
type Service struct {
	db    *store.DB
	views replay.Views
	work  *rest.Work
}

// New returns the service on its database, which may be nil when only Register is called.
func New(db *store.DB) *Service {
	return &Service{db: db, work: rest.NewWork(0, 0), views: replay.Views{
		Service: "returns",
		Topics: []string{
			events.PricesImported{}.Topic(), events.PortfolioCreated{}.Topic(), events.PortfolioUpdated{}.Topic(),
			events.PortfolioDeleted{}.Topic(),
		},
		Entities: []replay.Entities{
			{
				Owner: "marketdata",
				Keys:  []replay.Column{{Table: "series", Name: "symbol"}, {Table: "closes", Name: "symbol"}},
			},
			{
				Owner: "portfolio",
				Keys:  []replay.Column{{Table: "portfolios", Name: "id"}, {Table: "holdings", Name: "portfolio_id"}},
			},
		},
	}}
}

// Name returns "returns".
func (s *Service) Name() string { return "returns" }

// Register registers the handlers of all commands and events of the service.
func (s *Service) Register(d *bus.Dispatcher) {
	// Bars are changes and not states: a dead message blocks the later messages of its symbol.
	bus.Handle(d, s.pricesImported, bus.HoldWhenDead())
	s.portfolios().Register(d)
	bus.Handle(d, s.owner().Replay)
	bus.Handle(d, s.rebuild, bus.Deferred(), bus.Continues())
	s.views.Register(d)
}

// portfolios handles the events of portfolios.
func (s *Service) portfolios() *follower.Portfolios {
	return &follower.Portfolios{
		Views: &s.views, Holdings: true,
		Held: func(tx *store.Tx, symbol string) { locksOf(tx).addHolding(symbol) },
		Changed: func(tx *store.Tx, id string) {
			// Portfolios are published after all handlers of this unit of work have run.
			tx.Once("portfolio "+id+" moved", func(_ context.Context, tx *store.Tx) error {
				portfolioChanged(tx, id)
				return nil
			})
		},
	}
}
