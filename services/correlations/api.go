package correlations

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"stega/fault"
	"stega/quant"
	"stega/rest"
	"stega/series"
)

// Routes adds the service's paths below /v1.
func (s *Service) Routes(v1 *echo.Group, port rest.Service) {
	v1.GET("/correlations", s.matrix)
	v1.GET("/correlations/rolling", s.rolling)
	v1.POST("/rebuild/correlations", func(c echo.Context) error {
		if err := rest.Known(c); err != nil {
			return err
		}
		return rest.Write(c, port, Rebuild{}, s.Name(), rest.Hash(c, nil))
	})
}

// subject is whose matrix it is.
type subject struct {
	portfolio string
	version   int64
	symbols   []string
	census    census
}

// find finds out whose matrix is asked for.
func (s *Service) find(ctx context.Context, q query) (who subject, err error) {
	who.symbols = q.symbols
	if q.portfolio != "" {
		p, found, err := loadPortfolio(ctx, s.db.Read(), q.portfolio)
		if err == nil && !found {
			err = fault.NotFound("portfolio_unknown", "there is no portfolio %.64s", q.portfolio).WithHint("list them with: GET /v1/portfolios")
		}
		if err != nil {
			return who, err
		}
		who.portfolio, who.version = p.ID, p.Version
		for _, a := range p.Assets {
			who.symbols = append(who.symbols, a.Symbol)
		}
	}
	if err := tooMany(len(who.symbols)); err != nil {
		return who, err
	}
	who.census, err = count(ctx, s.db.Read(), who.symbols)
	if err != nil {
		return who, err
	}
	return who, who.complete()
}

// complete puts the census in the order of the symbols, and says which of them are not there.
func (w *subject) complete() error {
	if w.symbols == nil {
		for _, r := range w.census.rows {
			w.symbols = append(w.symbols, r.Symbol)
		}
		if len(w.symbols) == 0 {
			return fault.Conflict("prices_missing", "there are no returns of any symbol yet").WithHint("import prices with POST /v1/prices")
		}
		return tooMany(len(w.symbols))
	}
	rows := make(map[string]symbolRow, len(w.census.rows))
	for _, r := range w.census.rows {
		rows[r.Symbol] = r
	}
	w.census.rows = w.census.rows[:0]
	var missing []string
	for _, symbol := range w.symbols {
		r, ok := rows[symbol]
		if !ok {
			missing = append(missing, symbol)
		}
		w.census.rows = append(w.census.rows, r)
	}
	if len(missing) == 0 {
		return nil
	}
	list := strings.Join(missing[:min(len(missing), 20)], ", ")
	if w.portfolio != "" {
		return fault.Conflict("prices_missing", "there are no prices yet of %s", list).WithHint("import them with POST /v1/prices")
	}
	return fault.NotFound("symbol_unknown", "there are no prices of %s", list).
		WithHint("import some with POST /v1/prices, or list what there is with GET /v1/symbols")
}

// tag is the entity tag of an answer: a hash of the question and of all that the answer is made of, so it is the same
// wherever it is made.
func (w subject) tag(question string) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "1 %s %s %d %t\n", question, w.portfolio, w.version, w.census.total <= maxUniverse)
	for _, r := range w.census.rows {
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
	who, err := s.find(ctx, q)
	if err != nil {
		return err
	}
	tag := who.tag(q.String())
	if rest.Matches(c, tag) {
		c.Response().Header().Set("ETag", tag)
		return c.NoContent(http.StatusNotModified)
	}
	var body []byte
	err = s.work.Do(ctx, who.steps(q), func() error {
		e, err := s.estimate(ctx, q, who)
		if err != nil {
			return err
		}
		body, err = answer(ctx, q, who, e)
		return err
	})
	if err != nil {
		return err
	}
	c.Response().Header().Set("ETag", tag)
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, body)
}

// estimate makes the matrix: of the sums of the universe where these have all that it takes, and of the returns
// themselves where not. Which of the two it is depends on the question and on the data alone, as the last bits of the
// figures differ.
func (s *Service) estimate(ctx context.Context, q query, who subject) (estimate, error) {
	all, err := s.memory.of(ctx, s.db.Read(), who.census)
	if err != nil {
		return estimate{}, err
	}
	summed := q.summed() && who.census.total <= maxUniverse
	for _, h := range all {
		summed = summed && h.countable && q.whole(h)
	}
	if summed {
		sums, err := s.universe.of(all, func() ([]*held, error) { return s.everyone(ctx) })
		switch {
		case errors.Is(err, series.ErrTooLarge): // of all symbols together
		case err != nil:
			return estimate{}, fmt.Errorf("bring the sums up to date: %w", err)
		default:
			e := exact(q, sums)
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
		return estimate{}, fault.Invalid("symbols_too_many", "%d symbols with %d returns are too many for method=%s", len(all), f.Days(), q.method).
			WithHint("name fewer symbols, or choose a shorter window or a lower frequency")
	}
	if len(f.Rows) == 0 {
		return estimate{}, empty(q)
	}
	e, err := estimated(ctx, q, f)
	if err != nil {
		return estimate{}, err
	}
	e.first, e.last = f.Rows[0].Day, f.Rows[len(f.Rows)-1].Day
	return e, enough(e, q)
}

// steps is what an answer costs: the estimate of all pairs, and the decomposition and the order of the matrix.
func (w subject) steps(q query) float64 {
	n, days := float64(len(w.symbols)), 0
	for _, r := range w.census.rows {
		days = max(days, r.Days)
	}
	if q.summed() {
		days = 1
	}
	return n*(n+1)/2*q.steps(days) + n*n*n/3
}

// everyone is the series of all symbols.
func (s *Service) everyone(ctx context.Context) ([]*held, error) {
	c, err := count(ctx, s.db.Read(), nil)
	if err != nil {
		return nil, err
	}
	return s.memory.of(ctx, s.db.Read(), c)
}

// enough refuses a matrix that has nothing in it.
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
			WithHint("choose another from and to; GET /v1/symbols says from when to when there are prices")
	}
	return nil
}

func empty(q query) error {
	return fault.Invalid("window_empty", "the window has no returns, and a %s takes two", q.kind).
		WithHint("choose another from and to; GET /v1/symbols says from when to when there are prices")
}

func answer(ctx context.Context, q query, who subject, e estimate) ([]byte, error) {
	undefined, count := e.reasons(q, who.symbols)
	a := Matrix{
		PortfolioID: who.portfolio, Version: who.version, Symbols: who.symbols, Frequency: q.frequency, Kind: q.kind, Method: q.method, Target: q.target, Shrinkage: e.shrinkage,
		Missing: q.missing, Span: q.span, From: &e.first, To: &e.last, Linkage: q.linkage, Undefined: undefined, UndefinedCount: count,
	}
	if q.method == "semi" {
		a.Benchmark = &q.benchmark
	}
	err := ctx.Err() // before what looks at it no more
	if err != nil {
		return nil, err
	}
	if a.Semidefinite, a.Repaired, err = e.repair(q); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if a.Order, err = e.order(q, who.symbols); err != nil {
		return nil, err
	}
	return a.body(e)
}
