package series

import (
	"iter"
	"slices"

	"stega/civil"
	"stega/quant"
)

// Frequency is the length of the period of a return.
type Frequency string

// The frequencies. The zero value is Daily.
const (
	Daily   Frequency = "daily"
	Weekly  Frequency = "weekly"
	Monthly Frequency = "monthly"
)

// PerYear returns the number of returns in a year.
func (f Frequency) PerYear() float64 {
	switch f {
	case Weekly:
		return quant.Weekly
	case Monthly:
		return quant.Monthly
	case Daily:
	}
	return quant.Daily
}

// End returns the last day of the week or month of a day. Weeks end on Sunday.
func (f Frequency) End(day civil.Date) civil.Date {
	switch f {
	case Weekly:
		return day.WeekEnd()
	case Monthly:
		return day.MonthEnd()
	case Daily:
	}
	return day
}

// Period returns a row by the ends of its periods, which the rows of other frames share. A row that begins within the
// period in which it ends keeps its first day.
func (f Frequency) Period(r Row) Row {
	p := Row{f.End(r.Day), f.End(r.Since)}
	if p.Since == p.Day {
		p.Since = r.Since
	}
	return p
}

// Align puts series side by side as the function Align does, with their returns compounded to weeks or months. The
// first and the last of a series may be parts of one. A row begins and ends on the last day of a period on which any
// series has a price, so that series whose weeks end on different days share rows.
func (f Frequency) Align(all []iter.Seq[[]Point]) (Frame, error) {
	if f.PerYear() == quant.Daily {
		return Align(all)
	}
	last := map[civil.Date]civil.Date{} // by the end of the period
	for _, runs := range all {
		for r := range f.periods(runs) {
			for _, day := range []civil.Date{r.points[len(r.points)-1].Day, r.points[0].Since} {
				end := f.End(day)
				if known, ok := last[end]; !ok || day > known {
					last[end] = day
				}
			}
		}
	}
	compounded := make([]iter.Seq[[]Point], len(all))
	for i, runs := range all {
		var points []Point
		for r := range f.periods(runs) {
			p := Point{Day: last[r.end], Since: r.points[0].Since, Value: quant.CumulativeReturn(r.returns())}
			if before := f.End(p.Since); before != r.end {
				p.Since = last[before]
			}
			points = append(points, p)
		}
		compounded[i] = slices.Values([][]Point{points})
	}
	return Align(compounded)
}

// period holds the returns that end in a week or month.
type period struct {
	end    civil.Date
	points []Point
}

func (p period) returns() []float64 {
	values := make([]float64, len(p.points))
	for i := range p.points {
		values[i] = p.points[i].Value
	}
	return values
}

// periods splits linked points in order, given in runs, into weeks or months.
func (f Frequency) periods(runs iter.Seq[[]Point]) iter.Seq[period] {
	return func(yield func(period) bool) {
		var p period
		for points := range runs {
			for _, point := range points {
				if len(p.points) > 0 && point.Day > p.end {
					if !yield(p) {
						return
					}
					p.points = p.points[:0]
				}
				if len(p.points) == 0 {
					p.end = f.End(point.Day)
				}
				p.points = append(p.points, point)
			}
		}
		if len(p.points) > 0 {
			yield(p)
		}
	}
}
