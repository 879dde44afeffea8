package api

import (
	"time"

	"github.com/govalues/decimal"

	"stega/civil"
)

// PullRequest is the body of a request that pulls prices.
type PullRequest struct {
	Kind     string   `json:"kind" jsonschema:"required,enum=latest,enum=backfill"`
	Symbols  []string `json:"symbols,omitempty"`                       // all that have prices when it is left out
	From     string   `json:"from,omitempty" jsonschema:"format=date"` // first day of a backfill
	Provider string   `json:"provider,omitempty"`                      // the default one when it is left out
}

// Provider is a source of prices that the server can pull from.
type Provider struct {
	Name       string   `json:"name"`
	About      string   `json:"about"`
	Configured bool     `json:"configured"`
	Default    bool     `json:"default"`
	Settings   []string `json:"settings"` // environment variables that configure it
}

// Symbol describes the prices of a symbol.
type Symbol struct {
	Symbol string     `json:"symbol"`
	First  civil.Date `json:"first"`
	Last   civil.Date `json:"last"`
	Count  int        `json:"count"` // days with a price
}

// SymbolPrices is the answer to a request for the prices of a symbol.
type SymbolPrices struct {
	Symbol string  `json:"symbol"`
	Prices []Price `json:"prices"`
}

// Price is one day of a symbol.
type Price struct {
	Date     civil.Date       `json:"date"`
	Close    decimal.Decimal  `json:"close"`
	AdjClose *decimal.Decimal `json:"adj_close,omitempty"`
	Open     *decimal.Decimal `json:"open,omitempty"`
	High     *decimal.Decimal `json:"high,omitempty"`
	Low      *decimal.Decimal `json:"low,omitempty"`
	Volume   *decimal.Decimal `json:"volume,omitempty"`
	Dividend *decimal.Decimal `json:"dividend,omitempty"`
	Split    *decimal.Decimal `json:"split,omitempty"`
}

// Schedule describes when prices are pulled automatically.
type Schedule struct {
	ID            string     `json:"id"`
	Name          string     `json:"name"`
	Version       int64      `json:"version"`
	Cron          string     `json:"cron"`
	TimeZone      string     `json:"time_zone"`
	Kind          string     `json:"kind"`
	Symbols       []string   `json:"symbols"` // empty: all symbols at the time of the run
	Provider      string     `json:"provider"`
	Enabled       bool       `json:"enabled"`
	NextAt        *time.Time `json:"next_at"` // null when disabled
	LastAt        *time.Time `json:"last_at"`
	LastDueAt     *time.Time `json:"last_due_at"`    // null when the last run was triggered by a request
	LastOperation string     `json:"last_operation"` // of the last run
	CreatedAt     time.Time  `json:"created_at"`
	UpdatedAt     time.Time  `json:"updated_at"`
}

// Request returns the request that leaves a schedule as it is.
func (s Schedule) Request() ScheduleRequest {
	return ScheduleRequest{
		Name: s.Name, Cron: s.Cron, TimeZone: s.TimeZone, Kind: s.Kind, Symbols: s.Symbols, Provider: s.Provider,
		Enabled: &s.Enabled,
	}
}

// ScheduleRequest is the body of a request that creates or replaces a schedule.
type ScheduleRequest struct {
	Name     string   `json:"name" jsonschema:"required"`
	Cron     string   `json:"cron" jsonschema:"required"` // minute, hour, day, month and weekday, such as 30 16 * * 1-5
	TimeZone string   `json:"time_zone,omitempty"`        // UTC when it is left out
	Kind     string   `json:"kind,omitempty" jsonschema:"enum=latest,enum=backfill"`
	Symbols  []string `json:"symbols,omitempty"`  // all that have prices when it is left out
	Provider string   `json:"provider,omitempty"` // the default one when it is left out
	Enabled  *bool    `json:"enabled,omitempty"`  // true when it is left out
}
