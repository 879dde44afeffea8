// Package series stores the returns of symbols, packed by years, and aligns the returns of several symbols (Frame).
package series

import (
	"encoding/binary"
	"errors"
	"iter"
	"math"
	"slices"

	"stega/civil"
)

// Point is the return of a day with a price, since the previous day with a price. The first day of a series has no
// return: NaN.
type Point struct {
	Day   civil.Date
	Since civil.Date // set by Link; packed points lack it
	Value float64
}

// Of returns the points of ordered days and their returns.
func Of(days []civil.Date, returns []float64) []Point {
	points := make([]Point, len(days))
	for i := range points {
		points[i] = Point{Day: days[i], Value: returns[i]}
	}
	return points
}

// Years splits ordered points by year.
func Years(points []Point) iter.Seq2[int, []Point] {
	return func(yield func(int, []Point) bool) {
		for len(points) > 0 {
			year := points[0].Day.Year()
			n, _ := slices.BinarySearchFunc(points, NewYear(year+1), ByDay)
			if !yield(year, points[:n]) {
				return
			}
			points = points[n:]
		}
	}
}

// Same reports whether two points have the same day and value, whatever came before.
func (p Point) Same(o Point) bool {
	return p.Day == o.Day && (p.Value != p.Value && o.Value != o.Value ||
		math.Float64bits(p.Value) == math.Float64bits(o.Value))
}

// ByDay compares the day of a point, for binary searches.
func ByDay(p Point, day civil.Date) int { return int(p.Day - day) }

// NewYear returns the first day of a year.
func NewYear(year int) civil.Date { return civil.Of(year, 1, 1) }

// ErrPacked reports packed points that cannot be decoded.
var ErrPacked = errors.New("a packed series is damaged")

// Pack appends points to a packed year whose last day is last: the first of January for an empty year. For each day
// it appends a uvarint of the days since the previous day, and the eight bytes of the return. Equal points have equal
// bytes, and appending to a year only appends to its bytes.
func Pack(out []byte, last civil.Date, points []Point) []byte {
	for _, p := range points {
		value := p.Value
		if value != value {
			value = math.NaN() // one NaN for all
		}
		out = binary.AppendUvarint(out, uint64(p.Day-last))
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(value))
		last = p.Day
	}
	return out
}

// Unpack appends the points of a packed year. Errors: ErrPacked.
func Unpack(points []Point, year int, data []byte) ([]Point, error) {
	day := NewYear(year)
	for len(data) > 0 {
		since, n := binary.Uvarint(data)
		if n <= 0 || len(data) < n+8 || since > 366 {
			return points, ErrPacked
		}
		day += civil.Date(since)
		points = append(points, Point{Day: day, Value: math.Float64frombits(binary.LittleEndian.Uint64(data[n:]))})
		data = data[n+8:]
	}
	return points, nil
}

// Merge overwrites old points by updates, both ordered by day, and reports whether any point is new or differs.
func Merge(old, updates []Point) (all []Point, changed bool) {
	all = make([]Point, 0, len(old)+len(updates))
	for len(old) > 0 || len(updates) > 0 {
		switch {
		case len(updates) == 0 || len(old) > 0 && old[0].Day < updates[0].Day:
			all, old = append(all, old[0]), old[1:]
		case len(old) == 0 || updates[0].Day < old[0].Day:
			all, updates, changed = append(all, updates[0]), updates[1:], true
		default:
			changed = changed || !old[0].Same(updates[0])
			all, old, updates = append(all, updates[0]), old[1:], updates[1:]
		}
	}
	return all, changed
}

// Link sets Since in ordered points that follow a point of the day last.
func Link(points []Point, last civil.Date) {
	for i := range points {
		points[i].Since, last = last, points[i].Day
	}
}
