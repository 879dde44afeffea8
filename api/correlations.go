package api

import (
	"stega/civil"
	"stega/events"
)

// CorrelationMatrix is the answer about correlations, or about annual covariances. The rows and columns of matrix and
// observations are those of symbols. A cell that is undefined is null.
type CorrelationMatrix struct {
	Correlations
	Observations [][]int      `json:"observations"` // returns behind each cell
	Matrix       [][]*float64 `json:"matrix"`       // null where a cell is not defined
}

// Correlations is a CorrelationMatrix without its cells, which the server encodes by hand.
type Correlations struct {
	PortfolioID  string          `json:"portfolio_id,omitempty"`
	Version      int64           `json:"version,omitempty"` // of the portfolio
	Symbols      []string        `json:"symbols"`
	Frequency    string          `json:"frequency" jsonschema:"enum=daily,enum=monthly,enum=weekly"`
	Kind         string          `json:"kind"`
	Method       string          `json:"method"`
	Target       ShrinkageTarget `json:"target,omitempty"`
	Shrinkage    *float64        `json:"shrinkage,omitempty"` // 0: the sample, 1: the target
	Missing      string          `json:"missing" jsonschema:"enum=complete,enum=pairwise,enum=zero"`
	Span         float64         `json:"span,omitempty"`
	Benchmark    *float64        `json:"benchmark,omitempty"`
	From         *civil.Date     `json:"from"` // the first day that has a return
	To           *civil.Date     `json:"to"`
	Semidefinite *bool           `json:"positive_semidefinite"` // null: cells are not defined
	Repaired     *Repaired       `json:"repaired"`              // null without a repair
	Linkage      string          `json:"linkage" jsonschema:"enum=average,enum=complete,enum=single,enum=ward"`
	Order        []string        `json:"order"`     // the symbols with similar ones next to each other
	Undefined    []Undefined     `json:"undefined"` // the first 100
	// UndefinedCount counts all undefined symbols and pairs.
	UndefinedCount int `json:"undefined_count"`
}

// ShrinkageTarget is the target of the estimator ledoit_wolf.
type ShrinkageTarget string

// The shrinkage targets.
const (
	ConstantVariance    ShrinkageTarget = "constant_variance"
	SingleFactor        ShrinkageTarget = "single_factor"
	ConstantCorrelation ShrinkageTarget = "constant_correlation"
)

// Repaired describes how a matrix was made positive semidefinite, and how far it moved.
type Repaired struct {
	Method   string  `json:"method" jsonschema:"enum=diagonal,enum=spectral"`
	Distance float64 `json:"distance"` // Frobenius norm of the change
	Largest  float64 `json:"largest"`  // largest change of a cell
}

// Undefined is the reason for which a symbol or a pair is undefined.
type Undefined struct {
	Symbols []string `json:"symbols"`
	Code    string   `json:"code"` // too_few, constant
	Detail  string   `json:"detail"`
}

// RollingCorrelation is the answer about the correlation of a pair over time: values[i] is that of the window that ends
// on dates[i]. A window counts returns that both symbols have over the same days. The value is null where one of them
// does not vary.
type RollingCorrelation struct {
	Symbols   []string      `json:"symbols"`
	Frequency string        `json:"frequency" jsonschema:"enum=daily,enum=monthly,enum=weekly"`
	Method    string        `json:"method"`
	Window    int           `json:"window"`
	Dates     events.Days   `json:"dates"`
	Values    events.Floats `json:"values"`
}
