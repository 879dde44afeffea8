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

// sumsCache caches the exact sums of all symbols over all of their days, as of the latest series. Exact sums depend on
// the series alone, so a new process, or one with fewer symbols, computes the same bits. It is safe for concurrent use.
type sumsCache struct {
	mu     sync.Mutex
	sums   *quant.Running
	index  map[string]int
	series []*cachedSeries // by index
}

// The bounds of the exact sums: the number of symbols, and the returns that fit.
const (
	maxSummed      = 1000
	largestReturn  = 512 // 51,200 %
	largestSquares = 1e6
)

// load returns the sums of some countable symbols. It calls all for the series of all symbols when some are new.
func (s *sumsCache) load(wanted []*cachedSeries, all func() ([]*cachedSeries, error)) (*quant.Running, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(wanted, all); err != nil {
		s.sums, s.index, s.series = nil, nil, nil
		return nil, err
	}
	order := make([]int, len(wanted))
	for i, c := range wanted {
		order[i] = s.index[c.symbol]
	}
	return s.sums.Select(order...)
}

// refresh brings the sums up to date with the wanted series.
func (s *sumsCache) refresh(wanted []*cachedSeries, all func() ([]*cachedSeries, error)) error {
	if n := s.missing(wanted); n > 0 {
		every, err := all()
		if err != nil {
			return err
		}
		every = countableSeries(every, wanted)
		if n = s.missing(every); n*16 > len(s.series) { // adding one series costs a sixteenth of a rebuild
			return s.rebuild(every)
		}
		return s.update(every)
	}
	return s.update(wanted)
}

// missing returns the number of series that the sums lack.
func (s *sumsCache) missing(all []*cachedSeries) (n int) {
	for _, c := range all {
		if _, ok := s.index[c.symbol]; !ok {
			n++
		}
	}
	return n
}

// countableSeries returns the wanted series, and those of the others that are countable.
func countableSeries(everyone, wanted []*cachedSeries) []*cachedSeries {
	out := slices.Clone(wanted)
	known := make(map[string]bool, len(wanted))
	for _, c := range wanted {
		known[c.symbol] = true
	}
	for _, c := range everyone {
		if c.countable && !known[c.symbol] {
			out = append(out, c)
		}
	}
	return out
}

// rebuild computes the sums from scratch.
func (s *sumsCache) rebuild(all []*cachedSeries) error {
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
	s.sums, s.series, s.index = sums, slices.Clone(all), make(map[string]int, len(all))
	for i, c := range all {
		s.index[c.symbol] = i
	}
	return nil
}

// cell is the new return of a symbol in a row.
type cell struct {
	symbol int
	value  float64
}

// update changes the sums for each series that differs from the one they were computed from.
func (s *sumsCache) update(all []*cachedSeries) error {
	changes := map[series.Row][]cell{}
	for _, c := range all {
		i, known := s.index[c.symbol]
		if known && s.series[i] == c {
			continue
		}
		var old *cachedSeries
		if known {
			old = s.series[i]
		} else {
			var err error
			if i, err = s.sums.Join(); err != nil {
				return err
			}
			s.index[c.symbol] = i
			s.series = append(s.series, &cachedSeries{symbol: c.symbol})
		}
		visitChanges(old, c, func(p series.Point) { changes[p.Row()] = append(changes[p.Row()], cell{i, p.Value}) })
	}
	if len(changes) > 0 {
		if err := s.apply(changes); err != nil {
			return s.rebuild(s.merged(all))
		}
	}
	for _, c := range all {
		s.series[s.index[c.symbol]] = c
	}
	return nil
}

// merged returns the cached series with the given ones in their places.
func (s *sumsCache) merged(all []*cachedSeries) []*cachedSeries {
	out := slices.Clone(s.series)
	for _, c := range all {
		out[s.index[c.symbol]] = c
	}
	return out
}

// visitChanges visits the rows in which two series differ, with the value of the newer one: NaN when it has none.
func visitChanges(old, current *cachedSeries, visit func(p series.Point)) {
	before := map[int]cachedYear{}
	if old != nil {
		for _, y := range old.years {
			before[y.stamp.year] = y
		}
	}
	for _, y := range current.years {
		was := before[y.stamp.year]
		delete(before, y.stamp.year)
		if was.stamp == y.stamp && was.since() == y.since() {
			continue
		}
		visitPoints(was.points, y.points, visit)
	}
	for _, y := range before {
		visitPoints(y.points, nil, visit)
	}
}

// visitPoints visits the points in which b differs from a.
func visitPoints(a, b []series.Point, visit func(p series.Point)) {
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

// apply applies changes of rows to the sums. It adds new rows, corrects single cells, and exchanges rows of which many
// cells change. After an error the sums are invalid.
func (s *sumsCache) apply(changes map[series.Row][]cell) error {
	keys := slices.SortedFunc(maps.Keys(changes), series.Row.Compare)
	rows := s.rows(keys)
	for t, key := range keys {
		row, cells := rows[t], changes[key]
		empty := !slices.ContainsFunc(row, func(v float64) bool { return v == v })
		if !empty && len(cells)*8 < len(row) {
			for _, c := range cells {
				if err := s.sums.Correct(row, c.symbol, c.value); err != nil {
					return err
				}
				row[c.symbol] = c.value
			}
			continue
		}
		if !empty {
			if err := s.sums.Remove(row); err != nil {
				return err
			}
		}
		for _, c := range cells {
			row[c.symbol] = c.value
		}
		if err := s.sums.Add(row); err != nil {
			return err
		}
	}
	return nil
}

// rows returns the returns of all symbols in some rows, which are ordered, as they were summed.
func (s *sumsCache) rows(keys []series.Row) [][]float64 {
	rows := make([][]float64, len(keys))
	for t := range rows {
		rows[t] = make([]float64, len(s.series))
		for i := range rows[t] {
			rows[t][i] = math.NaN()
		}
	}
	byDay := func(r series.Row, day civil.Date) int { return int(r.Day - day) }
	for i, c := range s.series {
		for _, y := range c.years {
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
