package series

import (
	"math"
	"time"

	"stega/civil"
	"stega/quant"
)

// everyDay is the number of returns in a year of a market that trades every day.
const everyDay = 365.0

// few is the relative difference within which a number of returns a year is that of a calendar, and tolerated is the
// number of holidays that a short series may have besides.
const (
	few       = 0.05
	tolerated = 2
)

// PerYearOf returns the number of returns in a year of a series with prices on some days, in order: that of the
// calendar that the days follow, 252, 365, 52 or 12, and otherwise returns / (days/365.25). A series of weekdays is
// measured in weekdays, so that neither a weekend at its ends nor a holiday matters. Weekly and monthly returns are
// measured in weeks and months. The result is PerYear for fewer than two days.
func (f Frequency) PerYearOf(days []civil.Date) float64 {
	if len(days) < 2 {
		return f.PerYear()
	}
	n, first, last := float64(len(days)-1), days[0], days[len(days)-1]
	if f.PerYear() != quant.Daily {
		// The ends of periods are days of a calendar; the first period may be a return itself.
		possible := math.Round(float64(f.End(last)-f.End(first)) / 365.25 * f.PerYear())
		if n >= possible*(1-few) {
			return f.PerYear()
		}
		return f.PerYear() * n / possible
	}
	year, weekends := 365.25, false
	span := float64(last - first)
	for _, day := range days[1:] {
		weekends = weekends || day.Weekday() == time.Saturday || day.Weekday() == time.Sunday
	}
	daily := []float64{quant.Daily, everyDay}
	if !weekends {
		span, year = float64(weekdays(first, last)), 365.25*5/7
		daily = daily[:1]
	}
	rate, most := n/span*year, (n+tolerated)/span*year
	for _, full := range daily {
		if rate <= full*(1+few) && most >= full*(1-few) {
			return full
		}
	}
	for _, full := range []float64{quant.Weekly, quant.Monthly} {
		if math.Abs(rate/full-1) <= few {
			return full
		}
	}
	return rate
}

// weekdays returns the number of days from Monday to Friday after one day and up to another.
func weekdays(after, to civil.Date) int {
	weeks := int(to-after) / 7
	n := 5 * weeks
	for day := after.AddDays(7*weeks + 1); day <= to; day++ {
		if w := day.Weekday(); w != time.Saturday && w != time.Sunday {
			n++
		}
	}
	return max(n, 1)
}
