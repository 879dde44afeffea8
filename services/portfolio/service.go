// Package portfolio keeps portfolios: named sets of assets with weights. It owns their names, versions and ids.
// Each change is published as an event that carries the whole portfolio.
package portfolio

import (
	"stega/bus"
	"stega/store"
)

// Service is the portfolio service.
type Service struct {
	db *store.DB
}

// New returns the service on its database, which may be nil when only Register is called.
func New(db *store.DB) *Service { return &Service{db: db} }

// Name returns "portfolio".
func (s *Service) Name() string { return "portfolio" }

// Register registers the handlers of all commands and events of the service.
func (s *Service) Register(d *bus.Dispatcher) {
	bus.Handle(d, s.create)
	bus.Handle(d, s.update)
	bus.Handle(d, s.delete)
	bus.Handle(d, owner().Replay)
}
