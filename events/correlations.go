package events

import "stega/civil"

// CorrelationsUpdated says that correlations and covariances of some symbols may read differently now. It is told
// once for all that was merged together.
type CorrelationsUpdated struct {
	Changed []string   `json:"changed"` // the symbols whose returns changed, ordered
	Symbols int        `json:"symbols"` // how many there are in all
	Last    civil.Date `json:"last"`    // the last day that any of them has
}

// Topic is correlations.updated.
func (CorrelationsUpdated) Topic() string { return "correlations.updated" }

// Subject is that of all of them: the matrix is one.
func (CorrelationsUpdated) Subject() string { return "correlations" }
