// Package civil provides calendar days: exchange-local dates without a time or a zone.
package civil

import (
	"fmt"
	"time"
)

// Date is a calendar day, counted in days from 1970-01-01; the zero value is that day.
type Date int32

// Of returns the date of a year, month and day; out-of-range days are normalized as by time.Date.
func Of(year int, month time.Month, day int) Date {
	return Date(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// FromTime returns the day of t in t's own zone.
func FromTime(t time.Time) Date { return Of(t.Date()) }

// Valid reports whether year, month and day name a real day.
func Valid(year, month, day int) bool {
	return month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month) && year >= 1 && year <= 9999
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// Parse parses YYYY-MM-DD.
func Parse(s string) (Date, error) { return ParseBytes([]byte(s)) }

// ParseBytes parses YYYY-MM-DD without allocating.
func ParseBytes(b []byte) (Date, error) {
	if len(b) != 10 || b[4] != '-' || b[7] != '-' {
		return 0, fmt.Errorf("%q is not a date of the form YYYY-MM-DD", b)
	}
	n := func(i, j int) int {
		v := 0
		for ; i < j; i++ {
			c := b[i] - '0'
			if c > 9 {
				return -1
			}
			v = v*10 + int(c)
		}
		return v
	}
	y, m, d := n(0, 4), n(5, 7), n(8, 10)
	if !Valid(y, m, d) {
		return 0, fmt.Errorf("%q is not a day of the calendar", b)
	}
	return fromCivil(y, m, d), nil
}

// fromCivil returns the days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
func fromCivil(y, m, d int) Date {
	if m <= 2 {
		y--
	}
	era := y / 400
	yoe := y - era*400
	mp := (m + 9) % 12
	doy := (153*mp+2)/5 + d - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return Date(era*146097 + doe - 719468)
}

// Civil returns the year, month and day of a date.
func (d Date) Civil() (year, month, day int) {
	z := int(d) + 719468
	era := z / 146097
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = doy - (153*mp+2)/5 + 1
	month = mp + 3
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, day
}

// Year returns the calendar year.
func (d Date) Year() int { y, _, _ := d.Civil(); return y }

// Append appends YYYY-MM-DD to b.
func (d Date) Append(b []byte) []byte {
	y, m, day := d.Civil()
	return append(b, byte('0'+y/1000), byte('0'+y/100%10), byte('0'+y/10%10), byte('0'+y%10), '-',
		byte('0'+m/10), byte('0'+m%10), '-', byte('0'+day/10), byte('0'+day%10))
}

func (d Date) String() string { return string(d.Append(make([]byte, 0, 10))) }

// Time returns the start of the day in UTC.
func (d Date) Time() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// AddDays returns the date n days later.
func (d Date) AddDays(n int) Date { return d + Date(n) }

// WeekEnd returns the Sunday of the week of a day.
func (d Date) WeekEnd() Date { return d + (7-Date(d.Weekday()))%7 }

// MonthEnd returns the last day of the month of a day.
func (d Date) MonthEnd() Date {
	year, month, _ := d.Civil()
	return Of(year+month/12, time.Month(month%12+1), 1) - 1
}

// Weekday returns the day of the week.
func (d Date) Weekday() time.Weekday { return d.Time().Weekday() }

// MarshalText returns YYYY-MM-DD.
func (d Date) MarshalText() ([]byte, error) { return d.Append(make([]byte, 0, 10)), nil }

// UnmarshalText parses YYYY-MM-DD.
func (d *Date) UnmarshalText(b []byte) error {
	v, err := ParseBytes(b)
	if err == nil {
		*d = v
	}
	return err
}
