// Package boundary is the one public door: it accounts for what follows from each operation, pushes events and
// outcomes to clients, and routes requests to the services.
//
// Every service says in a receipt, committed together with its effect, which messages it handled and what they
// caused. The ledger of this package joins the receipts of an operation into a tree, and the operation is settled
// when no handling of a known message is outstanding.
package boundary

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"stega/broker"
	"stega/bus"
	"stega/store"
)

// Service is the boundary.
type Service struct {
	db    *store.DB
	opts  Options
	mu    sync.Mutex
	cache map[string]cached // trees of operations under way, by operation

	forgot time.Time // when old operations were last deleted
}

// Options are the settings of the boundary.
type Options struct {
	// Takes says which services take a topic, as far as this program knows them.
	Takes map[string][]string
	Log   *slog.Logger
	// Lookup asks the services for an operation of theirs; a fault of kind not found when none has it.
	Lookup func(ctx context.Context, id string) (store.Operation, error)
	// Latest asks the services for their latest operations, from before the id in cursor.
	Latest func(ctx context.Context, limit int, cursor string) ([]store.Operation, error)
	// Watch tells of what comes for a channel of the stream, such as operation:<id>, from now on; events may be closed
	// at any time.
	Watch func(channel string) (events <-chan broker.LogEntry, stop func())
	// Position is how far this process has read the log; empty while that is not known.
	Position func() string
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
