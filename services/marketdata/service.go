// Package marketdata keeps daily prices. It takes them from files that people send and from providers that it pulls from, keeps them
// exactly, and tells what is new or was corrected.
package marketdata

import (
	"stega/bus"
	"stega/services/marketdata/provider"
	"stega/store"
)

// Service is the market data service.
type Service struct {
	db       *store.DB
	options  Options
	provider provider.Provider // nil when none is set
}

// Options are the settings of the service.
type Options struct {
	MaxImportBytes int64  // of one file; 512 MiB when zero
	TempDir        string // where big imports are spooled; the system's when empty
	// Folder of CSV files, or the settings of an HTTP API, that prices are pulled from; a folder goes first.
	Folder string
	EODHD  provider.EODHDOptions
}

// New makes the service on its database, which may be nil when only Register is called.
func New(db *store.DB, o Options) *Service {
	s := &Service{db: db, options: o}
	switch {
	case o.Folder != "":
		s.provider = provider.NewFolder(o.Folder)
	case o.EODHD.BaseURL != "":
		s.provider = provider.NewEODHD(o.EODHD)
	}
	return s
}

// Name is marketdata.
func (s *Service) Name() string { return "marketdata" }

// Register is everything that the service answers to.
func (s *Service) Register(d *bus.Dispatcher) {
	bus.Handle(d, s.importPrices)
	bus.HandleJob(d, s.pullPrices, bus.Deferred())
	bus.Handle(d, s.replayRequested)
}
