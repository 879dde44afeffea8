package events

// PricesImported carries daily bars of one symbol that are new or corrected, in columns of equal length, ordered by
// day. A big import is sent in several of these, each at most 256 KiB.
type PricesImported struct {
	Symbol string `json:"symbol"`
	Days   Days   `json:"dates"`
	Close  Column `json:"close"`
	// The other columns are omitted when the source has no value of them; a null is a day without a value.
	AdjClose Column `json:"adj_close,omitempty"` // adjusted for splits and dividends by the source
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
