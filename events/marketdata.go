package events

// PricesImported carries daily bars of one symbol that are new or corrected, in columns of equal length, ordered by
// day. A long history is sent in several of these, each at most 256 KiB. It has the columns that services use;
// GET /v1/prices/{symbol} has the others too.
type PricesImported struct {
	Symbol string `json:"symbol"`
	Days   Days   `json:"dates"`
	Close  Column `json:"close"`
	// The other columns are omitted when the source has no value of them; a null is a day without a value.
	AdjClose Column `json:"adj_close,omitempty"` // adjusted for splits and dividends by the source
	// Imports omit the next four. They are accepted in an event that is published by hand.
	Open     Column `json:"open,omitempty"`
	High     Column `json:"high,omitempty"`
	Low      Column `json:"low,omitempty"`
	Volume   Column `json:"volume,omitempty"`
	Dividend Column `json:"dividend,omitempty"` // cash per share, on its ex-day
	Split    Column `json:"split,omitempty"`    // new shares for one old, on its ex-day
	// Replay is set when these are all the bars of some days. Only then may there be none.
	Replay *Replay `json:"replay,omitempty"`
}

// Topic returns marketdata.prices_imported.
func (PricesImported) Topic() string { return "marketdata.prices_imported" }

// Subject returns the symbol.
func (e PricesImported) Subject() string { return e.Symbol }
