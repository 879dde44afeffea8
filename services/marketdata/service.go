// Package marketdata keeps daily prices. It takes them from files that people send and from providers that it pulls
// from, when it is asked to or by a schedule, keeps them exactly, and tells what is new or was corrected.
package marketdata

import (
	"log/slog"

	"stega/bus"
	"stega/services/marketdata/provider"
	"stega/store"
)

// Service is the market data service.
type Service struct {
	db        *store.DB
	options   Options
	providers []Provider
	clock     Clock
	changed   chan struct{} // a schedule changed in this process
}

// Options are the settings of the service.
type Options struct {
	MaxImportBytes int64  // of one file; 512 MiB when zero
	MaxSymbols     int    // that an installation keeps; 100,000 when zero
	MaxSchedules   int    // 1,000 when zero
	TempDir        string // where big imports are spooled; the system's when empty
	// What prices are pulled from, each when it is set: a folder of CSV files, and HTTP APIs.
	Folder string
	EODHD  provider.EODHDOptions
	Stooq  provider.StooqOptions
	Yahoo  provider.YahooOptions
	// Provider is the name of the one that is asked when nobody says whom; the first of those that are set when empty.
	Provider string
	Clock    Clock // the machine's when nil
	Log      *slog.Logger
}

// New makes the service on its database, which may be nil when only Register is called.
func New(db *store.DB, o Options) *Service {
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxSymbols == 0 {
		o.MaxSymbols = 100_000
	}
	if o.MaxSchedules == 0 {
		o.MaxSchedules = 1000
	}
	return &Service{db: db, options: o, providers: providers(o), clock: o.Clock, changed: make(chan struct{}, 1)}
}

// Name is marketdata.
func (s *Service) Name() string { return "marketdata" }

// Register is everything that the service answers to.
func (s *Service) Register(d *bus.Dispatcher) {
	bus.Handle(d, s.importPrices)
	bus.HandleJob(d, s.pullPrices, bus.Deferred())
	bus.Handle(d, s.createSchedule)
	bus.Handle(d, s.updateSchedule)
	bus.Handle(d, s.deleteSchedule)
	bus.Handle(d, owner().Replay)
}
