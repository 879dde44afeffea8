package civil_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
)

func TestDatesAgreeWithTheStandardLibrary(t *testing.T) {
	day := time.Date(1599, 12, 25, 0, 0, 0, 0, time.UTC)
	for range 300_000 {
		d := civil.FromTime(day)
		y, m, n := d.Civil()
		require.Equal(t, day, time.Date(y, time.Month(m), n, 0, 0, 0, 0, time.UTC))
		require.Equal(t, day, d.Time())
		parsed, err := civil.Parse(day.Format(time.DateOnly))
		require.NoError(t, err)
		require.Equal(t, d, parsed)
		require.Equal(t, day.Format(time.DateOnly), d.String())
		require.Equal(t, day.Weekday(), d.Weekday())
		require.Equal(t, time.Sunday, d.WeekEnd().Weekday())
		require.True(t, d <= d.WeekEnd() && d.WeekEnd() < d+7)
		require.Equal(t, time.Date(y, time.Month(m)+1, 0, 0, 0, 0, 0, time.UTC), d.MonthEnd().Time())
		day = day.AddDate(0, 0, 1)
	}
}

func TestDaysThatDoNotExistAreRefused(t *testing.T) {
	for _, s := range []string{"2023-02-29", "1900-02-29", "2024-13-01", "2024-00-10", "2024-04-31", "2024-1-01",
		"20240101", "2024-01-0x", "", "0000-01-01"} {
		_, err := civil.Parse(s)
		assert.Error(t, err, s)
	}
	_, err := civil.Parse("2000-02-29")
	assert.NoError(t, err)
}

func TestJSON(t *testing.T) {
	b, err := json.Marshal(civil.Of(2024, time.February, 29))
	require.NoError(t, err)
	assert.Equal(t, `"2024-02-29"`, string(b))
	var d civil.Date
	require.NoError(t, json.Unmarshal(b, &d))
	assert.Equal(t, civil.Of(2024, time.March, 1).AddDays(-1), d)
	require.Error(t, json.Unmarshal([]byte(`"yesterday"`), &d))
}
