package returns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/govalues/decimal"

	"stega/civil"
	"stega/events"
	"stega/quant"
)

// point holds the close of one day and the values that adjust it, each NaN when the source has none. Statistics need
// floating point only; the service marketdata stores the exact prices.
type point struct {
	day      civil.Date
	close    float64
	adjusted float64 // the source's adjusted close
	dividend float64 // cash per share, on its ex-day
	split    float64 // new shares for one old, on its ex-day
}

// newPoint returns the point of a day with a close and no other value.
func newPoint(day civil.Date, close float64) point {
	return point{day: day, close: close, adjusted: math.NaN(), dividend: math.NaN(), split: math.NaN()}
}

// extras returns the values beside the close, in the order of their bits in the packed form.
func (p *point) extras() [extras]*float64 {
	return [extras]*float64{&p.adjusted, &p.dividend, &p.split}
}

// extras is the number of values beside the close.
const extras = 3

// equal reports whether two points have the same day and the same values, to the last bit.
func (p point) equal(o point) bool {
	a, b := p.extras(), o.extras()
	for i := range a {
		if math.Float64bits(*a[i]) != math.Float64bits(*b[i]) {
			return false
		}
	}
	return p.day == o.day && p.close == o.close
}

// returnBetween returns the return from one point to the next: that of the adjusted closes when both have one, else
// that of the closes, adjusted for the dividend and the split of the later point. So adjusted and plain closes next to
// each other cause no jump.
func returnBetween(a, b point) float64 {
	return quant.Bars{
		Close: []float64{a.close, b.close}, Adjusted: []float64{a.adjusted, b.adjusted},
		Dividend: []float64{a.dividend, b.dividend}, Split: []float64{a.split, b.split},
	}.Return(1)
}

// pointsOf returns the points of an event, whose columns were checked. It drops dividends of 0 and splits of 1 for 1.
func pointsOf(e events.PricesImported) []point {
	points := make([]point, len(e.Days))
	for i := range points {
		p := newPoint(e.Days[i], valueOf(e.Close, i))
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

// valueOf returns a value of a column, and NaN where the column has none.
func valueOf(c events.Column, i int) float64 {
	if i >= len(c) || !c[i].Valid {
		return math.NaN()
	}
	d := c[i].Decimal
	if digits := d.Coef(); digits < 1<<53 { // both are exact, so the quotient is rounded once
		v := float64(digits) / powers10[d.Scale()]
		if d.IsNeg() {
			return -v
		}
		return v
	}
	v, _ := d.Float64()
	return v
}

// powers10 are the powers of ten that a scale can have, all of them exact.
var powers10 = [decimal.MaxScale + 1]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}

// The formats of a packed year. The first, which is still read, has one bit, that of the adjusted close.
const (
	formatCloses  = 1
	currentFormat = 2
)

// extraBits returns the number of values beside the close that a format can have.
func extraBits(f int) (int, error) {
	switch f {
	case formatCloses:
		return 1, nil
	case currentFormat:
		return extras, nil
	}
	return 0, fmt.Errorf("%w: format %d", errPacked, f)
}

// pack returns the packed form of the points of one year, which has no padding: equal points have equal bytes. Each
// point is a uvarint and eight bytes for the close and for each value beside it. The low bits of the uvarint mark the
// values that are present; the rest counts the days since the point before, or since the first of January.
func pack(points []point) []byte {
	out := make([]byte, 0, 10*len(points))
	previous := civil.Of(points[0].day.Year(), 1, 1)
	for _, p := range points {
		head := uint64(p.day-previous) << extras
		previous = p.day
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

// unpack appends the points of a packed year to out.
func (r *row) unpack(out []point) ([]point, error) {
	width, err := extraBits(r.Format)
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
		p := newPoint(day, math.Float64frombits(binary.LittleEndian.Uint64(values)))
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

// merge merges points into old ones, both ordered by day; of one day, the new point wins. It returns all points, and
// those that are new or differ.
func merge(old, points []point) (all, changed []point) {
	if len(old) == 0 || len(points) == 0 || old[len(old)-1].day < points[0].day {
		return append(slices.Clone(old), points...), points
	}
	all = make([]point, 0, len(old)+len(points))
	for len(old) > 0 || len(points) > 0 {
		if len(points) == 0 || len(old) > 0 && old[0].day < points[0].day {
			all, old = append(all, old[0]), old[1:]
			continue
		}
		differs := true
		if len(old) > 0 && old[0].day == points[0].day {
			differs = !old[0].equal(points[0])
			old = old[1:]
		}
		if differs {
			changed = append(changed, points[0])
		}
		all, points = append(all, points[0]), points[1:]
	}
	return all, changed
}
