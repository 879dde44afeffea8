// Package boundary is the public side of the suite, in two parts.
//
// Service is the ledger of operations, a service like the others: every service publishes receipts, committed together
// with their effect, of the messages that it handled and of those that they caused. The ledger joins the receipts of an
// operation into a tree, and the operation is settled when no handling of a known message is outstanding.
//
// Server is the one public HTTP server, put together in NewServer: access control, the gateway to the services, the
// stream of events, and the paths of operations.
package boundary

import (
	"log/slog"
	"sync"
	"time"

	"stega/bus"
	"stega/rest"
	"stega/store"
)

// Service is the ledger of operations.
type Service struct {
	db    *store.DB
	opts  Options
	mu    sync.Mutex
	cache map[string]cached // trees of operations under way, by operation

	forgot time.Time // when old operations were last deleted
}

// Options are the settings of the ledger.
type Options struct {
	// Takes says which services take a topic, as far as this program knows them.
	Subscriptions map[string][]string
	Log           *slog.Logger
}

// New makes the service on its database, which may be nil when only Register is called.
func New(db *store.DB, o Options) *Service {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{db: db, opts: o, cache: map[string]cached{}}
}

// Name is boundary.
func (s *Service) Name() string { return "boundary" }

// Register is everything that the service answers to.
func (s *Service) Register(d *bus.Dispatcher) {
	bus.Handle(d, s.accepted)
	bus.Handle(d, s.progressed)
	bus.Handle(d, s.resolved)
	bus.Handle(d, s.handled)
	bus.Handle(d, s.rebuilding)
}

// Routes returns none: those of operations are the Server's.
func (s *Service) Routes(rest.Service) []rest.Route { return nil }
