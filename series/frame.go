package series

import (
	"errors"
	"iter"
	"math"
	"slices"

	"stega/civil"
)

// Row is the span of the returns in a row of a Frame: from the day Since to the day Day.
type Row struct{ Day, Since civil.Date }

// Compare orders rows by day, and the rows of one day by length, the longest first.
func (r Row) Compare(o Row) int {
	if r.Day != o.Day {
		return int(r.Day - o.Day)
	}
	return int(r.Since - o.Since)
}

// Row returns the row of a point.
func (p Point) Row() Row { return Row{p.Day, p.Since} }

// Frame holds the returns of several series side by side: Values[i][t] is the return of series i in Rows[t], NaN for
// none. Each row has at least one return.
type Frame struct {
	Rows   []Row
	Values [][]float64
}

// Align puts series side by side, each given by runs of linked points in order. A row has the returns between two
// days. A return over days without a price is in a row with returns over the same days, not with returns of its last
// day alone. Errors: ErrTooLarge for a frame of more than MaxCells.
func Align(all []iter.Seq[[]Point]) (Frame, error) {
	f := Frame{Values: make([][]float64, len(all))}
	c := newCalendar(all)
	if c == nil {
		return f, nil
	}
	f.Rows = c.rows()
	if len(all)*len(f.Rows) > MaxCells {
		return Frame{}, ErrTooLarge
	}
	room := make([]float64, len(all)*len(f.Rows))
	for i := range room {
		room[i] = math.NaN()
	}
	for i, runs := range all {
		column := room[i*len(f.Rows) : (i+1)*len(f.Rows)]
		f.Values[i] = column
		for points := range runs {
			for i := range points {
				column[c.at(&points[i])] = points[i].Value
			}
		}
	}
	return f, nil
}

// MaxCells limits the series times the rows of a frame, at 8 bytes each: a thousand series of a hundred years.
const MaxCells = 1 << 25

// ErrTooLarge reports a frame of more than MaxCells.
var ErrTooLarge = errors.New("the series have too many days side by side")

// calendar holds the rows of a frame. Most days have one row.
type calendar struct {
	low   civil.Date
	since []civil.Date // for each day from low, that of the first point; none
	index []int32      // index of that row
	more  map[Row]int32
}

const none = civil.Date(math.MinInt32)

// newCalendar returns nil without points.
func newCalendar(all []iter.Seq[[]Point]) *calendar {
	low, high := civil.Date(math.MaxInt32), none
	for _, runs := range all {
		for points := range runs {
			if len(points) > 0 {
				low, high = min(low, points[0].Day), max(high, points[len(points)-1].Day)
			}
		}
	}
	if low > high {
		return nil
	}
	c := &calendar{low: low, since: make([]civil.Date, high-low+1), index: make([]int32, high-low+1),
		more: map[Row]int32{}}
	for i := range c.since {
		c.since[i] = none
	}
	for _, runs := range all {
		for points := range runs {
			for i := range points {
				switch p := &points[i]; c.since[p.Day-low] {
				case p.Since:
				case none:
					c.since[p.Day-low] = p.Since
				default:
					c.more[p.Row()] = 0
				}
			}
		}
	}
	return c
}

// rows returns the ordered rows and sets their indexes.
func (c *calendar) rows() []Row {
	rows := make([]Row, 0, len(c.since)+len(c.more))
	for i, since := range c.since {
		if since != none {
			rows = append(rows, Row{c.low + civil.Date(i), since})
		}
	}
	for r := range c.more {
		rows = append(rows, r)
	}
	if len(c.more) > 0 {
		slices.SortFunc(rows, Row.Compare)
	}
	for t, r := range rows {
		if i := r.Day - c.low; c.since[i] == r.Since {
			c.index[i] = int32(t)
		} else {
			c.more[r] = int32(t)
		}
	}
	return rows
}

func (c *calendar) at(p *Point) int32 {
	if i := p.Day - c.low; c.since[i] == p.Since {
		return c.index[i]
	}
	return c.more[p.Row()]
}

// ByDay returns the frame with one row for each day, whatever span its returns cover, as if each series stood still
// until its next price. Estimators that count a missing return as 0 need it.
func (f Frame) ByDay() Frame {
	out := Frame{Values: make([][]float64, len(f.Values))}
	for t, r := range f.Rows {
		again := t > 0 && f.Rows[t-1].Day == r.Day
		if !again {
			out.Rows = append(out.Rows, Row{r.Day, r.Day})
		}
		for i, values := range f.Values {
			if last := len(out.Values[i]) - 1; !again {
				out.Values[i] = append(out.Values[i], values[t])
			} else if values[t] == values[t] {
				out.Values[i][last] = values[t]
			}
		}
	}
	return out
}

// Ages returns, for each row, the number of later days with a return: the ages of exponential weights.
func (f Frame) Ages() []float64 {
	ages := make([]float64, len(f.Rows))
	for t := len(ages) - 2; t >= 0; t-- {
		if ages[t] = ages[t+1]; f.Rows[t].Day != f.Rows[t+1].Day {
			ages[t]++
		}
	}
	return ages
}

// Days returns the number of days on which rows end.
func (f Frame) Days() int {
	if len(f.Rows) == 0 {
		return 0
	}
	return int(f.Ages()[0]) + 1
}

// Mean returns the mean of the returns of each day, taken from the row with the most returns; of several such rows,
// the shortest. The other rows of the day have NaN, so that no time counts twice.
func (f Frame) Mean() []float64 {
	mean, best, most := make([]float64, len(f.Rows)), 0, 0
	for t := range f.Rows {
		sum, n := 0.0, 0
		for _, values := range f.Values {
			if v := values[t]; v == v {
				sum, n = sum+v, n+1
			}
		}
		mean[t] = sum / float64(n)
		switch {
		case t == 0 || f.Rows[t-1].Day != f.Rows[t].Day:
			best, most = t, n
		case n >= most:
			mean[best], best, most = math.NaN(), t, n
		default:
			mean[t] = math.NaN()
		}
	}
	return mean
}
