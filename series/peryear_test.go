package series

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"stega/civil"
)

// The number of returns a year is that of the calendar that the days follow, and otherwise returns by time.
func TestReturnsAYearComeFromTheDays(t *testing.T) {
	t.Parallel()
	span := func(n int, keep func(i int, day civil.Date) bool) (days []civil.Date) {
		for i := range n {
			if day := civil.Of(2023, time.January, 2).AddDays(i); keep(i, day) {
				days = append(days, day)
			}
		}
		return days
	}
	weekday := func(day civil.Date) bool { return day.WeekEnd()-day >= 2 }
	all := func(_ int, day civil.Date) bool { return weekday(day) }
	for name, c := range map[string]struct {
		f      Frequency
		days   []civil.Date
		want   float64
		within float64
	}{
		"a year of weekdays": {Daily, span(365, all), 252, 0},
		"a week":             {Daily, span(5, all), 252, 0},
		"one return":         {Daily, span(2, all), 252, 0},
		"a week with a holiday": {Daily, span(9, func(i int, d civil.Date) bool {
			return weekday(d) && i != 3
		}), 252, 0},
		"every day": {Daily, span(365, func(int, civil.Date) bool { return true }), 365, 0},
		"every second weekday": {Daily, span(364, func(i int, d civil.Date) bool {
			return weekday(d) && i%2 == 0
		}), 130.5, 1},
		"Fridays": {Daily, span(365, func(_ int, d civil.Date) bool {
			return d.Weekday() == time.Friday
		}), 52, 0},
		"ends of months": {Daily, span(365, func(_ int, d civil.Date) bool {
			return d == d.MonthEnd()
		}), 12, 0},
		"two prices a quarter apart": {Daily, span(92, func(i int, _ civil.Date) bool {
			return i%91 == 0
		}), 365.25 / 91, 0.1},
		"weeks": {Weekly, span(365, func(_ int, d civil.Date) bool {
			return d.Weekday() == time.Friday
		}), 52, 0},
		"weeks of ends of months": {Weekly, span(365, func(_ int, d civil.Date) bool {
			return d == d.MonthEnd()
		}), 12, 0.3},
		"months": {Monthly, span(365, func(_ int, d civil.Date) bool {
			return d == d.MonthEnd()
		}), 12, 0},
		"months of one price in two": {Monthly, span(365, func(_ int, d civil.Date) bool {
			_, m, _ := d.Civil()
			return d == d.MonthEnd() && m%2 == 0
		}), 6, 0.1},
		"no return": {Daily, nil, 252, 0},
	} {
		assert.InDelta(t, c.want, c.f.PerYearOf(c.days), c.within, name)
	}
}
