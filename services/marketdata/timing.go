package marketdata

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a container has no database of time zones

	"github.com/robfig/cron/v3"
)

// timing is a cron expression in a time zone.
type timing struct {
	spec *cron.SpecSchedule
	zone *time.Location
	// every is true for an expression of every hour.
	every bool
}

// starBit is the bit by which the parser distinguishes a star from a list of all values.
const starBit = 1 << 63

var errNever = errors.New("it never occurs")

// parseTiming parses a cron expression of five fields, or a word such as @daily, and the name of a time zone.
func parseTiming(expression, zone string) (timing, error) {
	place, err := parseZone(zone)
	if err != nil {
		return timing{}, err
	}
	spec, err := parseCron(expression)
	if err != nil {
		return timing{}, err
	}
	t := timing{spec: spec, zone: place, every: spec.Hour&starBit != 0}
	if t.after(time.Now()).IsZero() {
		return timing{}, errNever
	}
	return t, nil
}

func parseZone(name string) (*time.Location, error) {
	if name == "" || strings.EqualFold(name, "local") { // the zone of each machine differs
		return nil, fmt.Errorf("%q is no time zone", name)
	}
	place, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%.60q is no time zone", name)
	}
	return place, nil
}

func parseCron(expression string) (*cron.SpecSchedule, error) {
	if strings.Contains(expression, "=") || strings.HasPrefix(expression, "@every") {
		return nil, errors.New("it has five fields: minute, hour, day of the month, month, day of the week")
	}
	for field := range strings.FieldsSeq(expression) {
		if strings.Trim(field, ",") != field || strings.Contains(field, ",,") {
			return nil, fmt.Errorf("%.40q lacks a value beside a comma", field)
		}
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).
		Parse(expression)
	if err != nil {
		return nil, err
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("it is no cron expression")
	}
	return spec, nil
}

// after returns the next time after another; zero when there is none within five years.
func (t timing) after(before time.Time) time.Time {
	spec := *t.spec
	if t.every {
		spec.Location = t.zone
		return spec.Next(before).UTC()
	}
	spec.Location = time.UTC
	// The parser skips times in a skipped hour. So this loop computes the next time of wall clocks and looks up when
	// they show it.
	wall := wallClock(before.In(t.zone))
	for {
		if wall = spec.Next(wall); wall.IsZero() {
			return wall
		}
		if at := t.timeOf(wall); at.After(before) {
			return at.UTC()
		}
	}
}

// wallClock returns the date and time that clocks show at t, as a time in UTC.
func wallClock(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// timeOf returns the time at which clocks show a wall-clock time: the first when they show it twice, and the end of the
// gap when they skip it.
func (t timing) timeOf(wall time.Time) time.Time {
	before, after := t.offset(wall.Add(-24*time.Hour)), t.offset(wall.Add(24*time.Hour))
	first, second := wall.Add(-max(before, after)), wall.Add(-min(before, after))
	for _, at := range []time.Time{first, second} {
		if wallClock(at.In(t.zone)).Equal(wall) {
			return at
		}
	}
	jump, _ := second.In(t.zone).ZoneBounds() // the end of the gap
	return jump
}

func (t timing) offset(at time.Time) time.Duration {
	_, seconds := at.In(t.zone).Zone()
	return time.Duration(seconds) * time.Second
}
