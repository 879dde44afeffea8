package client

import (
	"context"
	"net/url"
	"strings"

	"stega/api"
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

// Correlations are the correlations or covariances of symbols.
func (c *Client) Correlations(ctx context.Context, q CorrelationsQuery) (Answer[api.CorrelationMatrix], error) {
	return Get[api.CorrelationMatrix](ctx, c, "/v1/correlations", q.query())
}

// RollingCorrelation is the correlation of two symbols over time.
func (c *Client) RollingCorrelation(ctx context.Context, q CorrelationsQuery) (Answer[api.RollingCorrelation], error) {
	return Get[api.RollingCorrelation](ctx, c, "/v1/correlations/rolling", q.query())
}
