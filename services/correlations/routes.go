package correlations

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"stega/api"
	"stega/events"
	"stega/fault"
	"stega/quant"
	"stega/rest"
	"stega/series"
	"stega/services/internal/follower"
)

// Routes returns the HTTP routes of the service.
func (s *Service) Routes(rest.Service) []rest.Route {
	return []rest.Route{
		{
			Name:    "getCorrelations",
			Method:  http.MethodGet,
			Path:    "/v1/correlations",
			Scope:   rest.ScopeRead,
			Summary: "Show the matrix of correlations or annual covariances",
			Answer:  api.CorrelationMatrix{},
			Handler: s.matrix,
			Query: rest.Windowing(
				symbolsParam, rest.Param{
					Name:  "portfolio",
					About: "id of the portfolio whose symbols the matrix has; not with symbols",
				}, frequencyParam,
				rest.OneOf("kind", "kind of the matrix", kindCorrelation, kindCovariance),
				rest.Param{
					Name:   "method",
					About:  "estimator: pearson by default for correlations, sample for covariances",
					Values: allMethods(),
				},
				rest.Param{
					Name: "target", About: "shrinkage target of ledoit_wolf; constant_variance by default",
					Values: textsOf(quant.ConstantVariance, quant.SingleFactor, quant.ConstantCorrelation),
				},
				rest.Param{
					Name: "missing", About: "treatment of days without a return, by semi, ledoit_wolf and oas",
					Values: textsOf(quant.MissingPairwise, quant.MissingComplete, quant.MissingZero),
				},
				rest.Param{
					Name:    "benchmark",
					About:   "return below which semi counts a return",
					Type:    rest.Number,
					Default: 0.0,
					Min:     -1,
					Max:     1,
					MinOpen: true,
					MaxOpen: true,
					Hint:    "it is a return of a day, or of what frequency says; 0.0001 is 0.01 %",
				},
				rest.Param{
					Name:  "span",
					About: "span of the weights of exponential, in returns; 180 by default",
					Type:  rest.Number,
					Min:   1,
					Max:   1e9,
					Hint:  "it is a number of returns, 1 or more",
				},
				rest.OneOf("linkage", "linkage of the clusters that order the symbols",
					quant.AverageLinkage, quant.SingleLinkage, quant.CompleteLinkage, quant.WardLinkage),
				rest.OneOf("repair", "repair of a matrix that is not positive semidefinite",
					string(quant.RepairSpectral), string(quant.RepairDiagonal), "none"),
			),
		},
		{
			Name:    "getRollingCorrelation",
			Method:  http.MethodGet,
			Path:    "/v1/correlations/rolling",
			Scope:   rest.ScopeRead,
			Summary: "Show the correlation of two symbols over a rolling window",
			Answer:  api.RollingCorrelation{},
			Handler: s.rolling,
			Query: rest.Windowing(
				rest.Param{Name: "symbols", About: "the two symbols, separated by a comma", Required: true},
				frequencyParam,
				rest.OneOf("method", "kind of correlation", "pearson", "spearman", "kendall"),
				rest.Param{
					Name:    "window",
					About:   "returns of each window",
					Type:    rest.Integer,
					Default: defaultRolling,
					Min:     2,
					Max:     maxRolling,
					Hint:    "63 daily ones are a quarter of a year",
				},
			),
		},
	}
}

var (
	symbolsParam   = rest.Param{Name: "symbols", About: "symbols of the matrix, separated by commas; all when left out"}
	frequencyParam = rest.OneOf("frequency", "time that one return covers", series.Daily, series.Weekly, series.Monthly)
)

// allMethods returns the methods of both kinds of matrix.
func allMethods() []string {
	all := slices.Concat(methods[kindCorrelation], methods[kindCovariance])
	slices.Sort(all)
	return slices.Compact(all)
}

func textsOf[T ~string](values ...T) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return texts
}

// Rebuild returns the command that rebuilds the read views.
func (s *Service) Rebuild() events.Typed { return Rebuild{} }

// subject is whose matrix it is.
type subject struct {
	portfolio string
	version   int64
	symbols   []string
	index     symbolIndex
}

// find resolves the symbols or the portfolio of a query, and reads their index.
func (s *Service) find(ctx context.Context, q query) (target subject, err error) {
	target.symbols = q.symbols
	if q.portfolio != "" {
		p, found, err := follower.Load(ctx, s.db.Read(), q.portfolio)
		if err == nil && !found {
			err = fault.NotFound("portfolio_unknown", "there is no portfolio %.64s", q.portfolio).
				WithHint("list the portfolios with: GET /v1/portfolios")
		}
		if err != nil {
			return target, err
		}
		target.portfolio, target.version = p.ID, p.Version
		for _, a := range p.Assets {
			target.symbols = append(target.symbols, a.Symbol)
		}
	}
	if err := tooMany(len(target.symbols)); err != nil {
		return target, err
	}
	target.index, err = loadIndex(ctx, s.db.Read(), target.symbols)
	if err != nil {
		return target, err
	}
	return target, target.complete()
}

// complete puts the index in the order of the symbols, and returns a fault when some are not stored.
func (w *subject) complete() error {
	if w.symbols == nil {
		for _, r := range w.index.rows {
			w.symbols = append(w.symbols, r.Symbol)
		}
		if len(w.symbols) == 0 {
			return fault.Conflict("prices_missing", "there are no returns of any symbol yet").
				WithHint("import prices with POST /v1/prices")
		}
		return tooMany(len(w.symbols))
	}
	rows := make(map[string]symbolRow, len(w.index.rows))
	for _, r := range w.index.rows {
		rows[r.Symbol] = r
	}
	w.index.rows = w.index.rows[:0]
	var missing []string
	for _, symbol := range w.symbols {
		r, ok := rows[symbol]
		if !ok {
			missing = append(missing, symbol)
		}
		w.index.rows = append(w.index.rows, r)
	}
	if len(missing) == 0 {
		return nil
	}
	list := strings.Join(missing[:min(len(missing), 20)], ", ")
	if w.portfolio != "" {
		return fault.Conflict("prices_missing", "there are no prices yet of %s", list).
			WithHint("import them with POST /v1/prices")
	}
	return fault.NotFound("symbol_unknown", "there are no prices of %s", list).
		WithHint("import prices with POST /v1/prices, or list the symbols with GET /v1/symbols")
}

// tag returns the entity tag of an answer: a hash of the query and of the data behind it. So every process returns the
// same tag.
func (w subject) tag(query string) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "1 %s %s %d %t\n", query, w.portfolio, w.version, w.index.total <= maxSummed)
	for _, r := range w.index.rows {
		_, _ = fmt.Fprintf(h, "%s %x\n", r.Symbol, r.Stamps)
	}
	return `"` + hex.EncodeToString(h.Sum(nil)[:16]) + `"`
}

func (s *Service) matrix(c echo.Context) error {
	q, err := read(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	target, err := s.find(ctx, q)
	if err != nil {
		return err
	}
	tag := target.tag(q.String())
	if rest.Matches(c, tag) {
		c.Response().Header().Set("ETag", tag)
		return c.NoContent(http.StatusNotModified)
	}
	var body []byte
	err = s.work.Do(ctx, target.steps(q), func() error {
		e, err := s.estimate(ctx, q, target)
		if err != nil {
			return err
		}
		body, err = answer(ctx, q, target, e)
		return err
	})
	if err != nil {
		return err
	}
	c.Response().Header().Set("ETag", tag)
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, body)
}

// estimate computes the matrix from exact sums where they suffice, and else from the returns themselves. The choice
// depends on the query and the data alone, since the last bits differ.
func (s *Service) estimate(ctx context.Context, q query, target subject) (estimate, error) {
	all, err := s.cache.load(ctx, s.db.Read(), target.index)
	if err != nil {
		return estimate{}, err
	}
	summed := q.summed() && target.index.total <= maxSummed
	for _, c := range all {
		summed = summed && c.countable && q.covers(c)
	}
	if summed {
		sums, err := s.sums.load(all, func() ([]*cachedSeries, error) { return s.allSeries(ctx) })
		switch {
		case errors.Is(err, series.ErrTooLarge): // the frame of all symbols
		case err != nil:
			return estimate{}, fmt.Errorf("bring the sums up to date: %w", err)
		default:
			e := fromSums(q, sums)
			e.first, e.last = extent(all)
			return e, enough(e, q)
		}
	}
	f, err := frame(all, q.window, q.frequency)
	if err != nil {
		return estimate{}, tooLarge(err)
	}
	if q.missing == quant.MissingZero {
		f = f.ByDay()
	}
	if pairs := len(all) * (len(all) + 1) / 2; float64(pairs)*float64(len(f.Rows)) > q.bound() {
		return estimate{}, fault.Invalid("symbols_too_many", "%d symbols with %d returns are too many for method=%s",
			len(all), f.Days(), q.method).
			WithHint("name fewer symbols, or choose a shorter window or a lower frequency")
	}
	if len(f.Rows) == 0 {
		return estimate{}, empty(q)
	}
	e, err := fromReturns(ctx, q, f)
	if err != nil {
		return estimate{}, err
	}
	e.first, e.last = f.Rows[0].Day, f.Rows[len(f.Rows)-1].Day
	return e, enough(e, q)
}

// steps returns the cost of an answer: the estimate of all pairs, and the decomposition and the order of the matrix.
func (w subject) steps(q query) float64 {
	n, days := float64(len(w.symbols)), 0
	for _, r := range w.index.rows {
		days = max(days, r.Days)
	}
	if q.summed() {
		days = 1
	}
	return n*(n+1)/2*q.steps(days) + n*n*n/3
}

// allSeries returns the series of all symbols.
func (s *Service) allSeries(ctx context.Context) ([]*cachedSeries, error) {
	c, err := loadIndex(ctx, s.db.Read(), nil)
	if err != nil {
		return nil, err
	}
	return s.cache.load(ctx, s.db.Read(), c)
}

// enough returns a fault when no cell of the matrix has two returns.
func enough(e estimate, q query) error {
	n := e.matrix.SymmetricDim()
	most := 0
	for i := range n {
		for j := i; j < n; j++ {
			most = max(most, e.observations(i, j))
		}
	}
	switch {
	case most == 0:
		return empty(q)
	case most < 2:
		return fault.Invalid("window_empty", "no symbol has two returns in the window, and a %s takes two", q.kind).
			WithHint("choose another from and to; GET /v1/symbols lists the first and the last day of each symbol")
	}
	return nil
}

func empty(q query) error {
	return fault.Invalid("window_empty", "the window has no returns, and a %s takes two", q.kind).
		WithHint("choose another from and to; GET /v1/symbols lists the first and the last day of each symbol")
}

func answer(ctx context.Context, q query, target subject, e estimate) ([]byte, error) {
	undefined, count := e.reasons(q, target.symbols)
	a := api.Correlations{
		PortfolioID:    target.portfolio,
		Version:        target.version,
		Symbols:        target.symbols,
		Frequency:      string(q.frequency),
		Kind:           q.kind,
		Method:         q.method,
		Target:         api.ShrinkageTarget(q.target),
		Shrinkage:      e.shrinkage,
		Missing:        string(q.missing),
		Span:           q.span,
		From:           &e.first,
		To:             &e.last,
		Linkage:        string(q.linkage),
		Undefined:      undefined,
		UndefinedCount: count,
	}
	if q.method == "semi" {
		a.Benchmark = &q.benchmark
	}
	err := ctx.Err() // the steps below cannot be cancelled
	if err != nil {
		return nil, err
	}
	if a.Semidefinite, a.Repaired, err = e.repair(q); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if a.Order, err = e.order(q, target.symbols); err != nil {
		return nil, err
	}
	return encode(a, e)
}
