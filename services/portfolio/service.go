// Package portfolio keeps portfolios: named sets of assets with weights. It owns their names, versions and ids, and
// tells what becomes of them in events that carry the whole portfolio.
package portfolio

import (
	"stega/bus"
	"stega/store"
)

// Service is the portfolio service.
type Service struct {
	db *store.DB
}

// New makes the service on its database, which may be nil when only Register is called.
func New(db *store.DB) *Service { return &Service{db: db} }

// Name is portfolio.
func (s *Service) Name() string { return "portfolio" }

// Register is everything that the service answers to.
func (s *Service) Register(d *bus.Dispatcher) {
	bus.Handle(d, s.create)
	bus.Handle(d, s.update)
	bus.Handle(d, s.delete)
	bus.Handle(d, owner().Replay)
}
