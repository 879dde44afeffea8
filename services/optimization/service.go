// Package optimization finds optimal weights. It stores the returns of each symbol in packed form, the last closes and
// the portfolios; all come from events alone. An optimization is a job: it reads a window of returns, estimates,
// solves, and stores its result with its inputs. One that follows its portfolio runs again whenever returns or the
// portfolio change.
package optimization

import (
	"context"
	"time"

	"stega/bus"
	"stega/events"
	"stega/replay"
	"stega/services/internal/follower"
	"stega/store"
)

// Service is the optimization service.
type Service struct {
	db      *store.DB
	options Options
	views   replay.Views
}

// Options are the settings of the service.
type Options struct {
	// Quiet is the time without a change of its inputs after which an optimization that follows runs again, and Longest
	// bounds the delay; 250 ms and 5 s when zero.
	Quiet, Longest time.Duration
	// MaxSaved bounds the optimizations that are stored; 10,000 when zero.
	MaxSaved int
}

// New returns the service on its database, which may be nil when only Register is called.
func New(db *store.DB, o Options) *Service {
	if o.Quiet == 0 {
		o.Quiet = 250 * time.Millisecond
	}
	if o.MaxSaved == 0 {
		o.MaxSaved = 10_000
	}
	if o.Longest == 0 {
		o.Longest = 5 * time.Second
	}
	s := &Service{db: db, options: o}
	s.views = replay.Views{
		Service: s.Name(),
		Topics: []string{
			events.AssetUpdated{}.Topic(), events.PortfolioCreated{}.Topic(), events.PortfolioUpdated{}.Topic(),
			events.PortfolioDeleted{}.Topic(),
		},
		Entities: []replay.Entities{
			{
				Owner: "returns",
				Keys:  []replay.Column{{Table: "series", Name: "symbol"}, {Table: "closes", Name: "symbol"}},
			},
			{
				Owner: "portfolio",
				Keys:  []replay.Column{{Table: "portfolios", Name: "id"}, {Table: "holdings", Name: "portfolio_id"}},
			},
		},
		Finish: unfollow,
	}
	return s
}

// Name returns "optimization".
func (s *Service) Name() string { return "optimization" }

// Register registers the handlers of all commands and events of the service.
func (s *Service) Register(d *bus.Dispatcher) {
	// Returns are changes and not states: a dead message blocks the later messages of its symbol.
	bus.Handle(d, s.assetUpdated, bus.HoldWhenDead())
	s.portfolios().Register(d)
	bus.HandleJob(d, s.run, bus.Deferred())
	bus.HandleJob(d, s.recompute, bus.Deferred())
	bus.Handle(d, s.follow)
	bus.Handle(d, s.delete)
	bus.Handle(d, s.rebuild, bus.Deferred(), bus.Continues())
	s.views.Register(d)
}

// portfolios handles the events of portfolios.
func (s *Service) portfolios() *follower.Portfolios {
	return &follower.Portfolios{
		Views: &s.views, Holdings: true,
		Held: func(tx *store.Tx, symbol string) { locksOf(tx).addFollowed(symbol) },
		Changed: func(tx *store.Tx, id string) {
			locksOf(tx).addFollowed("portfolio " + id)
			tx.Once("followers of "+id, func(ctx context.Context, tx *store.Tx) error {
				return s.portfolioChanged(ctx, tx, id)
			})
		},
		Deleted: func(tx *store.Tx, id string) {
			tx.Queue(tx.NewRaw("UPDATE optimizations SET follow = 0 WHERE portfolio_id = ?", id))
		},
	}
}
