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
)

// held is the series of a symbol as it was read. It does not change; another takes its place.
type held struct {
	symbol      string
	stamps      []byte // of what is held
	years       []heldYear
	first, last civil.Date
	days        int
	countable   bool // its returns fit the exact sums of the universe
}

type heldYear struct {
	stamp  stamp
	points []point
}

// memory has the series that were asked for. It is safe for concurrent use.
type memory struct {
	mu   sync.Mutex
	held map[string]*held
	days int // of all that are held
}

// maxHeld is how many days of all symbols are held, at 16 bytes each; beyond that, what was not asked for just now goes.
const maxHeld = 8 << 20

// census is what there is of symbols in the database.
type census struct {
	rows  []symbolRow
	total int // symbols in all
}

// count reads what there is of symbols, or of all; those that are not there are missing from it.
func count(ctx context.Context, db bun.IDB, symbols []string) (census, error) {
	query := db.NewSelect().Model((*symbolRow)(nil)).Column("symbol", "stamps").ColumnExpr("(SELECT count(*) FROM symbols)").OrderExpr("symbol")
	if symbols != nil {
		query = query.Where("symbol IN (?)", bun.List(symbols))
	}
	rows, err := query.Rows(ctx)
	if err != nil {
		return census{}, fmt.Errorf("read what there is of symbols: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var c census
	for rows.Next() {
		var r symbolRow
		if err := rows.Scan(&r.Symbol, &r.Stamps, &c.total); err != nil {
			return census{}, fmt.Errorf("read what there is of symbols: %w", err)
		}
		c.rows = append(c.rows, r)
	}
	return c, rows.Err()
}

// of is the series of a census, none of them older than it. What is held already is not read again, and of what changed only the years that did.
func (m *memory) of(ctx context.Context, db bun.IDB, c census) ([]*held, error) {
	all := make([]*held, len(c.rows))
	var stale []int
	m.mu.Lock()
	for i, r := range c.rows {
		if all[i] = m.held[r.Symbol]; all[i] == nil || !bytes.Equal(all[i].stamps, r.Stamps) {
			stale = append(stale, i)
		}
	}
	m.mu.Unlock()
	if len(stale) == 0 {
		return all, nil
	}
	wanted, err := wantedOf(c, all, stale)
	if err != nil {
		return nil, err
	}
	read, err := wanted.read(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, i := range stale {
		all[i] = renew(c.rows[i].Symbol, all[i], read[c.rows[i].Symbol])
	}
	m.keep(all)
	return all, nil
}

// wanted says what is to be read.
type wanted struct {
	symbols []string
	years   []int
}

func wantedOf(c census, all []*held, stale []int) (w wanted, err error) {
	years := map[int]bool{}
	for _, i := range stale {
		w.symbols = append(w.symbols, c.rows[i].Symbol)
		stamps, err := unpackStamps(c.rows[i].Stamps)
		if err != nil {
			return w, err
		}
		for _, s := range stamps {
			if !all[i].has(s) {
				years[s.year] = true
			}
		}
	}
	for year := range years {
		w.years = append(w.years, year)
	}
	return w, nil
}

func (h *held) has(s stamp) bool {
	return h != nil && slices.ContainsFunc(h.years, func(y heldYear) bool { return y.stamp == s })
}

// read is one statement, so that what it reads of a symbol belongs together.
func (w wanted) read(ctx context.Context, db bun.IDB) (map[string][]heldYear, error) {
	rows, err := db.NewSelect().Table("series").Column("symbol", "year", "data").Where("symbol IN (?)", bun.List(w.symbols)).
		Where("year IN (?)", bun.List(w.years)).Rows(ctx)
	if err != nil {
		return nil, fmt.Errorf("read returns: %w", err)
	}
	defer func() { _ = rows.Close() }()
	read := make(map[string][]heldYear, len(w.symbols))
	for rows.Next() {
		var symbol string
		var year int
		var data []byte
		if err := rows.Scan(&symbol, &year, &data); err != nil {
			return nil, fmt.Errorf("read returns: %w", err)
		}
		points, err := unpack(year, data)
		if err != nil {
			return nil, fmt.Errorf("read the returns of %s: %w", symbol, err)
		}
		read[symbol] = append(read[symbol], heldYear{stamp{year, hashed(hashStart, data)}, points})
	}
	return read, rows.Err()
}

// renew puts years that were read over those that were held.
func renew(symbol string, old *held, read []heldYear) *held {
	h := &held{symbol: symbol, countable: true}
	years := map[int]heldYear{}
	if old != nil {
		for _, y := range old.years {
			years[y.stamp.year] = y
		}
	}
	for _, y := range read {
		if len(y.points) > 0 {
			years[y.stamp.year] = y
		}
	}
	var stamps []stamp
	squares := 0.0
	for _, y := range years {
		h.years = append(h.years, y)
		h.days += len(y.points)
		for _, p := range y.points {
			if p.value == p.value {
				squares += p.value * p.value
				h.countable = h.countable && math.Abs(p.value) < largestReturn
			}
		}
	}
	h.countable = h.countable && squares < largestSquares
	slices.SortFunc(h.years, func(a, b heldYear) int { return a.stamp.year - b.stamp.year })
	for _, y := range h.years {
		stamps = append(stamps, y.stamp)
	}
	h.stamps = packStamps(stamps)
	if n := len(h.years); n > 0 {
		h.first = h.years[0].points[0].day
		h.last = h.years[n-1].points[len(h.years[n-1].points)-1].day
	}
	return h
}

// keep holds what was read.
func (m *memory) keep(all []*held) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held == nil {
		m.held = map[string]*held{}
	}
	for _, h := range all {
		if old := m.held[h.symbol]; old != nil {
			m.days -= old.days
		}
		m.held[h.symbol] = h
		m.days += h.days
	}
	if m.days <= maxHeld {
		return
	}
	clear(m.held)
	m.days = 0
	for _, h := range all {
		m.held[h.symbol] = h
		m.days += h.days
	}
}

// within is the points of a series that are returns of a window, a run of them for each year: those of its days but for the first, whose return
// begins before it.
func (h *held) within(w window) iter.Seq[[]point] {
	return func(yield func([]point) bool) {
		first := true
		for _, y := range h.years {
			points := y.points
			if w.to != nil && points[len(points)-1].day > *w.to {
				at, _ := slices.BinarySearchFunc(points, *w.to+1, byDay)
				points = points[:at]
			}
			if w.from != nil && len(points) > 0 && points[0].day < *w.from {
				at, _ := slices.BinarySearchFunc(points, *w.from, byDay)
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

// window is a range of days, both inclusive; nil is open.
type window struct{ from, to *civil.Date }

// whole says that a window leaves nothing out of a series.
func (w window) whole(h *held) bool {
	return (w.from == nil || *w.from <= h.first) && (w.to == nil || *w.to >= h.last)
}

// extent is the first and the last day on which any symbol has a return.
func extent(all []*held) (first, last civil.Date) {
	first, last = math.MaxInt32, math.MinInt32
	for _, h := range all {
		for points := range h.within(window{to: h.second()}) {
			first = min(first, points[0].day)
		}
		if h.days > 1 {
			last = max(last, h.last)
		}
	}
	return first, last
}

// second is the second day of a series; nil when there is none.
func (h *held) second() *civil.Date {
	for i, y := range h.years {
		if at := 1 - min(i, 1); len(y.points) > at {
			return &y.points[at].day
		}
	}
	return nil
}

// columns are the returns of symbols over the days on which any of them has one, NaN where there is none.
func columns(all []*held, w window) (days []civil.Date, values [][]float64) {
	low, high := civil.Date(math.MaxInt32), civil.Date(math.MinInt32)
	for _, h := range all {
		low, high = min(low, h.first), max(high, h.last)
	}
	if low > high {
		return nil, make([][]float64, len(all))
	}
	at := make([]int32, high-low+1) // the place of each day, from 1
	for _, h := range all {
		for points := range h.within(w) {
			for i := range points {
				at[points[i].day-low] = 1
			}
		}
	}
	for i, there := range at {
		if there > 0 {
			days = append(days, low+civil.Date(i))
			at[i] = int32(len(days))
		}
	}
	room := make([]float64, len(all)*len(days))
	for i := range room {
		room[i] = math.NaN()
	}
	values = make([][]float64, len(all))
	for i, h := range all {
		column := room[i*len(days) : (i+1)*len(days)]
		values[i] = column
		for points := range h.within(w) {
			for i := range points {
				column[at[points[i].day-low]-1] = points[i].value
			}
		}
	}
	return days, values
}
