package events

import "stega/civil"

// CorrelationsUpdated is published when correlations and covariances of some symbols may have changed: once for all
// changes that were merged together.
type CorrelationsUpdated struct {
	Changed []string   `json:"changed"` // the symbols whose returns changed, ordered
	Symbols int        `json:"symbols"` // number of all symbols
	Last    civil.Date `json:"last"`    // last day of any symbol
}

// Topic returns correlations.updated.
func (CorrelationsUpdated) Topic() string { return "correlations.updated" }

// Subject returns one subject for all symbols, for there is one matrix.
func (CorrelationsUpdated) Subject() string { return "correlations" }
