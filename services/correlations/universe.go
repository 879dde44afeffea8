package correlations

import (
	"maps"
	"math"
	"slices"
	"sync"

	"stega/civil"
	"stega/quant"
	"stega/series"
)

// universe has the exact sums of all symbols over all of their days, as of the series that it was last shown. Because
// they are exact they depend on these alone, so whoever starts afresh, or has some of the symbols only, comes to the
// same bits. It is safe for concurrent use.
type universe struct {
	mu    sync.Mutex
	sums  *quant.Running
	index map[string]int
	held  []*held // by index
}

// The bounds of the universe: how many symbols it takes, and which returns can be counted exactly.
const (
	maxUniverse    = 1000
	largestReturn  = 512 // 51,200 %
	largestSquares = 1e6
)

// of is the sums of some symbols, which are to be countable. all is asked for the series of all symbols when there
// are new ones.
func (u *universe) of(wanted []*held, all func() ([]*held, error)) (*quant.Running, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.show(wanted, all); err != nil {
		u.sums, u.index, u.held = nil, nil, nil
		return nil, err
	}
	order := make([]int, len(wanted))
	for i, h := range wanted {
		order[i] = u.index[h.symbol]
	}
	return u.sums.Select(order...)
}

// show brings the sums to what is wanted.
func (u *universe) show(wanted []*held, all func() ([]*held, error)) error {
	if fresh := u.unknown(wanted); fresh > 0 {
		everyone, err := all()
		if err != nil {
			return err
		}
		everyone = countable(everyone, wanted)
		if fresh = u.unknown(everyone); fresh*16 > len(u.held) { // each that joins takes as long as a sixteenth of them all
			return u.begin(everyone)
		}
		return u.update(everyone)
	}
	return u.update(wanted)
}

func (u *universe) unknown(all []*held) (n int) {
	for _, h := range all {
		if _, ok := u.index[h.symbol]; !ok {
			n++
		}
	}
	return n
}

// countable are the series of everyone that can be counted, those of wanted as they are there.
func countable(everyone, wanted []*held) []*held {
	out := slices.Clone(wanted)
	known := make(map[string]bool, len(wanted))
	for _, h := range wanted {
		known[h.symbol] = true
	}
	for _, h := range everyone {
		if h.countable && !known[h.symbol] {
			out = append(out, h)
		}
	}
	return out
}

// begin makes the sums anew.
func (u *universe) begin(all []*held) error {
	sums, err := quant.NewRunning(len(all))
	if err != nil {
		return err
	}
	f, err := frame(all, window{}, series.Daily)
	if err != nil {
		return err
	}
	row := make([]float64, len(all))
	for t := range f.Rows {
		for i, column := range f.Values {
			row[i] = column[t]
		}
		if err := sums.Add(row); err != nil {
			return err
		}
	}
	u.sums, u.held, u.index = sums, slices.Clone(all), make(map[string]int, len(all))
	for i, h := range all {
		u.index[h.symbol] = i
	}
	return nil
}

// cell is what the return of a symbol in some row becomes.
type cell struct {
	symbol int
	value  float64
}

// update brings the sums from the series that they are of to others.
func (u *universe) update(all []*held) error {
	changes := map[series.Row][]cell{}
	for _, h := range all {
		i, known := u.index[h.symbol]
		if known && u.held[i] == h {
			continue
		}
		var old *held
		if known {
			old = u.held[i]
		} else {
			var err error
			if i, err = u.sums.Join(); err != nil {
				return err
			}
			u.index[h.symbol] = i
			u.held = append(u.held, &held{symbol: h.symbol})
		}
		differences(old, h, func(p series.Point) { changes[p.Row()] = append(changes[p.Row()], cell{i, p.Value}) })
	}
	if len(changes) > 0 {
		if err := u.apply(changes); err != nil {
			return u.begin(u.with(all))
		}
	}
	for _, h := range all {
		u.held[u.index[h.symbol]] = h
	}
	return nil
}

// with is what is held, with others in their places.
func (u *universe) with(all []*held) []*held {
	out := slices.Clone(u.held)
	for _, h := range all {
		out[u.index[h.symbol]] = h
	}
	return out
}

// differences visits the rows in which one series reads differently from another, with what the later one has: NaN
// when it has nothing.
func differences(old, fresh *held, visit func(p series.Point)) {
	before := map[int]heldYear{}
	if old != nil {
		for _, y := range old.years {
			before[y.stamp.year] = y
		}
	}
	for _, y := range fresh.years {
		was := before[y.stamp.year]
		delete(before, y.stamp.year)
		if was.stamp == y.stamp && was.since() == y.since() {
			continue
		}
		differ(was.points, y.points, visit)
	}
	for _, y := range before {
		differ(y.points, nil, visit)
	}
}

func differ(a, b []series.Point, visit func(p series.Point)) {
	for len(a) > 0 || len(b) > 0 {
		order := 0
		if len(a) > 0 && len(b) > 0 {
			order = a[0].Row().Compare(b[0].Row())
		}
		switch {
		case len(b) == 0 || order < 0:
			visit(series.Point{Day: a[0].Day, Since: a[0].Since, Value: math.NaN()})
			a = a[1:]
		case len(a) == 0 || order > 0:
			visit(b[0])
			b = b[1:]
		default:
			if !a[0].Same(b[0]) {
				visit(b[0])
			}
			a, b = a[1:], b[1:]
		}
	}
}

// apply changes rows: a new one is added, one that changes much is exchanged, and of others cells are corrected.
// After an error the sums are of no use.
func (u *universe) apply(changes map[series.Row][]cell) error {
	keys := slices.SortedFunc(maps.Keys(changes), series.Row.Compare)
	rows := u.rows(keys)
	for t, key := range keys {
		row, cells := rows[t], changes[key]
		empty := !slices.ContainsFunc(row, func(v float64) bool { return v == v })
		if !empty && len(cells)*8 < len(row) {
			for _, c := range cells {
				if err := u.sums.Correct(row, c.symbol, c.value); err != nil {
					return err
				}
				row[c.symbol] = c.value
			}
			continue
		}
		if !empty {
			if err := u.sums.Remove(row); err != nil {
				return err
			}
		}
		for _, c := range cells {
			row[c.symbol] = c.value
		}
		if err := u.sums.Add(row); err != nil {
			return err
		}
	}
	return nil
}

// rows are some rows, ordered, as they were counted: the returns of all symbols.
func (u *universe) rows(keys []series.Row) [][]float64 {
	rows := make([][]float64, len(keys))
	for t := range rows {
		rows[t] = make([]float64, len(u.held))
		for i := range rows[t] {
			rows[t][i] = math.NaN()
		}
	}
	byDay := func(r series.Row, day civil.Date) int { return int(r.Day - day) }
	for i, h := range u.held {
		for _, y := range h.years {
			t, _ := slices.BinarySearchFunc(keys, series.NewYear(y.stamp.year), byDay)
			end, _ := slices.BinarySearchFunc(keys, series.NewYear(y.stamp.year+1), byDay)
			if t == end {
				continue
			}
			at, _ := slices.BinarySearchFunc(y.points, keys[t].Day, series.ByDay)
			for _, p := range y.points[at:] {
				for t < end && keys[t].Compare(p.Row()) < 0 {
					t++
				}
				if t == end {
					break
				}
				if keys[t] == p.Row() {
					rows[t][i] = p.Value
				}
			}
		}
	}
	return rows
}
