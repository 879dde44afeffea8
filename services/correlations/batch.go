package correlations

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"stega/bus"
	"stega/civil"
	"stega/events"
	"stega/series"
	"stega/store"
)

// batch collects the returns of the messages of one unit of work. It reads all rows that they need at once, and writes
// all changes at once.
type batch struct {
	points map[string][]series.Point
	spans  map[string][]span // days whose returns are replaced

	skip func(ctx context.Context, tx *store.Tx, failure error) error // handles the failure of a damaged series

	rows     map[string]*symbolRow
	changed  map[string]bool
	replaced []seriesRow // years that are written as a whole
	appended []seriesRow // data that is appended to years
}

// span is a range of days, both inclusive.
type span struct{ from, to civil.Date }

func (s span) has(day civil.Date) bool { return s.from <= day && day <= s.to }

// add adds the returns of an event. Those of a replay take the place of earlier ones of its days.
func (b *batch) add(e events.AssetUpdated) {
	points := series.Of(e.Days, e.Returns)
	if b.points == nil {
		b.points, b.spans = map[string][]series.Point{}, map[string][]span{}
	}
	if e.Replay != nil {
		from, to := e.Replay.Span()
		all := span{from, to}
		b.spans[e.Symbol] = append(b.spans[e.Symbol], all)
		b.points[e.Symbol] = slices.DeleteFunc(b.points[e.Symbol], func(p series.Point) bool { return all.has(p.Day) })
	}
	if before := b.points[e.Symbol]; len(before) > 0 {
		points, _ = series.Merge(before, points)
	}
	b.points[e.Symbol] = points
}

// part holds the new points of one year of a symbol.
type part struct {
	symbol string
	year   int
	points []series.Point
}

// merge merges the points into the tables and returns the symbols whose series changed, in order.
func (b *batch) merge(ctx context.Context, tx *store.Tx) ([]string, error) {
	symbols := slices.Sorted(maps.Keys(b.points))
	var err error
	if b.rows, err = loadSymbols(ctx, tx, symbols, func(symbol string) bool {
		return len(b.spans[symbol]) > 0
	}); err != nil {
		return nil, err
	}
	b.changed = map[string]bool{}
	over := map[int][]part{} // parts within stored years, by year
	var replaced []string
	for _, symbol := range symbols {
		if len(b.spans[symbol]) > 0 {
			replaced = append(replaced, symbol)
			continue
		}
		for year, points := range series.Years(b.points[symbol]) {
			if p := (part{symbol, year, points}); !b.extend(p) {
				over[year] = append(over[year], p)
			}
		}
	}
	for _, year := range slices.Sorted(maps.Keys(over)) {
		if err := b.mergeYear(ctx, tx, year, over[year]); err != nil {
			return nil, err
		}
	}
	if err := b.replaceSymbols(ctx, tx, replaced); err != nil {
		return nil, err
	}
	return b.save(tx), nil
}

// replaceSymbols replaces everything stored of the replayed days of symbols.
func (b *batch) replaceSymbols(ctx context.Context, tx *store.Tx, symbols []string) error {
	if len(symbols) == 0 {
		return nil
	}
	var rows []seriesRow
	if err := tx.NewSelect().Model(&rows).Where("symbol IN (?)", bun.List(symbols)).Scan(ctx); err != nil {
		return fmt.Errorf("read the returns that are replaced: %w", err)
	}
	old := map[string]map[int][]byte{}
	for _, r := range rows {
		if old[r.Symbol] == nil {
			old[r.Symbol] = map[int][]byte{}
		}
		old[r.Symbol][r.Year] = r.Data
	}
	for _, symbol := range symbols {
		if err := b.replaceSymbol(ctx, tx, symbol, old[symbol]); err != nil {
			return err
		}
	}
	return nil
}

// replaceSymbol replaces the replayed days of a symbol; old has its stored years.
func (b *batch) replaceSymbol(ctx context.Context, tx *store.Tx, symbol string, old map[int][]byte) error {
	var all []series.Point
	for _, year := range slices.Sorted(maps.Keys(old)) {
		points, err := series.Unpack(nil, year, old[year])
		if err != nil { // a damaged year is dropped
			continue
		}
		for _, p := range points {
			inside := func(s span) bool { return s.has(p.Day) }
			if p.Day >= series.NewYear(year) && p.Day < series.NewYear(year+1) &&
				!slices.ContainsFunc(b.spans[symbol], inside) &&
				(len(all) == 0 || p.Day > all[len(all)-1].Day) {
				all = append(all, p)
			}
		}
	}
	all, _ = series.Merge(all, b.points[symbol])
	fixed, was := symbolRow{Symbol: symbol}, b.rows[symbol]
	for year, points := range series.Years(all) {
		data := series.Pack(make([]byte, 0, 9*len(points)+8), series.NewYear(year), points)
		fixed.stamps = append(fixed.stamps, stamp{year, hashed(hashStart, data)})
		fixed.grow(points, len(points))
		if !bytes.Equal(data, old[year]) {
			b.replaced = append(b.replaced, seriesRow{Symbol: symbol, Year: year, Data: data})
			b.changed[symbol] = true
		}
		delete(old, year)
	}
	if was != nil && (fixed.FirstDay != was.FirstDay || fixed.LastDay != was.LastDay || fixed.Days != was.Days ||
		!bytes.Equal(packStamps(fixed.stamps), was.Stamps)) {
		b.changed[symbol] = true
	}
	b.rows[symbol] = &fixed
	if len(old) == 0 && len(all) > 0 {
		if was == nil {
			b.changed[symbol] = true
		}
		return nil
	}
	if len(old) == 0 && was == nil {
		return nil
	}
	b.changed[symbol] = true
	if err := tx.Flush(ctx); err != nil { // earlier writes must not follow the deletion
		return err
	}
	tx.Queue(
		tx.NewRaw(
			"DELETE FROM series WHERE symbol = ? AND year IN (?)", symbol,
			bun.List(append(slices.Collect(maps.Keys(old)), 0)),
		),
	)
	if len(all) == 0 {
		tx.Queue(tx.NewRaw("DELETE FROM symbols WHERE symbol = ?", symbol))
	}
	return nil
}

// change returns the row of a symbol, to be changed.
func (b *batch) change(symbol string) *symbolRow {
	b.changed[symbol] = true
	r := b.rows[symbol]
	if r == nil {
		r = &symbolRow{Symbol: symbol}
		b.rows[symbol] = r
	}
	return r
}

// extend begins a year or appends to the last one, for which it reads nothing. It returns false when the points lie
// within stored days.
func (b *batch) extend(p part) bool {
	at, found := 0, false
	if r := b.rows[p.symbol]; r != nil {
		if at, found = find(r.stamps, p.year); found && p.points[0].Day <= r.LastDay {
			return false
		}
	}
	r := b.change(p.symbol)
	since, hash := series.NewYear(p.year), uint64(hashStart)
	if found {
		since, hash = r.LastDay, r.stamps[at].hash
	}
	data := series.Pack(make([]byte, 0, 9*len(p.points)+8), since, p.points)
	hash = hashed(hash, data)
	row := seriesRow{Symbol: p.symbol, Year: p.year, Data: data}
	if found {
		r.stamps[at].hash = hash
		b.appended = append(b.appended, row)
	} else {
		r.stamps = slices.Insert(r.stamps, at, stamp{p.year, hash})
		b.replaced = append(b.replaced, row)
	}
	r.grow(p.points, len(p.points))
	return true
}

// mergeYear merges parts into their stored year.
func (b *batch) mergeYear(ctx context.Context, tx *store.Tx, year int, parts []part) error {
	symbols := make([]string, len(parts))
	for i, p := range parts {
		symbols[i] = p.symbol
	}
	var rows []seriesRow
	err := tx.NewSelect().Model(&rows).Where("year = ?", year).Where("symbol IN (?)", bun.List(symbols)).Scan(ctx)
	if err != nil {
		return fmt.Errorf("read the returns of %d: %w", year, err)
	}
	old := make(map[string][]byte, len(rows))
	for _, r := range rows {
		old[r.Symbol] = r.Data
	}
	for _, p := range parts {
		before, err := series.Unpack(nil, year, old[p.symbol])
		if err != nil { // the stored year is damaged until the view is rebuilt
			if err := b.skip(
				ctx, tx, bus.Permanent(fmt.Errorf("merge the returns of %s: %w", p.symbol, damaged(err))),
			); err != nil {
				return err
			}
			continue
		}
		all, changed := series.Merge(before, p.points)
		if !changed {
			continue
		}
		r := b.change(p.symbol)
		data := series.Pack(make([]byte, 0, 9*len(all)+8), series.NewYear(year), all)
		at, _ := find(r.stamps, year)
		r.stamps[at].hash = hashed(hashStart, data)
		r.grow(all, len(all)-len(before))
		b.replaced = append(b.replaced, seriesRow{Symbol: p.symbol, Year: year, Data: data})
	}
	return nil
}

var (
	upsertSymbol = store.NewUpsert("symbols", 1, "symbol", "first_day", "last_day", "days", "stamps")
	upsertYear   = store.NewUpsert("series", 2, "symbol", "year", "data")
	appendToYear = upsertYear.Setting("data = series.data || excluded.data")
	// On SQLite, || makes text even of blobs.
	appendToYearSQLite = upsertYear.Setting("data = CAST(series.data || excluded.data AS BLOB)")
)

// save queues all writes and returns the symbols that changed, in order.
func (b *batch) save(tx *store.Tx) []string {
	changed := slices.Sorted(maps.Keys(b.changed))
	for _, symbol := range changed {
		r := b.rows[symbol]
		if r.Days == 0 { // replaceSymbol removed it
			continue
		}
		tx.Put(upsertSymbol, symbol, int32(r.FirstDay), int32(r.LastDay), r.Days, packStamps(r.stamps))
	}
	for _, r := range b.replaced {
		tx.Put(upsertYear, r.Symbol, r.Year, r.Data)
	}
	appending := appendToYear
	if tx.Dialect().Name() == dialect.SQLite {
		appending = appendToYearSQLite
	}
	for _, r := range b.appended {
		tx.Put(appending, r.Symbol, r.Year, r.Data)
	}
	return changed
}
