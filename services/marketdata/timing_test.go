package marketdata

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func runs(t *testing.T, expression, zone, from string, n int) (times []string) {
	t.Helper()
	timing, err := parseTiming(expression, zone)
	require.NoError(t, err)
	at, err := time.Parse(time.RFC3339, from)
	require.NoError(t, err)
	for range n {
		at = timing.after(at)
		times = append(times, at.In(timing.zone).Format("Mon 2006-01-02 15:04 MST"))
	}
	return times
}

func TestTimesOfACronExpression(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, expression, zone, from string
		want                         []string
	}{
		{"after the close of each working day", "30 16 * * 1-5", "America/New_York", "2024-01-04T21:30:00Z",
			[]string{"Fri 2024-01-05 16:30 EST", "Mon 2024-01-08 16:30 EST"}},
		{"it stays after the close when clocks change", "30 16 * * 1-5", "America/New_York", "2024-03-07T22:00:00Z",
			[]string{"Fri 2024-03-08 16:30 EST", "Mon 2024-03-11 16:30 EDT"}},
		{"an hour that is left out", "30 2 * * *", "America/New_York", "2024-03-09T12:00:00Z",
			[]string{"Sun 2024-03-10 03:00 EDT", "Mon 2024-03-11 02:30 EDT"}},
		{"several times in an hour that is left out are one", "0,20,40 2 * * *", "Europe/Berlin",
			"2024-03-30T12:00:00Z",
			[]string{"Sun 2024-03-31 03:00 CEST", "Mon 2024-04-01 02:00 CEST"}},
		{"an hour that comes twice", "30 1 * * *", "America/New_York", "2024-11-02T12:00:00Z",
			[]string{"Sun 2024-11-03 01:30 EDT", "Mon 2024-11-04 01:30 EST"}},
		{"an hour that comes twice, from its second half", "30 1 * * *", "America/New_York", "2024-11-03T06:10:00Z",
			[]string{"Mon 2024-11-04 01:30 EST"}},
		{"every hour, left out", "0 * * * *", "America/New_York", "2024-03-10T06:00:00Z",
			[]string{"Sun 2024-03-10 03:00 EDT", "Sun 2024-03-10 04:00 EDT"}},
		{"every hour, twice", "15 * * * *", "America/New_York", "2024-11-03T05:00:00Z",
			[]string{"Sun 2024-11-03 01:15 EDT", "Sun 2024-11-03 01:15 EST", "Sun 2024-11-03 02:15 EST"}},
		{"half an hour is left out", "10 2 * * *", "Australia/Lord_Howe", "2024-10-05T12:00:00Z",
			[]string{"Sun 2024-10-06 02:30 +11", "Mon 2024-10-07 02:10 +11"}},
		{"midnight is left out", "0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z",
			[]string{"Sun 2018-11-04 01:00 -02", "Mon 2018-11-05 00:00 -02"}},
		{"a day is left out", "0 12 * * *", "Pacific/Apia", "2011-12-29T23:00:00Z",
			[]string{"Sat 2011-12-31 00:00 +14", "Sat 2011-12-31 12:00 +14"}},
		{"a word", "@daily", "Asia/Tokyo", "2024-01-01T00:00:00Z", []string{"Tue 2024-01-02 00:00 JST"}},
		{"a day of the month or of the week", "0 9 13 * fri", "UTC", "2024-09-07T00:00:00Z",
			[]string{"Fri 2024-09-13 09:00 UTC", "Fri 2024-09-20 09:00 UTC"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, c.want, runs(t, c.expression, c.zone, c.from, len(c.want)))
		})
	}
}

func TestTimingsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"", "UTC"}, {"* * * *", "UTC"}, {"* * * * * *", "UTC"}, {"60 * * * *", "UTC"}, {"* 24 * * *", "UTC"},
		{"@every 1h", "UTC"}, {"@sometimes", "UTC"},
		{"TZ=UTC", "UTC"}, {"CRON_TZ=Asia/Tokyo 0 0 * * *", "UTC"}, {", * * * *", "UTC"}, {"1,,2 * * * *", "UTC"},
		{"0 0 30 2 *", "UTC"}, {"*/0 * * * *", "UTC"},
		{"0 0 * * *", ""}, {"0 0 * * *", "Local"}, {"0 0 * * *", "Mars/Olympus"}, {"0 0 * * *", "../etc/passwd"},
	} {
		_, err := parseTiming(c[0], c[1])
		assert.Error(t, err, "%q in %q", c[0], c[1])
	}
}

// Whatever the expression and the zone, the next time is later, and clocks show a minute that the expression names or
// the end of a gap.
func FuzzTiming(f *testing.F) {
	for _, seed := range []string{
		"30 16 * * 1-5", "0,20,40 2 * * *", "*/7 1-3 * * *", "@hourly", "TZ=", "0 0 29 2 *", "5/15 */2 1,15 jan-mar ?",
	} {
		f.Add(seed, "America/New_York", int64(1_710_000_000))
		f.Add(seed, "Australia/Lord_Howe", int64(1_728_100_000))
	}
	f.Fuzz(func(t *testing.T, expression, zone string, from int64) {
		timing, err := parseTiming(expression, zone)
		if err != nil || from < 0 || from > 4_000_000_000 {
			return
		}
		before := time.Unix(from, 0)
		next := timing.after(before)
		if next.IsZero() {
			return
		}
		if !next.After(before) {
			t.Fatalf("%s follows %s", next, before)
		}
		wall := next.In(timing.zone)
		start, _ := wall.ZoneBounds()
		named := timing.spec.Minute>>wall.Minute()&1 == 1 && timing.spec.Hour>>wall.Hour()&1 == 1
		if !named && !wall.Equal(start) {
			t.Fatalf("%q in %s runs at %s", expression, zone, wall)
		}
	})
}
