package correlations

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"

	"github.com/uptrace/bun"

	"stega/civil"
	"stega/series"
)

// cachedSeries is the series of a symbol as it was read. It is immutable: an update replaces it.
type cachedSeries struct {
	symbol      string
	stamps      []byte // of its years
	years       []cachedYear
	first, last civil.Date
	days        int
	countable   bool // whether its returns fit the exact sums
}

type cachedYear struct {
	stamp  stamp
	points []series.Point // linked
}

// unknownStart marks a year whose first return has no known start, because the year before it is not linked yet.
const unknownStart = civil.Date(math.MinInt32)

// since returns the day on which the first return of a year begins, which lies in an earlier year.
func (y cachedYear) since() civil.Date { return y.points[0].Since }

// linkedTo returns the year with its first return beginning on the day last.
func (y cachedYear) linkedTo(last civil.Date) cachedYear {
	if y.since() == last {
		return y
	}
	if y.since() != unknownStart {
		y.points = slices.Clone(y.points) // others may share the points
	}
	y.points[0].Since = last
	return y
}

// seriesCache caches the series that queries read. It is safe for concurrent use.
type seriesCache struct {
	mu       sync.Mutex
	bySymbol map[string]*cachedSeries
	days     int // of all series
}

// maxCachedDays bounds the days of all cached series, at 16 bytes each. Beyond it, only the series of the latest query
// stay.
const maxCachedDays = 8 << 20

// symbolIndex lists symbols of the database with the stamps of their years.
type symbolIndex struct {
	rows  []symbolRow
	total int // symbols in the database
}

// loadIndex reads the index of some symbols, or of all when symbols is nil. It leaves out symbols that are not stored.
func loadIndex(ctx context.Context, db bun.IDB, symbols []string) (symbolIndex, error) {
	query := db.NewSelect().Model((*symbolRow)(nil)).Column("symbol", "days", "stamps").
		ColumnExpr("(SELECT count(*) FROM symbols)").OrderExpr("symbol")
	if symbols != nil {
		query = query.Where("symbol IN (?)", bun.List(symbols))
	}
	rows, err := query.Rows(ctx)
	if err != nil {
		return symbolIndex{}, fmt.Errorf("read what there is of symbols: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var index symbolIndex
	for rows.Next() {
		var r symbolRow
		if err := rows.Scan(&r.Symbol, &r.Days, &r.Stamps, &index.total); err != nil {
			return symbolIndex{}, fmt.Errorf("read what there is of symbols: %w", err)
		}
		index.rows = append(index.rows, r)
	}
	return index, rows.Err()
}

// load returns the series of an index, none older than it. It reads only the years that are not cached or have changed.
func (s *seriesCache) load(ctx context.Context, db bun.IDB, index symbolIndex) ([]*cachedSeries, error) {
	all := make([]*cachedSeries, len(index.rows))
	var stale []int
	s.mu.Lock()
	for i, r := range index.rows {
		if all[i] = s.bySymbol[r.Symbol]; all[i] == nil || !bytes.Equal(all[i].stamps, r.Stamps) {
			stale = append(stale, i)
		}
	}
	s.mu.Unlock()
	if len(stale) == 0 {
		return all, nil
	}
	missing, err := missingOf(index, all, stale)
	if err != nil {
		return nil, err
	}
	read, err := missing.read(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, i := range stale {
		stamps, err := unpackStamps(index.rows[i].Stamps)
		if err != nil {
			return nil, err
		}
		all[i] = refresh(index.rows[i].Symbol, all[i], stamps, read[index.rows[i].Symbol])
	}
	s.add(all)
	return all, nil
}

// missingYears lists the symbols and years to read.
type missingYears struct {
	symbols []string
	years   []int
}

// missingOf returns what to read of the stale series of an index; all has the cached series.
func missingOf(index symbolIndex, all []*cachedSeries, stale []int) (m missingYears, err error) {
	years := map[int]bool{}
	for _, i := range stale {
		m.symbols = append(m.symbols, index.rows[i].Symbol)
		stamps, err := unpackStamps(index.rows[i].Stamps)
		if err != nil {
			return m, err
		}
		for _, s := range stamps {
			if !all[i].has(s) {
				years[s.year] = true
			}
		}
	}
	for year := range years {
		m.years = append(m.years, year)
	}
	return m, nil
}

// has reports whether a series has the year of a stamp.
func (c *cachedSeries) has(s stamp) bool {
	return c != nil && slices.ContainsFunc(c.years, func(y cachedYear) bool { return y.stamp == s })
}

// read reads all years with one statement, so that the years of a symbol are consistent.
func (m missingYears) read(ctx context.Context, db bun.IDB) (map[string][]cachedYear, error) {
	rows, err := db.NewSelect().Table("series").Column("symbol", "year", "data").
		Where("symbol IN (?)", bun.List(m.symbols)).
		Where("year IN (?)", bun.List(m.years)).Rows(ctx)
	if err != nil {
		return nil, fmt.Errorf("read returns: %w", err)
	}
	defer func() { _ = rows.Close() }()
	read := make(map[string][]cachedYear, len(m.symbols))
	for rows.Next() {
		var symbol string
		var year int
		var data []byte
		if err := rows.Scan(&symbol, &year, &data); err != nil {
			return nil, fmt.Errorf("read returns: %w", err)
		}
		points, err := series.Unpack(make([]series.Point, 0, len(data)/9+1), year, data)
		if err != nil {
			return nil, fmt.Errorf("read the returns of %s: %w", symbol, damaged(err))
		}
		read[symbol] = append(read[symbol], cachedYear{stamp: stamp{year, hashed(hashStart, data)}, points: points})
	}
	return read, rows.Err()
}

// refresh returns a series of the years that were read and of cached years. It leaves out years without a stamp, which
// are empty.
func refresh(symbol string, old *cachedSeries, current []stamp, read []cachedYear) *cachedSeries {
	c := &cachedSeries{symbol: symbol, countable: true}
	years := map[int]cachedYear{}
	if old != nil {
		for _, y := range old.years {
			if _, kept := find(current, y.stamp.year); kept {
				years[y.stamp.year] = y
			}
		}
	}
	for _, y := range read {
		if len(y.points) > 0 {
			series.Link(y.points, unknownStart)
			years[y.stamp.year] = y
		}
	}
	var stamps []stamp
	squares := 0.0
	for _, y := range years {
		c.years = append(c.years, y)
		c.days += len(y.points)
		for _, p := range y.points {
			if p.Value == p.Value {
				squares += p.Value * p.Value
				c.countable = c.countable && math.Abs(p.Value) < largestReturn
			}
		}
	}
	c.countable = c.countable && squares < largestSquares
	slices.SortFunc(c.years, func(a, b cachedYear) int { return a.stamp.year - b.stamp.year })
	var last civil.Date
	for i, y := range c.years {
		stamps = append(stamps, y.stamp)
		if i == 0 {
			last = y.points[0].Day // the first day has no return
		}
		c.years[i] = y.linkedTo(last)
		last = y.points[len(y.points)-1].Day
	}
	c.stamps = packStamps(stamps)
	if n := len(c.years); n > 0 {
		c.first = c.years[0].points[0].Day
		c.last = c.years[n-1].points[len(c.years[n-1].points)-1].Day
	}
	return c
}

// add caches the series that were read.
func (s *seriesCache) add(all []*cachedSeries) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bySymbol == nil {
		s.bySymbol = map[string]*cachedSeries{}
	}
	for _, c := range all {
		if old := s.bySymbol[c.symbol]; old != nil {
			s.days -= old.days
		}
		s.bySymbol[c.symbol] = c
		s.days += c.days
	}
	if s.days <= maxCachedDays {
		return
	}
	clear(s.bySymbol)
	s.days = 0
	for _, c := range all {
		s.bySymbol[c.symbol] = c
		s.days += c.days
	}
}

// within yields the points of a series that are returns of a window, one slice for each year. The first point is left
// out, since its return begins before the window.
func (c *cachedSeries) within(w window) iter.Seq[[]series.Point] {
	return func(yield func([]series.Point) bool) {
		first := true
		for _, y := range c.years {
			points := y.points
			if w.to != nil && points[len(points)-1].Day > *w.to {
				at, _ := slices.BinarySearchFunc(points, *w.to+1, series.ByDay)
				points = points[:at]
			}
			if w.from != nil && len(points) > 0 && points[0].Day < *w.from {
				at, _ := slices.BinarySearchFunc(points, *w.from, series.ByDay)
				points = points[at:]
			}
			if first && len(points) > 0 {
				points, first = points[1:], false
			}
			if len(points) > 0 && !yield(points) {
				return
			}
		}
	}
}

// window is a range of days, both inclusive; nil leaves an end open.
type window struct{ from, to *civil.Date }

// covers reports whether a window covers all days of a series.
func (w window) covers(c *cachedSeries) bool {
	return (w.from == nil || *w.from <= c.first) && (w.to == nil || *w.to >= c.last)
}

// extent returns the first and the last day on which any symbol has a return.
func extent(all []*cachedSeries) (first, last civil.Date) {
	first, last = math.MaxInt32, math.MinInt32
	for _, c := range all {
		for points := range c.within(window{to: c.secondDay()}) {
			first = min(first, points[0].Day)
		}
		if c.days > 1 {
			last = max(last, c.last)
		}
	}
	return first, last
}

// secondDay returns the second day of a series, or nil when there is none.
func (c *cachedSeries) secondDay() *civil.Date {
	for i, y := range c.years {
		if at := 1 - min(i, 1); len(y.points) > at {
			return &y.points[at].Day
		}
	}
	return nil
}

// frame returns the returns of symbols in a window, aligned in rows.
func frame(all []*cachedSeries, w window, f series.Frequency) (series.Frame, error) {
	runs := make([]iter.Seq[[]series.Point], len(all))
	for i, c := range all {
		runs[i] = c.within(w)
	}
	return f.Align(runs)
}
