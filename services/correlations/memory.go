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
	points []series.Point // linked
}

// alone is before the first return of a year that was read, until it is known what it follows.
const alone = civil.Date(math.MinInt32)

// since is the day that the first return of a year begins on, which is in a year before.
func (y heldYear) since() civil.Date { return y.points[0].Since }

// after is a year that follows the day last.
func (y heldYear) after(last civil.Date) heldYear {
	if y.since() == last {
		return y
	}
	if y.since() != alone {
		y.points = slices.Clone(y.points) // whoever has the year as it was goes on to
	}
	y.points[0].Since = last
	return y
}

// memory has the series that were asked for. It is safe for concurrent use.
type memory struct {
	mu   sync.Mutex
	held map[string]*held
	days int // of all that are held
}

// maxHeld is how many days of all symbols are held, at 16 bytes each; beyond that, what was not asked for just now
// goes.
const maxHeld = 8 << 20

// census is what there is of symbols in the database.
type census struct {
	rows  []symbolRow
	total int // symbols in all
}

// count reads what there is of symbols, or of all; those that are not there are missing from it.
func count(ctx context.Context, db bun.IDB, symbols []string) (census, error) {
	query := db.NewSelect().Model((*symbolRow)(nil)).Column("symbol", "days", "stamps").ColumnExpr("(SELECT count(*) FROM symbols)").OrderExpr("symbol")
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
		if err := rows.Scan(&r.Symbol, &r.Days, &r.Stamps, &c.total); err != nil {
			return census{}, fmt.Errorf("read what there is of symbols: %w", err)
		}
		c.rows = append(c.rows, r)
	}
	return c, rows.Err()
}

// of is the series of a census, none of them older than it. What is held already is not read again, and of what
// changed only the years that did.
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
		stamps, err := unpackStamps(c.rows[i].Stamps)
		if err != nil {
			return nil, err
		}
		all[i] = renew(c.rows[i].Symbol, all[i], stamps, read[c.rows[i].Symbol])
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
		points, err := series.Unpack(make([]series.Point, 0, len(data)/9+1), year, data)
		if err != nil {
			return nil, fmt.Errorf("read the returns of %s: %w", symbol, damaged(err))
		}
		read[symbol] = append(read[symbol], heldYear{stamp: stamp{year, hashed(hashStart, data)}, points: points})
	}
	return read, rows.Err()
}

// renew puts years that were read over those that were held, and leaves out those without a stamp, of which nothing
// is left.
func renew(symbol string, old *held, current []stamp, read []heldYear) *held {
	h := &held{symbol: symbol, countable: true}
	years := map[int]heldYear{}
	if old != nil {
		for _, y := range old.years {
			if _, kept := find(current, y.stamp.year); kept {
				years[y.stamp.year] = y
			}
		}
	}
	for _, y := range read {
		if len(y.points) > 0 {
			series.Link(y.points, alone)
			years[y.stamp.year] = y
		}
	}
	var stamps []stamp
	squares := 0.0
	for _, y := range years {
		h.years = append(h.years, y)
		h.days += len(y.points)
		for _, p := range y.points {
			if p.Value == p.Value {
				squares += p.Value * p.Value
				h.countable = h.countable && math.Abs(p.Value) < largestReturn
			}
		}
	}
	h.countable = h.countable && squares < largestSquares
	slices.SortFunc(h.years, func(a, b heldYear) int { return a.stamp.year - b.stamp.year })
	var last civil.Date
	for i, y := range h.years {
		stamps = append(stamps, y.stamp)
		if i == 0 {
			last = y.points[0].Day // it has no return
		}
		h.years[i] = y.after(last)
		last = y.points[len(y.points)-1].Day
	}
	h.stamps = packStamps(stamps)
	if n := len(h.years); n > 0 {
		h.first = h.years[0].points[0].Day
		h.last = h.years[n-1].points[len(h.years[n-1].points)-1].Day
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

// within is the points of a series that are returns of a window, a run of them for each year: those of its days but
// for the first, whose return begins before it.
func (h *held) within(w window) iter.Seq[[]series.Point] {
	return func(yield func([]series.Point) bool) {
		first := true
		for _, y := range h.years {
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
			first = min(first, points[0].Day)
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
			return &y.points[at].Day
		}
	}
	return nil
}

// frame sets the returns of symbols in a window side by side.
func frame(all []*held, w window, f series.Frequency) (series.Frame, error) {
	runs := make([]iter.Seq[[]series.Point], len(all))
	for i, h := range all {
		runs[i] = h.within(w)
	}
	return f.Align(runs)
}
