package plot

import (
	"math"
	"strconv"
	"time"

	"stega/civil"
)

// axis is a range of values with its ticks.
type axis struct {
	lo, hi float64
	ticks  []tick
}

type tick struct {
	at   float64
	text string
}

func emptyAxis() axis { return axis{lo: math.Inf(1), hi: math.Inf(-1)} }

func (a *axis) empty() bool { return a.lo > a.hi }

func (a *axis) include(v float64) { a.lo, a.hi = math.Min(a.lo, v), math.Max(a.hi, v) }

// widen adds space around a single value, or around values that are nearly equal.
func (a *axis) widen(least float64) {
	if size := math.Max(math.Abs(a.lo), math.Abs(a.hi)); a.hi-a.lo > size*1e-9 {
		return
	}
	by := math.Max(math.Abs(a.lo)/2, least)
	a.lo, a.hi = a.lo-by, a.hi+by
}

// share returns the position of a value between the ends: 0 is lo, 1 is hi.
func (a *axis) share(v float64) float64 { return (v - a.lo) / (a.hi - a.lo) }

// little is how far, in steps, values may exceed a round one without another whole step, which would compress the
// plot.
const little = 0.1

// numbers divides the axis into about n round steps, and makes it begin and end on one, or a little beyond.
func (a *axis) numbers(n int, percent bool) {
	a.widen(0.01)
	step := roundStep((a.hi - a.lo) / float64(max(n, 1)))
	first, last := math.Floor(a.lo/step+1e-9), math.Ceil(a.hi/step-1e-9)
	lo, hi := first*step, last*step
	if next := (first + 1) * step; next-a.lo < little*step {
		first, lo = first+1, next-little*step
	}
	if before := (last - 1) * step; a.hi-before < little*step {
		last, hi = last-1, before+little*step
	}
	a.lo, a.hi = lo, hi
	for k := first; k <= last; k++ {
		a.ticks = append(a.ticks, tick{k * step, number(k*step, step, percent)})
	}
}

// roundStep returns 1, 2 or 5 times a power of ten, at least the given step.
func roundStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= least*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// number formats a value with the digits that distinguish steps.
func number(v, step float64, percent bool) string {
	unit := ""
	if percent {
		v, step, unit = v*100, step*100, " %"
	}
	digits := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	if digits > 9 || math.Abs(v) >= 1e9 {
		return strconv.FormatFloat(v, 'g', 4, 64) + unit
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if v == 0 {
		text = "0"
	}
	return text + unit
}

// days divides the axis into steps of days, months or years, as many as fit in the columns of text.
func (a *axis) days(columns int) {
	a.widen(1)
	for _, s := range daySteps {
		if a.ticks = s.ticks(civil.Date(math.Ceil(a.lo)), civil.Date(math.Floor(a.hi)), columns); a.ticks != nil {
			return
		}
	}
}

// dayStep is a distance between ticks, in days or months.
type dayStep struct{ days, months int }

var daySteps = []dayStep{
	{days: 1}, {days: 2}, {days: 7}, {days: 14}, {months: 1}, {months: 2}, {months: 3}, {months: 6}, {months: 12},
	{months: 24}, {months: 60},
	{months: 120}, {months: 240}, {months: 600}, {months: 1200}, {months: 2400}, {months: 6000}, {months: 120000},
}

// ticks returns the ticks between two days, or nil if they do not fit; two always fit.
func (s dayStep) ticks(from, to civil.Date, columns int) []tick {
	ticks := []tick{}
	for d := s.first(from); d <= to; d = s.next(d) {
		text := s.text(d)
		if n := len(ticks) + 1; n > 2 && n*(len(text)+4) > columns {
			return nil
		}
		ticks = append(ticks, tick{float64(d), text})
	}
	return ticks
}

// first returns the first tick on or after a day: weeks begin on Monday.
func (s dayStep) first(from civil.Date) civil.Date {
	if s.months == 0 {
		if over := (int(from) + 3) % s.days; over > 0 {
			from = from.AddDays(s.days - over)
		}
		return from
	}
	y, m, d := from.Civil()
	months := y*12 + m - 1
	if d > 1 {
		months++
	}
	return monthDay((months + s.months - 1) / s.months * s.months)
}

func (s dayStep) next(d civil.Date) civil.Date {
	if s.months == 0 {
		return d.AddDays(s.days)
	}
	y, m, _ := d.Civil()
	return monthDay(y*12 + m - 1 + s.months)
}

func (s dayStep) text(d civil.Date) string {
	text := d.String()
	switch {
	case s.months == 0:
		return text
	case s.months%12 == 0:
		return text[:len(text)-6]
	}
	return text[:len(text)-3]
}

// monthDay returns the first day of a month, counted from January of the year 0.
func monthDay(months int) civil.Date { return civil.Of(months/12, time.Month(months%12+1), 1) }
