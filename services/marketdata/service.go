// Package marketdata stores daily prices exactly. It reads them from files and pulls them from providers, on request or
// by a schedule. Each new or corrected bar is published as an event.
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
	providers []source
	clock     Clock
	changed   chan struct{} // a schedule changed in this process
}

// Options are the settings of the service.
type Options struct {
	MaxImportBytes int64  // bytes of one file; 512 MiB when zero
	MaxSymbols     int    // symbols of an installation; 100,000 when zero
	MaxSchedules   int    // 1,000 when zero
	TempDir        string // folder of the spools of large imports; the system's when empty
	// The providers of prices, each when it is set: a folder of CSV files, and HTTP APIs.
	Folder string
	EODHD  provider.EODHDOptions
	Stooq  provider.StooqOptions
	Yahoo  provider.YahooOptions
	// Provider is the name of the default provider; the first that is configured when empty.
	Provider string
	Clock    Clock // the system clock when nil
	Log      *slog.Logger
}

// New returns the service on its database, which may be nil when only Register is called.
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

// Name returns "marketdata".
func (s *Service) Name() string { return "marketdata" }

// Register registers the handlers of all commands and events of the service.
func (s *Service) Register(d *bus.Dispatcher) {
	bus.Handle(d, s.importPrices)
	bus.HandleJob(d, s.pullPrices, bus.Deferred())
	bus.Handle(d, s.createSchedule)
	bus.Handle(d, s.updateSchedule)
	bus.Handle(d, s.deleteSchedule)
	bus.Handle(d, owner().Replay)
}
