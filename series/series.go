// Package series has the returns of symbols as services keep them, packed by years, and sets them side by side (Frame).
package series

import (
	"encoding/binary"
	"errors"
	"iter"
	"math"
	"slices"

	"stega/civil"
)

// Point is the return of a day that has a price, since the day of the price before. The first day of a series has
// none: there it is NaN.
type Point struct {
	Day   civil.Date
	Since civil.Date // as Link says; packed points do not have it
	Value float64
}

// Of makes points of days, ordered, and their returns.
func Of(days []civil.Date, returns []float64) []Point {
	points := make([]Point, len(days))
	for i := range points {
		points[i] = Point{Day: days[i], Value: returns[i]}
	}
	return points
}

// Years cuts ordered points into the years that they are of.
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

// Same reports whether two points say the same of the same day, whatever came before it.
func (p Point) Same(o Point) bool {
	return p.Day == o.Day && (p.Value != p.Value && o.Value != o.Value ||
		math.Float64bits(p.Value) == math.Float64bits(o.Value))
}

// ByDay compares the day of a point, for binary searches.
func ByDay(p Point, day civil.Date) int { return int(p.Day - day) }

// NewYear is the first day of a year.
func NewYear(year int) civil.Date { return civil.Of(year, 1, 1) }

// ErrPacked says that packed points cannot be read.
var ErrPacked = errors.New("a packed series is damaged")

// Pack appends points to a packed year whose last day is last (the first of January for an empty one). It is, for
// each day in order, a uvarint of the days since the day before and eight bytes of the return. Equal points have
// equal bytes, and what is appended to a year is what its packed form goes on with.
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

// Unpack appends the points of a packed year. ErrPacked.
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

// Merge puts points over others, both ordered by day, and says whether any is new or differs.
func Merge(old, fresh []Point) (all []Point, changed bool) {
	all = make([]Point, 0, len(old)+len(fresh))
	for len(old) > 0 || len(fresh) > 0 {
		switch {
		case len(fresh) == 0 || len(old) > 0 && old[0].Day < fresh[0].Day:
			all, old = append(all, old[0]), old[1:]
		case len(old) == 0 || fresh[0].Day < old[0].Day:
			all, fresh, changed = append(all, fresh[0]), fresh[1:], true
		default:
			changed = changed || !old[0].Same(fresh[0])
			all, old, fresh = append(all, fresh[0]), old[1:], fresh[1:]
		}
	}
	return all, changed
}

// Link says of points in order, which follow one of the day last, since when each of their returns is.
func Link(points []Point, last civil.Date) {
	for i := range points {
		points[i].Since, last = last, points[i].Day
	}
}
