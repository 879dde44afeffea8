// Package provider fetches daily prices from elsewhere: from a folder of CSV files, or from an end-of-day HTTP API of the EODHD kind.
package provider

import (
	"context"

	"stega/civil"
	"stega/services/marketdata/pricefile"
)

// Bar is the prices of one symbol on one day.
type Bar = pricefile.Bar

// Provider is where prices come from. Errors are faults: one whose kind is unavailable may pass, others stay until something is changed.
type Provider interface {
	// Latest is the newest bars of each symbol that the provider knows.
	Latest(ctx context.Context, symbols []string) (map[string][]Bar, error)
	// History is the bars of a symbol from a day on, or all when from is nil.
	History(ctx context.Context, symbol string, from *civil.Date) ([]Bar, error)
}
