// Package provider fetches daily prices from a folder of CSV files, or from an HTTP API: an end-of-day API of the EODHD
// kind, CSV as Stooq serves it, or chart JSON as Yahoo serves it.
package provider

import (
	"context"
	"slices"

	"stega/civil"
	"stega/services/marketdata/pricefile"
)

// The public addresses of the HTTP APIs.
const (
	PublicEODHD = "https://eodhd.com/api"
	PublicStooq = "https://stooq.com"
	PublicYahoo = "https://query1.finance.yahoo.com"
)

// Bar is the prices of one symbol on one day.
type Bar = pricefile.Bar

// Provider is a source of prices. Its errors are faults: one of kind unavailable may pass, others stay until something
// is changed.
type Provider interface {
	// Latest returns the newest bars of each symbol that the provider has.
	Latest(ctx context.Context, symbols []string) (map[string][]Bar, error)
	// History returns the bars of a symbol from a day on, or all when from is nil.
	History(ctx context.Context, symbol string, from *civil.Date) ([]Bar, error)
}

// Single is a provider that serves one symbol per request, so that callers can report progress.
type Single interface {
	Provider
	// Recent returns the bars of the last days, or none when the provider does not have the symbol.
	Recent(ctx context.Context, symbol string) ([]Bar, error)
}

// Bulk is a provider that reads the histories of many symbols at once.
type Bulk interface {
	Provider
	// Histories visits the bars of symbols from a day on, or all when from is nil. A symbol may be visited more than
	// once: of two bars of a day, the later visit's counts. A symbol without any bar is a fault.
	Histories(ctx context.Context, symbols []string, from *civil.Date,
		visit func(symbol string, bars []Bar) error) error
}

// recentDays is the number of days that Recent reads: enough to cover missed runs and late corrections.
const recentDays = 10

// eachRecent requests the bars of the last days, symbol by symbol.
func eachRecent(ctx context.Context, p Single, symbols []string) (map[string][]Bar, error) {
	latest := map[string][]Bar{}
	for _, symbol := range symbols {
		bars, err := p.Recent(ctx, symbol)
		if err != nil {
			return nil, err
		}
		if len(bars) > 0 {
			latest[symbol] = bars
		}
	}
	return latest, nil
}

// since drops the bars before a day.
func since(bars []Bar, from civil.Date) []Bar {
	return slices.DeleteFunc(bars, func(b Bar) bool { return b.Day < from })
}
