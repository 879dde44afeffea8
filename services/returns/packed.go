package returns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"stega/civil"
	"stega/events"
	"stega/quant"
)

// point is the prices of one day: the close, and what makes it comparable with those of other days, each NaN when the
// source does not say it. Statistics are floating point; the exact prices are marketdata's.
type point struct {
	day      civil.Date
	close    float64
	adjusted float64 // the source's adjusted close
	dividend float64 // cash per share, on its ex-day
	split    float64 // new shares for one old, on its ex-day
}

func pointOf(day civil.Date, close float64) point {
	return point{day: day, close: close, adjusted: math.NaN(), dividend: math.NaN(), split: math.NaN()}
}

// extras are the values beside the close, in the order of their bits.
func (p *point) extras() [extras]*float64 {
	return [extras]*float64{&p.adjusted, &p.dividend, &p.split}
}

const extras = 3

func (p point) same(o point) bool {
	mine, others := p.extras(), o.extras()
	for i := range mine {
		if math.Float64bits(*mine[i]) != math.Float64bits(*others[i]) {
			return false
		}
	}
	return p.day == o.day && p.close == o.close
}

// between is the return from one point to the next: that of the adjusted closes when both have one, and else that of
// the closes, adjusted for the dividend and the split of the later. So a file without adjusted closes beside one with
// them makes no jump.
func between(a, b point) float64 {
	return quant.Bars{
		Close: []float64{a.close, b.close}, Adjusted: []float64{a.adjusted, b.adjusted}, Dividend: []float64{a.dividend, b.dividend},
		Split: []float64{a.split, b.split},
	}.Return(1)
}

// pointsOf takes what matters here out of an event, whose columns were checked. A dividend of nothing and a split
// into one are none.
func pointsOf(e events.PricesImported) []point {
	points := make([]point, len(e.Days))
	for i := range points {
		p := pointOf(e.Days[i], valueOf(e.Close, i))
		p.adjusted = valueOf(e.AdjClose, i)
		if d := valueOf(e.Dividend, i); d > 0 {
			p.dividend = d
		}
		if s := valueOf(e.Split, i); s != 1 {
			p.split = s
		}
		points[i] = p
	}
	return points
}

func valueOf(c events.Column, i int) float64 {
	if i >= len(c) || !c[i].Valid {
		return math.NaN()
	}
	v, _ := c[i].Decimal.Float64()
	return v
}

// The formats of a packed year: the first, which is still read, had only one bit, that of the adjusted close.
const (
	closesOnly = 1
	format     = 2
)

// bitsOf is how many values beside the close a format has.
func bitsOf(f int) (int, error) {
	switch f {
	case closesOnly:
		return 1, nil
	case format:
		return extras, nil
	}
	return 0, fmt.Errorf("%w: format %d", errPacked, f)
}

// A packed year is, for each day in order, a uvarint of the days since the day before (the first: since the first of
// January), shifted by a bit for each value beside the close that may be there, and eight bytes of the close and of
// each that is. Equal points have equal bytes.
func pack(points []point) []byte {
	out := make([]byte, 0, 10*len(points))
	last := civil.Of(points[0].day.Year(), 1, 1)
	for _, p := range points {
		head := uint64(p.day-last) << extras
		last = p.day
		for bit, v := range p.extras() {
			if !math.IsNaN(*v) {
				head |= 1 << bit
			}
		}
		out = binary.AppendUvarint(out, head)
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(p.close))
		for _, v := range p.extras() {
			if !math.IsNaN(*v) {
				out = binary.LittleEndian.AppendUint64(out, math.Float64bits(*v))
			}
		}
	}
	return out
}

var errPacked = errors.New("a packed series is damaged: rebuild it with stega rebuild --service returns")

// unpack appends the points of a packed year.
func (r *row) unpack(out []point) ([]point, error) {
	width, err := bitsOf(r.Format)
	if err != nil {
		return out, err
	}
	day := civil.Of(r.Year, 1, 1)
	for data := r.Data; len(data) > 0; {
		head, n := binary.Uvarint(data)
		mask := head & (1<<width - 1)
		need := 8 + 8*bits.OnesCount64(mask)
		if n <= 0 || len(data) < n+need {
			return out, errPacked
		}
		values := data[n : n+need]
		data = data[n+need:]
		day += civil.Date(head >> width)
		p := pointOf(day, math.Float64frombits(binary.LittleEndian.Uint64(values)))
		for bit, v := range p.extras() {
			if mask>>bit&1 == 1 {
				values = values[8:]
				*v = math.Float64frombits(binary.LittleEndian.Uint64(values))
			}
		}
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
