package client

import (
	"context"
	"net/url"
	"strings"

	"stega/civil"
)

// CorrelationsQuery selects and parametrises a matrix; the zero value of a field leaves the default of the server.
type CorrelationsQuery struct {
	Window

	Symbols     []string // these; none, and no portfolio: all
	PortfolioID string
	Frequency   string   // of the returns: daily, weekly, monthly
	Kind        string   // correlation, covariance
	Method      string   // pearson, spearman, kendall, sample, semi, exponential, ledoit_wolf, oas
	Target      string   // of ledoit_wolf: constant_variance, single_factor, constant_correlation
	Missing     string   // what is done with missing returns: pairwise, complete, zero
	Benchmark   *float64 // of semi: a return of the frequency
	Span        *float64 // of exponential: in returns
	Linkage     string   // of the order: average, single, complete, ward
	Repair      string   // spectral, diagonal, none
	Length      int      // of rolling correlations: the number of returns in each window
}

func (r CorrelationsQuery) query() url.Values {
	q := r.Window.query()
	for _, p := range [][2]string{
		{"symbols", strings.Join(r.Symbols, ",")}, {"portfolio", r.PortfolioID}, {"frequency", r.Frequency},
		{"kind", r.Kind},
		{"method", r.Method},
		{"target", r.Target}, {"missing", r.Missing}, {"benchmark", number(r.Benchmark)}, {"span", number(r.Span)},
		{"linkage", r.Linkage},
		{"repair", r.Repair}, {"window", count(r.Length)},
	} {
		set(q, p[0], p[1])
	}
	return q
}

// Correlations is a matrix of correlations, or of covariances, which are annual: its rows and columns are those of
// Symbols, and a cell is nil where it is not defined.
type Correlations struct {
	PortfolioID  string      `json:"portfolio_id,omitempty"`
	Version      int64       `json:"version,omitempty"`
	Symbols      []string    `json:"symbols"`
	Frequency    string      `json:"frequency"`
	Kind         string      `json:"kind"`
	Method       string      `json:"method"`
	Target       string      `json:"target,omitempty"`
	Shrinkage    *float64    `json:"shrinkage,omitempty"`
	Missing      string      `json:"missing"`
	Span         float64     `json:"span,omitempty"`
	Benchmark    *float64    `json:"benchmark,omitempty"`
	From         *civil.Date `json:"from"` // the first day that has a return
	To           *civil.Date `json:"to"`
	Semidefinite *bool       `json:"positive_semidefinite"` // nil: cells are not defined
	Repaired     *Repaired   `json:"repaired"`              // nil: it was not
	Linkage      string      `json:"linkage"`
	Order        []string    `json:"order"` // of symbols, alike ones side by side
	Undefined    []Undefined `json:"undefined"`
	// UndefinedCount is the number of symbols and pairs without a figure; Undefined holds at most 100 of them.
	UndefinedCount int          `json:"undefined_count"`
	Observations   [][]int      `json:"observations"`
	Matrix         [][]*float64 `json:"matrix"`
}

// Repaired says how a matrix was made positive semidefinite, and how far that took it.
type Repaired struct {
	Method   string  `json:"method"`
	Distance float64 `json:"distance"`
	Largest  float64 `json:"largest"`
}

// Undefined says why a symbol, or a pair of them, has no figure.
type Undefined struct {
	Symbols []string `json:"symbols"`
	Code    string   `json:"code"`
	Detail  string   `json:"detail"`
}

// RollingCorrelation is the correlation of two symbols in the windows that end on the dates; nil where it is not
// defined.
type RollingCorrelation struct {
	Symbols   []string     `json:"symbols"`
	Frequency string       `json:"frequency"`
	Method    string       `json:"method"`
	Window    int          `json:"window"`
	Dates     []civil.Date `json:"dates"`
	Values    []*float64   `json:"values"`
}

// Correlations are the correlations or covariances of symbols.
func (c *Client) Correlations(ctx context.Context, q CorrelationsQuery) (Answer[Correlations], error) {
	return Get[Correlations](ctx, c, "/v1/correlations", q.query())
}

// RollingCorrelation is the correlation of two symbols over time.
func (c *Client) RollingCorrelation(ctx context.Context, q CorrelationsQuery) (Answer[RollingCorrelation], error) {
	return Get[RollingCorrelation](ctx, c, "/v1/correlations/rolling", q.query())
}
