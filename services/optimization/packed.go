package optimization

import (
	"encoding/binary"
	"errors"
	"math"

	"stega/civil"
	"stega/events"
)

// point is the return of one day; NaN on the first day of a series, which has none.
type point struct {
	day   civil.Date
	value float64
}

func pointsOf(e events.AssetUpdated) []point {
	points := make([]point, len(e.Days))
	for i := range points {
		points[i] = point{e.Days[i], e.Returns[i]}
	}
	return points
}

// A packed year is, for each day in order, a uvarint of the days since the day before (the first: since the first of January), and eight bytes.
func pack(points []point) []byte {
	out := make([]byte, 0, 10*len(points))
	last := civil.Of(points[0].day.Year(), 1, 1)
	for _, p := range points {
		out = binary.AppendUvarint(out, uint64(p.day-last))
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(p.value))
		last = p.day
	}
	return out
}

var errPacked = errors.New("a packed series is damaged: rebuild it with stega rebuild --service optimization")

// unpack appends the points of a packed year.
func unpack(out []point, year int, data []byte) ([]point, error) {
	day := civil.Of(year, 1, 1)
	for len(data) > 0 {
		delta, n := binary.Uvarint(data)
		if n <= 0 || len(data) < n+8 {
			return out, errPacked
		}
		day += civil.Date(delta)
		out = append(out, point{day, math.Float64frombits(binary.LittleEndian.Uint64(data[n:]))})
		data = data[n+8:]
	}
	return out, nil
}

// merge puts points over others, both ordered by day; differs says whether anything is new.
func merge(old, fresh []point) (all []point, differs bool) {
	all = make([]point, 0, len(old)+len(fresh))
	for len(old) > 0 || len(fresh) > 0 {
		if len(fresh) == 0 || len(old) > 0 && old[0].day < fresh[0].day {
			all, old = append(all, old[0]), old[1:]
			continue
		}
		same := false
		if len(old) > 0 && old[0].day == fresh[0].day {
			same = math.Float64bits(old[0].value) == math.Float64bits(fresh[0].value)
			old = old[1:]
		}
		differs = differs || !same
		all, fresh = append(all, fresh[0]), fresh[1:]
	}
	return all, differs
}
