package returns

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"stega/civil"
	"stega/events"
)

// point is the prices of one day: the close, and the adjusted one when the source has it (NaN otherwise). Statistics are floating point; the
// exact prices are marketdata's.
type point struct {
	day      civil.Date
	close    float64
	adjusted float64
}

func (p point) same(o point) bool {
	return p.day == o.day && p.close == o.close && math.Float64bits(p.adjusted) == math.Float64bits(o.adjusted)
}

// pointsOf takes what matters here out of an event, whose columns were checked.
func pointsOf(e events.PricesImported) []point {
	points := make([]point, len(e.Days))
	for i := range points {
		points[i] = point{day: e.Days[i], adjusted: math.NaN()}
		points[i].close, _ = e.Close[i].Decimal.Float64()
		if len(e.AdjClose) > 0 && e.AdjClose[i].Valid {
			points[i].adjusted, _ = e.AdjClose[i].Decimal.Float64()
		}
	}
	return points
}

// A packed year is, for each day in order, a uvarint of twice the days since the day before (the first: since the first of January) with the
// lowest bit set when there is an adjusted close, and eight bytes of each price. Equal points have equal bytes.
func pack(points []point) []byte {
	out := make([]byte, 0, 10*len(points))
	last := civil.Of(points[0].day.Year(), 1, 1)
	for _, p := range points {
		head := uint64(p.day-last) << 1
		last = p.day
		if !math.IsNaN(p.adjusted) {
			head |= 1
		}
		out = binary.AppendUvarint(out, head)
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(p.close))
		if head&1 == 1 {
			out = binary.LittleEndian.AppendUint64(out, math.Float64bits(p.adjusted))
		}
	}
	return out
}

var errPacked = errors.New("a packed series is damaged: rebuild it with stega rebuild --service returns")

// unpack appends the points of a packed year.
func unpack(out []point, year int, data []byte) ([]point, error) {
	day := civil.Of(year, 1, 1)
	for len(data) > 0 {
		head, n := binary.Uvarint(data)
		need := 8 + 8*int(head&1)
		if n <= 0 || len(data) < n+need {
			return out, errPacked
		}
		data = data[n:]
		day += civil.Date(head >> 1)
		p := point{day: day, close: math.Float64frombits(binary.LittleEndian.Uint64(data)), adjusted: math.NaN()}
		if head&1 == 1 {
			p.adjusted = math.Float64frombits(binary.LittleEndian.Uint64(data[8:]))
		}
		data = data[need:]
		out = append(out, p)
	}
	return out, nil
}

// merge puts points over others, both ordered by day, and returns all with those that are new or differ.
func merge(old, fresh []point) (all, changed []point) {
	if len(old) == 0 || len(fresh) == 0 || old[len(old)-1].day < fresh[0].day {
		return append(slices.Clone(old), fresh...), fresh
	}
	all = make([]point, 0, len(old)+len(fresh))
	for len(old) > 0 || len(fresh) > 0 {
		if len(fresh) == 0 || len(old) > 0 && old[0].day < fresh[0].day {
			all, old = append(all, old[0]), old[1:]
			continue
		}
		differs := true
		if len(old) > 0 && old[0].day == fresh[0].day {
			differs = !old[0].same(fresh[0])
			old = old[1:]
		}
		if differs {
			changed = append(changed, fresh[0])
		}
		all, fresh = append(all, fresh[0]), fresh[1:]
	}
	return all, changed
}
