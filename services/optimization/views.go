package optimization

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/govalues/decimal"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/series"
	"stega/services/internal/follower"
	"stega/store"
	"stega/text"
)

// seriesRow is a row of the table series: one year of a symbol.
type seriesRow struct {
	bun.BaseModel `bun:"table:series"`

	Symbol   string `bun:",pk"`
	Year     int    `bun:",pk"`
	FirstDay civil.Date
	LastDay  civil.Date
	Days     int
	Data     []byte
}

// loadYears reads the stored years of symbols from one day to another.
func loadYears(
	ctx context.Context, tx *store.Tx, symbols []string, from, to civil.Date,
) (map[string]map[int]seriesRow, error) {
	var rows []seriesRow
	err := tx.NewSelect().Model(&rows).Where("symbol IN (?)", bun.List(symbols)).
		Where("year BETWEEN ? AND ?", from.Year(), to.Year()).Scan(ctx)
	if err != nil {
		return nil, err
	}
	all := make(map[string]map[int]seriesRow, len(symbols))
	for _, symbol := range symbols {
		all[symbol] = map[int]seriesRow{}
	}
	for _, r := range rows {
		all[r.Symbol][r.Year] = r
	}
	return all, nil
}

// yearsFor returns the years of the symbol of an event, as this unit of work has changed them. It reads the years of
// all events of the unit at once.
func yearsFor(ctx context.Context, tx *store.Tx, e events.AssetUpdated) (map[int]seriesRow, error) {
	all, err := store.Shared(tx, "years", func() (map[string]map[int]seriesRow, error) {
		symbols := []string{e.Symbol}
		from, to := spanOf(e)
		for _, other := range store.Expected[events.AssetUpdated](tx) {
			if len(other.Days) > 0 || other.Replay != nil { // its handler checks the rest of it
				first, last := spanOf(other)
				symbols, from, to = append(symbols, other.Symbol), min(from, first), max(to, last)
			}
		}
		return loadYears(ctx, tx, symbols, from, to)
	})
	if err != nil {
		return nil, err
	}
	if years := all[e.Symbol]; years != nil {
		return years, nil
	}
	from, to := spanOf(e)
	one, err := loadYears(ctx, tx, []string{e.Symbol}, from, to)
	return one[e.Symbol], err
}

// spanOf returns the days that an event may change. A replayed event may change all, since any stored day may be wrong.
func spanOf(e events.AssetUpdated) (from, to civil.Date) {
	if e.Replay != nil {
		return (&events.Replay{}).Span()
	}
	return e.Days[0], e.Days[len(e.Days)-1]
}

// replaceSeries replaces the points from one day to another by points, which are ordered. It returns the years that
// changed and the years that are left without points.
func replaceSeries(
	old map[int]seriesRow, symbol string, points []series.Point, from, to civil.Date,
) (changed []seriesRow, gone []int) {
	parts := map[int][]series.Point{}
	for year := range old {
		if year >= from.Year() && year <= to.Year() {
			parts[year] = nil
		}
	}
	for year, part := range series.Years(points) {
		parts[year] = part
	}
	for _, year := range slices.Sorted(maps.Keys(parts)) {
		r := old[year]
		before := readYear(year, r.Data)
		start, _ := slices.BinarySearchFunc(before, from, series.ByDay)
		end, _ := slices.BinarySearchFunc(before, to+1, series.ByDay)
		all := slices.Concat(before[:start], parts[year], before[end:])
		if len(all) == 0 {
			delete(old, year)
			gone = append(gone, year)
			continue
		}
		fixed := seriesRow{
			Symbol: symbol, Year: year, FirstDay: all[0].Day, LastDay: all[len(all)-1].Day, Days: len(all),
			Data: series.Pack(make([]byte, 0, 10*len(all)), series.NewYear(year), all),
		}
		if fixed.FirstDay != r.FirstDay || fixed.LastDay != r.LastDay || fixed.Days != r.Days ||
			!bytes.Equal(fixed.Data, r.Data) {
			old[year] = fixed
			changed = append(changed, fixed)
		}
	}
	return changed, gone
}

// readYear returns the points of a packed year, or none when they are damaged.
func readYear(year int, data []byte) []series.Point {
	points, err := series.Unpack(nil, year, data)
	if err != nil {
		return nil
	}
	for i, p := range points {
		if p.Day < series.NewYear(year) || p.Day >= series.NewYear(year+1) || i > 0 && p.Day <= points[i-1].Day {
			return nil
		}
	}
	return points
}

// mergeSeries merges points, which are ordered, into the years of a symbol. It returns the years that changed.
func mergeSeries(old map[int]seriesRow, symbol string, points []series.Point) ([]seriesRow, error) {
	var changed []seriesRow
	for year, part := range series.Years(points) {
		var before []series.Point
		if r, ok := old[year]; ok {
			var err error
			if before, err = unpack(make([]series.Point, 0, r.Days), year, r.Data); err != nil {
				return nil, err
			}
		}
		all, differs := series.Merge(before, part)
		if differs {
			old[year] = seriesRow{
				Symbol: symbol, Year: year, FirstDay: all[0].Day, LastDay: all[len(all)-1].Day, Days: len(all),
				Data: series.Pack(make([]byte, 0, 10*len(all)), series.NewYear(year), all),
			}
			changed = append(changed, old[year])
		}
	}
	return changed, nil
}

var (
	upsertYear     = store.NewUpsert("series", 2, "symbol", "year", "first_day", "last_day", "days", "data")
	upsertRevision = store.NewUpsert("symbols", 1, "symbol", "revision", "changed_at").
			Setting("revision = symbols.revision + 1, changed_at = excluded.changed_at")
)

// saveSeries queues the writes of years and raises the revision of their symbol.
func saveSeries(tx *store.Tx, symbol string, rows []seriesRow) {
	tx.Put(upsertRevision, symbol, 1, tx.Now().UnixMicro())
	for _, r := range rows {
		tx.Put(upsertYear, symbol, r.Year, int32(r.FirstDay), int32(r.LastDay), r.Days, r.Data)
	}
}

// loadSeries reads the points of symbols from one day to another, from the years that have such days; nil leaves an end
// open.
func loadSeries(
	ctx context.Context, db bun.IDB, symbols []string, from, to *civil.Date,
) (map[string][]series.Point, error) {
	var rows []seriesRow
	query := db.NewSelect().Model(&rows).Column("symbol", "year", "data").Where("symbol IN (?)", bun.List(symbols)).
		OrderExpr("symbol, year")
	if from != nil {
		query = query.Where("last_day >= ?", int32(*from))
	}
	if to != nil {
		query = query.Where("first_day <= ?", int32(*to))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("read returns: %w", err)
	}
	all := make(map[string][]series.Point, len(symbols))
	for _, r := range rows {
		points, err := unpack(all[r.Symbol], r.Year, r.Data)
		if err != nil {
			return nil, fmt.Errorf("read the returns of %s: %w", r.Symbol, err)
		}
		all[r.Symbol] = points
	}
	for symbol, points := range all {
		all[symbol] = slices.DeleteFunc(points, func(p series.Point) bool {
			return from != nil && p.Day < *from || to != nil && p.Day > *to
		})
	}
	return all, nil
}

// unknownSymbols lists the symbols that have no return on any day.
func unknownSymbols(ctx context.Context, db bun.IDB, symbols []string) ([]string, error) {
	var known []string
	err := db.NewSelect().Table("symbols").Column("symbol").Where("symbol IN (?)", bun.List(symbols)).
		OrderExpr("symbol").
		Scan(ctx, &known)
	if err != nil {
		return nil, fmt.Errorf("find symbols with returns: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(symbols), func(s string) bool {
		_, found := slices.BinarySearch(known, s)
		return found
	}), nil
}

// revisions returns the version of a portfolio and the revisions of symbols as one text, which changes with each of
// them. In a unit of work it locks them until the unit ends.
func revisions(ctx context.Context, db bun.IDB, portfolioID string, symbols []string) (string, error) {
	lock := ""
	if _, inside := db.(*store.Tx); inside && db.Dialect().Name() == dialect.PG {
		lock = " FOR SHARE"
	}
	var version int64
	if portfolioID != "" {
		err := db.NewRaw("SELECT version FROM portfolios WHERE id = ?"+lock, portfolioID).Scan(ctx, &version)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return "", fmt.Errorf("read the version of portfolio %s: %w", portfolioID, err)
		}
	}
	var rows []struct {
		Symbol   string
		Revision int64
	}
	err := db.NewRaw("SELECT symbol, revision FROM symbols WHERE symbol IN (?) ORDER BY symbol"+lock,
		bun.List(symbols)).
		Scan(ctx, &rows)
	if err != nil {
		return "", fmt.Errorf("read revisions: %w", err)
	}
	var b strings.Builder
	_, _ = fmt.Fprint(&b, version)
	for _, r := range rows {
		_, _ = fmt.Fprintf(&b, " %s:%d", r.Symbol, r.Revision)
	}
	return b.String(), nil
}

// lastClose is the last close of a symbol.
type lastClose struct {
	Symbol string
	Day    civil.Date
	Close  string
}

// closes reads the last closes of symbols.
func closes(ctx context.Context, db bun.IDB, symbols []string) (map[string]lastClose, error) {
	var rows []lastClose
	err := db.NewSelect().Table("closes").Column("symbol", "day", "close").Where("symbol IN (?)", bun.List(symbols)).
		Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("read the last prices: %w", err)
	}
	all := make(map[string]lastClose, len(rows))
	for _, r := range rows {
		all[r.Symbol] = r
	}
	return all, nil
}

// loadPortfolio returns the stored copy of a portfolio; a fault of kind not found when there is none.
func loadPortfolio(ctx context.Context, db bun.IDB, id string) (events.Portfolio, error) {
	p, found, err := follower.Load(ctx, db, id)
	if err == nil && !found {
		err = fault.NotFound("portfolio_unknown", "there is no portfolio %.64s", id).
			WithHint(
				"list the portfolios with: GET /v1/portfolios; a new one is available once its operation is settled")
	}
	return p, err
}

// weightsOf returns the weights of a portfolio as floats.
func weightsOf(p events.Portfolio) map[string]float64 {
	weights := make(map[string]float64, len(p.Assets))
	for _, a := range p.Assets {
		weights[a.Symbol], _ = a.Weight.Float64()
	}
	return weights
}

// row is a row of the table optimizations.
type row struct {
	bun.BaseModel `bun:"table:optimizations"`

	ID          string `bun:",pk"`
	Name        string
	Folded      string // the case-folded name, for lookups
	Objective   string
	PortfolioID string
	Follow      int
	Status      store.OperationStatus
	Inputs      string `bun:"asked"`
	Answer      string
	Error       string
	Seen        string
	Runs        int64
	ChangedAt   int64
	QueuedAt    int64
	CreatedAt   int64
	UpdatedAt   int64
}

// find reads an optimization, or returns nil. In a unit of work it locks the row.
func find(ctx context.Context, db bun.IDB, id string) (*row, error) {
	var r row
	query := db.NewSelect().Model(&r).Where("id = ?", id)
	if _, inside := db.(*store.Tx); inside && db.Dialect().Name() == dialect.PG {
		query = query.For("UPDATE")
	}
	err := query.Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // no such optimization
	}
	if err != nil {
		return nil, fmt.Errorf("read optimization %s: %w", id, err)
	}
	return &r, nil
}

// unknown returns the fault of an optimization that does not exist.
func unknown(id string) error {
	return fault.NotFound("optimization_unknown", "there is no optimization %.64s", id).
		WithHint("list them with: GET /v1/optimizations")
}

// request decodes the request of a row.
func (r *row) request() (Request, error) {
	var request Request
	if err := json.Unmarshal([]byte(r.Inputs), &request); err != nil {
		return request, fmt.Errorf("read the request of optimization %s: %w", r.ID, err)
	}
	return request, nil
}

// save queues the write of a row, new or old.
func save(tx *store.Tx, r *row) {
	tx.Queue(tx.NewInsert().Model(r).On("CONFLICT (id) DO UPDATE").Set("follow = EXCLUDED.follow").
		Set("status = EXCLUDED.status").
		Set("answer = EXCLUDED.answer").Set("error = EXCLUDED.error").Set("seen = EXCLUDED.seen").
		Set("runs = EXCLUDED.runs").
		Set("changed_at = EXCLUDED.changed_at").Set("queued_at = EXCLUDED.queued_at").
		Set("updated_at = EXCLUDED.updated_at"))
}

// list reads at most limit optimizations, the newest first, that are older than before.
func list(ctx context.Context, db bun.IDB, limit int, before, portfolioID, name string) ([]row, error) {
	var rows []row
	query := db.NewSelect().Model(&rows).OrderExpr("id DESC").Limit(int64(limit))
	if before != "" {
		query = query.Where("id < ?", before)
	}
	if portfolioID != "" {
		query = query.Where("portfolio_id = ?", portfolioID)
	}
	if name != "" {
		query = query.Where("folded = ?", text.Fold(name))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list optimizations: %w", err)
	}
	return rows, nil
}

// price parses an exact price.
func price(symbol, text string) (decimal.Decimal, error) {
	d, err := decimal.Parse(text)
	if err != nil {
		return d, fmt.Errorf("read the price of %s: %w", symbol, err)
	}
	return d, nil
}
