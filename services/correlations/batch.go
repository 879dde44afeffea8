package correlations

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/uptrace/bun"

	"stega/bus"
	"stega/civil"
	"stega/events"
	"stega/series"
	"stega/store"
)

// batch is the returns that the messages of one unit of work tell: what is to be read is read at once, and so is
// written what changed.
type batch struct {
	fresh map[string][]series.Point
	spans map[string][]span // the days of which these are all that there is

	skip func(ctx context.Context, tx *store.Tx, failure error) error // what becomes of returns of a damaged series

	known   map[string]*symbolRow
	changed map[string]bool
	whole   []seriesRow // years that are written as a whole
	more    []seriesRow // what is appended to years
}

// span is some days, both inclusive.
type span struct{ from, to civil.Date }

func (s span) has(day civil.Date) bool { return s.from <= day && day <= s.to }

func (b *batch) add(e events.AssetUpdated) {
	points := series.Of(e.Days, e.Returns)
	if b.fresh == nil {
		b.fresh, b.spans = map[string][]series.Point{}, map[string][]span{}
	}
	if e.Replay != nil {
		from, to := e.Replay.Span()
		all := span{from, to}
		b.spans[e.Symbol] = append(b.spans[e.Symbol], all)
		b.fresh[e.Symbol] = slices.DeleteFunc(b.fresh[e.Symbol], func(p series.Point) bool { return all.has(p.Day) })
	}
	if before := b.fresh[e.Symbol]; len(before) > 0 {
		points, _ = series.Merge(before, points)
	}
	b.fresh[e.Symbol] = points
}

// part is the fresh points of one year of a symbol.
type part struct {
	symbol string
	year   int
	points []series.Point
}

// merge puts the points into the tables and names the symbols whose series changed by that, ordered.
func (b *batch) merge(ctx context.Context, tx *store.Tx) ([]string, error) {
	symbols := slices.Sorted(maps.Keys(b.fresh))
	var err error
	if b.known, err = loadSymbols(ctx, tx, symbols, func(symbol string) bool { return len(b.spans[symbol]) > 0 }); err != nil {
		return nil, err
	}
	b.changed = map[string]bool{}
	over := map[int][]part{} // those over years that there are, by year
	var replaced []string
	for _, symbol := range symbols {
		if len(b.spans[symbol]) > 0 {
			replaced = append(replaced, symbol)
			continue
		}
		for year, points := range series.Years(b.fresh[symbol]) {
			if p := (part{symbol, year, points}); !b.goOn(p) {
				over[year] = append(over[year], p)
			}
		}
	}
	for _, year := range slices.Sorted(maps.Keys(over)) {
		if err := b.replace(ctx, tx, year, over[year]); err != nil {
			return nil, err
		}
	}
	if err := b.renew(ctx, tx, replaced); err != nil {
		return nil, err
	}
	return b.save(tx), nil
}

// renew puts what was replayed in the place of what there is of its days, whatever that is.
func (b *batch) renew(ctx context.Context, tx *store.Tx, symbols []string) error {
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
		if err := b.renewSymbol(ctx, tx, symbol, old[symbol]); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) renewSymbol(ctx context.Context, tx *store.Tx, symbol string, old map[int][]byte) error {
	var all []series.Point
	for _, year := range slices.Sorted(maps.Keys(old)) {
		points, err := series.Unpack(nil, year, old[year])
		if err != nil { // none of it stays
			continue
		}
		for _, p := range points {
			inside := func(s span) bool { return s.has(p.Day) }
			if p.Day >= series.NewYear(year) && p.Day < series.NewYear(year+1) && !slices.ContainsFunc(b.spans[symbol], inside) &&
				(len(all) == 0 || p.Day > all[len(all)-1].Day) {
				all = append(all, p)
			}
		}
	}
	all, _ = series.Merge(all, b.fresh[symbol])
	fixed, was := symbolRow{Symbol: symbol}, b.known[symbol]
	for year, points := range series.Years(all) {
		data := series.Pack(make([]byte, 0, 9*len(points)+8), series.NewYear(year), points)
		fixed.stamps = append(fixed.stamps, stamp{year, hashed(hashStart, data)})
		fixed.grow(points, len(points))
		if !bytes.Equal(data, old[year]) {
			b.whole = append(b.whole, seriesRow{Symbol: symbol, Year: year, Data: data})
			b.changed[symbol] = true
		}
		delete(old, year)
	}
	if was != nil && (fixed.FirstDay != was.FirstDay || fixed.LastDay != was.LastDay || fixed.Days != was.Days || !bytes.Equal(packStamps(fixed.stamps), was.Stamps)) {
		b.changed[symbol] = true
	}
	b.known[symbol] = &fixed
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
	if err := tx.Flush(ctx); err != nil { // what is removed stays so
		return err
	}
	tx.Queue(tx.NewRaw("DELETE FROM series WHERE symbol = ? AND year IN (?)", symbol, bun.List(append(slices.Collect(maps.Keys(old)), 0))))
	if len(all) == 0 {
		tx.Queue(tx.NewRaw("DELETE FROM symbols WHERE symbol = ?", symbol))
	}
	return nil
}

// of is what there is of a symbol, to be changed.
func (b *batch) of(symbol string) *symbolRow {
	b.changed[symbol] = true
	r := b.known[symbol]
	if r == nil {
		r = &symbolRow{Symbol: symbol}
		b.known[symbol] = r
	}
	return r
}

// goOn begins a year, or appends to the last one; it reads nothing for that. False means that the points lie within
// what there is.
func (b *batch) goOn(p part) bool {
	at, found := 0, false
	if r := b.known[p.symbol]; r != nil {
		if at, found = find(r.stamps, p.year); found && p.points[0].Day <= r.LastDay {
			return false
		}
	}
	r := b.of(p.symbol)
	since, hash := series.NewYear(p.year), uint64(hashStart)
	if found {
		since, hash = r.LastDay, r.stamps[at].hash
	}
	data := series.Pack(make([]byte, 0, 9*len(p.points)+8), since, p.points)
	hash = hashed(hash, data)
	row := seriesRow{Symbol: p.symbol, Year: p.year, Data: data}
	if found {
		r.stamps[at].hash = hash
		b.more = append(b.more, row)
	} else {
		r.stamps = slices.Insert(r.stamps, at, stamp{p.year, hash})
		b.whole = append(b.whole, row)
	}
	r.grow(p.points, len(p.points))
	return true
}

// replace merges into years that there are.
func (b *batch) replace(ctx context.Context, tx *store.Tx, year int, parts []part) error {
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
		if err != nil { // what is kept is damaged, and stays so until somebody rebuilds it
			if err := b.skip(ctx, tx, bus.Permanent(fmt.Errorf("merge the returns of %s: %w", p.symbol, damaged(err)))); err != nil {
				return err
			}
			continue
		}
		all, changed := series.Merge(before, p.points)
		if !changed {
			continue
		}
		r := b.of(p.symbol)
		data := series.Pack(make([]byte, 0, 9*len(all)+8), series.NewYear(year), all)
		at, _ := find(r.stamps, year)
		r.stamps[at].hash = hashed(hashStart, data)
		r.grow(all, len(all)-len(before))
		b.whole = append(b.whole, seriesRow{Symbol: p.symbol, Year: year, Data: data})
	}
	return nil
}

var (
	keepSymbol = store.NewUpsert("symbols", 1, "symbol", "first_day", "last_day", "days", "stamps")
	keepYear   = store.NewUpsert("series", 2, "symbol", "year", "data")
	addToYear  = keepYear.Setting("data = series.data || excluded.data")
)

func (b *batch) save(tx *store.Tx) []string {
	changed := slices.Sorted(maps.Keys(b.changed))
	for _, symbol := range changed {
		r := b.known[symbol]
		if r.Days == 0 { // nothing is left of it
			continue
		}
		tx.Put(keepSymbol, symbol, int32(r.FirstDay), int32(r.LastDay), r.Days, packStamps(r.stamps))
	}
	for _, r := range b.whole {
		tx.Put(keepYear, r.Symbol, r.Year, r.Data)
	}
	for _, r := range b.more {
		tx.Put(addToYear, r.Symbol, r.Year, r.Data)
	}
	return changed
}
