package returns

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/govalues/decimal"
	"github.com/uptrace/bun"

	"stega/civil"
	"stega/events"
	"stega/store"
)

// row is a row of the table series: one year of a symbol.
type row struct {
	bun.BaseModel `bun:"table:series"`

	Symbol   string `bun:",pk"`
	Year     int    `bun:",pk"`
	FirstDay civil.Date
	LastDay  civil.Date
	Days     int
	Format   int
	Data     []byte
}

// years holds the rows of a symbol, by year, and which of them are still to be saved.
type years struct {
	rows    map[int]*row
	dirty   []int // years that changed
	removed []int // years without points
	// close is the exact close of the last day, when this unit of work has it.
	close decimal.NullDecimal
}

// loadYears reads the years of symbols. It reads points only for the years of the given days and the stored years next
// to them, which merge and around need. A symbol that is not stored has no years.
func loadYears(ctx context.Context, tx *store.Tx, symbols []string, from, to civil.Date) (map[string]*years, error) {
	all := make(map[string]*years, len(symbols))
	for _, symbol := range symbols {
		all[symbol] = &years{rows: map[int]*row{}}
	}
	var rows []row
	err := tx.NewSelect().Model(&rows).Column("symbol", "year", "first_day", "last_day", "days", "format").
		ColumnExpr(`CASE WHEN
		year >= coalesce((SELECT max(s.year) FROM series AS s WHERE s.symbol = ?TableAlias.symbol AND s.year < ?0),
			?0) AND
		year <= coalesce((SELECT min(s.year) FROM series AS s WHERE s.symbol = ?TableAlias.symbol AND s.year > ?1), ?1)
		THEN data END AS data`,
			from.Year(), to.Year()).Where("symbol IN (?)", bun.List(slices.Collect(maps.Keys(all)))).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("read series: %w", err)
	}
	for i := range rows {
		all[rows[i].Symbol].rows[rows[i].Year] = &rows[i]
	}
	return all, nil
}

// merge merges points into their years and returns those that are new or differ.
func (y *years) merge(points []point) (changed []point, err error) {
	for len(points) > 0 {
		year := points[0].day.Year()
		n, _ := slices.BinarySearchFunc(points, civil.Of(year+1, 1, 1), byDay)
		var old []point
		if r := y.rows[year]; r != nil {
			if old, err = r.unpack(make([]point, 0, r.Days+n)); err != nil {
				return nil, err
			}
		}
		all, differ := merge(old, points[:n])
		points = points[n:]
		if len(differ) == 0 {
			continue
		}
		changed = append(changed, differ...)
		y.rows[year] = &row{
			Year: year, FirstDay: all[0].day, LastDay: all[len(all)-1].day, Days: len(all), Format: currentFormat,
			Data: pack(all),
		}
		y.dirty = append(y.dirty, year)
	}
	return changed, nil
}

var upsertYear = store.NewUpsert("series", 2, "symbol", "year", "first_day", "last_day", "days", "format", "data")

// replace replaces the points from one day to another. It returns those that are new or differ; whole is true when
// days were removed or could not be read.
func (y *years) replace(points []point, from, to civil.Date) (changed []point, whole bool) {
	touched := map[int]bool{}
	for year := range y.rows {
		if year >= from.Year() && year <= to.Year() {
			touched[year] = true
		}
	}
	for _, p := range points {
		touched[p.day.Year()] = true
	}
	for _, year := range slices.Sorted(maps.Keys(touched)) {
		n, _ := slices.BinarySearchFunc(points, civil.Of(year+1, 1, 1), byDay)
		part := points[:n]
		points = points[n:]
		r := y.rows[year]
		old, damaged := y.readYear(year)
		start, _ := slices.BinarySearchFunc(old, from, byDay)
		end, _ := slices.BinarySearchFunc(old, to+1, byDay)
		inside, differ := merge(old[start:end], part)
		changed = append(changed, differ...)
		whole = whole || damaged || len(inside) > len(part)
		all := slices.Concat(old[:start], part, old[end:])
		if len(all) == 0 {
			delete(y.rows, year)
			y.removed = append(y.removed, year)
			continue
		}
		fixed := &row{
			Year: year, FirstDay: all[0].day, LastDay: all[len(all)-1].day, Days: len(all), Format: currentFormat,
			Data: pack(all),
		}
		if r == nil || r.FirstDay != fixed.FirstDay || r.LastDay != fixed.LastDay || r.Days != fixed.Days ||
			r.Format != fixed.Format || !bytes.Equal(r.Data, fixed.Data) {
			y.rows[year] = fixed
			y.dirty = append(y.dirty, year)
		}
	}
	return changed, whole
}

// readYear returns the points of a year. They are damaged when they cannot be decoded, lie in another year or are not
// in order.
func (y *years) readYear(year int) (points []point, damaged bool) {
	r := y.rows[year]
	if r == nil {
		return nil, false
	}
	points, err := r.unpack(nil)
	if err != nil || len(points) == 0 {
		return nil, true
	}
	for i, p := range points {
		if p.day.Year() != year || i > 0 && p.day <= points[i-1].day {
			return nil, true
		}
	}
	return points, false
}

// save queues the writes of all changed and removed years of a symbol.
func (y *years) save(ctx context.Context, tx *store.Tx, symbol string) error {
	if len(y.removed) > 0 { // earlier writes of these years must reach the database before the deletion
		if err := tx.Flush(ctx); err != nil {
			return err
		}
		tx.Queue(tx.NewRaw("DELETE FROM series WHERE symbol = ? AND year IN (?)", symbol, bun.List(y.removed)))
		y.removed = nil
	}
	for _, year := range y.dirty {
		r := y.rows[year]
		tx.Put(upsertYear, symbol, r.Year, int32(r.FirstDay), int32(r.LastDay), r.Days, r.Format, r.Data)
	}
	y.dirty = nil
	return nil
}

var upsertClose = store.NewUpsert("closes", 1, "symbol", "day", "close")

// saveClose stores the exact close of the last day if an event, which has been merged, has that day.
func (y *years) saveClose(ctx context.Context, tx *store.Tx, e events.PricesImported) error {
	_, last, days := y.extent()
	if days == 0 {
		if err := tx.Flush(ctx); err != nil { // earlier writes must not follow the deletion
			return err
		}
		tx.Queue(tx.NewRaw("DELETE FROM closes WHERE symbol = ?", e.Symbol))
		return nil
	}
	if n := len(e.Days); n > 0 && e.Days[n-1] == last {
		y.close = e.Close[n-1]
		tx.Put(upsertClose, e.Symbol, int32(last), y.close.Decimal.String())
	}
	return nil
}

// storedClose reads the exact close that is stored of a symbol; none when it is of another day.
func storedClose(
	ctx context.Context, db bun.IDB, symbol string, day civil.Date,
) (price decimal.NullDecimal, err error) {
	var text string
	err = db.NewSelect().Table("closes").Column("close").Where("symbol = ?", symbol).Where("day = ?", int32(day)).
		Scan(ctx, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return price, nil
	}
	if err != nil {
		return price, fmt.Errorf("read the last close of %s: %w", symbol, err)
	}
	price.Decimal, err = decimal.Parse(text)
	price.Valid = err == nil
	return price, nil // a damaged close is none
}

// loadClose sets the exact close of the last point. Where none is stored that agrees with the point, it is the shortest
// decimal with the same floating-point value: the exact close, if that has at most 15 digits.
func (y *years) loadClose(ctx context.Context, db bun.IDB, symbol string, last point) error {
	if y.close.Valid {
		return nil
	}
	price, err := storedClose(ctx, db, symbol, last.day)
	if err != nil {
		return err
	}
	if !price.Valid || valueOf(events.Column{price}, 0) != last.close {
		price.Decimal, err = decimal.NewFromFloat64(last.close)
		price.Valid = err == nil
	}
	y.close = price
	return nil
}

// around returns the points from one day to another with the one after them, and the point before them, or nil.
func (y *years) around(from, to civil.Date) (points []point, before *point, err error) {
	var past *row // the last year that ends before from
	for _, year := range slices.Sorted(maps.Keys(y.rows)) {
		r := y.rows[year]
		if r.LastDay < from {
			past = r
			continue
		}
		if points, err = r.unpack(points); err != nil {
			return nil, nil, err
		}
		if r.LastDay > to {
			break
		}
	}
	start, _ := slices.BinarySearchFunc(points, from, byDay)
	end, found := slices.BinarySearchFunc(points, to, byDay)
	if found {
		end++
	}
	switch {
	case start > 0:
		before = &points[start-1]
	case past != nil:
		earlier, err := past.unpack(nil)
		if err != nil {
			return nil, nil, err
		}
		before = &earlier[len(earlier)-1]
	}
	return points[start:min(end+1, len(points))], before, nil
}

// byDay compares the day of a point with a day.
func byDay(p point, day civil.Date) int { return int(p.day - day) }

// extent returns the first day, the last day and the number of days with a price.
func (y *years) extent() (first, last civil.Date, days int) {
	for _, r := range y.rows {
		if days == 0 || r.FirstDay < first {
			first = r.FirstDay
		}
		if days == 0 || r.LastDay > last {
			last = r.LastDay
		}
		days += r.Days
	}
	return first, last, days
}

// window reads the points of a symbol from one day to another; nil leaves an end open.
func window(ctx context.Context, db bun.IDB, symbol string, from, to *civil.Date) ([]point, error) {
	var rows []row
	query := db.NewSelect().Model(&rows).Column("year", "days", "format", "data").Where("symbol = ?", symbol).
		OrderExpr("year")
	if from != nil {
		query = query.Where("last_day >= ?", int32(*from))
	}
	if to != nil {
		query = query.Where("first_day <= ?", int32(*to))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("read the series of %s: %w", symbol, err)
	}
	n := 0
	for _, r := range rows {
		n += r.Days
	}
	points := make([]point, 0, n)
	for i := range rows {
		var err error
		if points, err = rows[i].unpack(points); err != nil {
			return nil, fmt.Errorf("read the series of %s: %w", symbol, err)
		}
	}
	return slices.DeleteFunc(points, func(p point) bool {
		return from != nil && p.day < *from || to != nil && p.day > *to
	}), nil
}

// priced reports whether a symbol has a price on any day.
func priced(ctx context.Context, db bun.IDB, symbol string) (bool, error) {
	return db.NewSelect().Table("series").Where("symbol = ?", symbol).Exists(ctx)
}

// unpriced lists the symbols of assets that have no price yet.
func unpriced(ctx context.Context, db bun.IDB, assets []events.Asset) ([]string, error) {
	symbols := make([]string, len(assets))
	for i, a := range assets {
		symbols[i] = a.Symbol
	}
	var have []string
	err := db.NewSelect().Table("series").ColumnExpr("DISTINCT symbol").Where("symbol IN (?)", bun.List(symbols)).
		Scan(ctx, &have)
	if err != nil {
		return nil, fmt.Errorf("find symbols with prices: %w", err)
	}
	return slices.DeleteFunc(symbols, func(s string) bool { return slices.Contains(have, s) }), nil
}

// holders lists the ids of the portfolios that hold a symbol.
func holders(ctx context.Context, db bun.IDB, symbol string) ([]string, error) {
	var ids []string
	err := db.NewSelect().Table("holdings").Column("portfolio_id").Where("symbol = ?", symbol).
		OrderExpr("portfolio_id").
		Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("find portfolios that hold %s: %w", symbol, err)
	}
	return ids, nil
}
