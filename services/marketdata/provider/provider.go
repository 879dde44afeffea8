// Package provider fetches daily prices from elsewhere: from a folder of CSV files, or from an HTTP API: an
// end-of-day one of the EODHD kind, the CSV that Stooq serves, the chart JSON that Yahoo serves.
package provider

import (
	"context"
	"slices"

	"stega/civil"
	"stega/services/marketdata/pricefile"
)

// Bar is the prices of one symbol on one day.
type Bar = pricefile.Bar

// Provider is where prices come from. Errors are faults: one whose kind is unavailable may pass, others stay until
// something is changed.
type Provider interface {
	// Latest is the newest bars of each symbol that the provider knows.
	Latest(ctx context.Context, symbols []string) (map[string][]Bar, error)
	// History is the bars of a symbol from a day on, or all when from is nil.
	History(ctx context.Context, symbol string, from *civil.Date) ([]Bar, error)
}

// Single is a provider that is asked for one symbol at a time, so that who asks can say how far it is.
type Single interface {
	Provider
	// Recent is the bars of the last days; none when the provider does not know the symbol.
	Recent(ctx context.Context, symbol string) ([]Bar, error)
}

// Bulk is a provider that reads the histories of many symbols in one go.
type Bulk interface {
	Provider
	// Histories visits the bars of symbols from a day on, or all when from is nil. A symbol may be visited more than
	// once: of two bars of the same day the later visit's counts. A symbol without any bar is a fault.
	Histories(ctx context.Context, symbols []string, from *civil.Date, visit func(symbol string, bars []Bar) error) error
}

// recentDays is how far back Recent looks: far enough that a run that was missed leaves no gap, and that a correction
// of yesterday is seen.
const recentDays = 10

// eachRecent asks for the bars of the last days, symbol by symbol.
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
