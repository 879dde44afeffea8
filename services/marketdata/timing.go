package marketdata

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a container has no database of time zones

	"github.com/robfig/cron/v3"
)

// timing is when something runs: a cron expression in the time of some place.
//
// Where clocks are put forward, what would run in the hour that is left out runs when it ends; where they are put
// back, what runs in the hour that comes twice runs the first time. An expression for every hour goes by the time
// that passes, and knows of neither.
type timing struct {
	spec *cron.SpecSchedule
	zone *time.Location
	// every says that the expression is for every hour.
	every bool
}

// everyHour is the bit by which the parser tells a star from a list of all.
const everyHour = 1 << 63

var errOneShot = errors.New("it never comes")

// parseTiming reads a cron expression of five fields, or a word such as @daily, and the name of a time zone.
func parseTiming(expression, zone string) (timing, error) {
	place, err := parseZone(zone)
	if err != nil {
		return timing{}, err
	}
	spec, err := parseCron(expression)
	if err != nil {
		return timing{}, err
	}
	t := timing{spec: spec, zone: place, every: spec.Hour&everyHour != 0}
	if t.after(time.Now()).IsZero() {
		return timing{}, errOneShot
	}
	return t, nil
}

func parseZone(name string) (*time.Location, error) {
	if name == "" || strings.EqualFold(name, "local") { // which would be another on each machine
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
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse(expression)
	if err != nil {
		return nil, err
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("it is no cron expression")
	}
	return spec, nil
}

// after is the first time after another one; zero when there is none within five years.
func (t timing) after(before time.Time) time.Time {
	spec := *t.spec
	if t.every {
		spec.Location = t.zone
		return spec.Next(before).UTC()
	}
	spec.Location = time.UTC
	// The parser's own next time skips what falls into an hour that is left out. So it goes through the days as a
	// calendar on the wall does, and the clock on the wall is then looked up.
	wall := onTheWall(before.In(t.zone))
	for {
		if wall = spec.Next(wall); wall.IsZero() {
			return wall
		}
		if at := t.when(wall); at.After(before) {
			return at.UTC()
		}
	}
}

// onTheWall is what clocks and calendars show at a time, as if it were in Greenwich.
func onTheWall(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// when is the time at which clocks show what is on the wall: the first time, when they show it twice, and the end of
// the gap, when they never do.
func (t timing) when(wall time.Time) time.Time {
	before, after := t.offset(wall.Add(-24*time.Hour)), t.offset(wall.Add(24*time.Hour))
	first, second := wall.Add(-max(before, after)), wall.Add(-min(before, after))
	for _, at := range []time.Time{first, second} {
		if onTheWall(at.In(t.zone)).Equal(wall) {
			return at
		}
	}
	jump, _ := second.In(t.zone).ZoneBounds() // by the clock of before, it is after the jump
	return jump
}

func (t timing) offset(at time.Time) time.Duration {
	_, seconds := at.In(t.zone).Zone()
	return time.Duration(seconds) * time.Second
}
