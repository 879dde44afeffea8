package marketdata_test

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/stegatest"
)

// adjusted are the adjusted closes that a path answers, in the order of days.
func adjusted(s *stegatest.Server, query string) (closes []string) {
	var a struct {
		Prices []struct {
			AdjClose string `json:"adj_close"`
		}
	}
	s.Get("/v1/prices/A?"+query, &a)
	for _, p := range a.Prices {
		closes = append(closes, p.AdjClose)
	}
	return closes
}

// A dividend of 2 on 100, then a split of four and one of 1 on 25.
func TestAdjustedCloses(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	s.Import(
		"date,symbol,close,dividend,split\n2024-01-02,A,100,,\n2024-01-03,A,100,2,\n2024-01-04,A,25,,4\n2024-01-05,"+
			"A,26,1,\n",
		"",
	)
	assert.Equal(t, []string{"23.52", "24", "24", "26"}, adjusted(s, "adjusted=true"))
	assert.Equal(
		t, []string{"24", "24"}, adjusted(s, "adjusted=true&from=2024-01-03&to=2024-01-04"),
		"what follows the window counts",
	)
	assert.Equal(t, []string{"", "", "", ""}, adjusted(s, "adjusted=false"))
	assert.Equal(t, []string{"", "", "", ""}, adjusted(s, ""))
	bad := s.Do(http.MethodGet, "/v1/prices/A?adjusted=yes", "")
	assert.Equal(t, http.StatusUnprocessableEntity, bad.Status)
	assert.NotEmpty(t, bad.Problem().Hint)

	s.Import("date,symbol,close,dividend,split\n2024-01-03,A,100,,\n", "")
	assert.Equal(t, []string{"24", "24", "24", "26"}, adjusted(s, "adjusted=true"), "a corrected dividend")
	// What the source has adjusted by itself stays, and what is before follows it.
	s.Import("date,symbol,close,adj_close\n2024-01-05,A,26,13.0000000000000001\n2024-01-04,A,25,12\n", "")
	assert.Equal(t, []string{"48", "48", "12", "13.0000000000000001"}, adjusted(s, "adjusted=true"))
}

// The returns between adjusted closes are those that the returns service answers.
func TestAdjustedClosesHaveTheReturnsOfTheReturnsService(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	text := "date,symbol,close,dividend,split\n"
	for day := 1; day <= 28; day++ {
		dividend, split := "", ""
		if day%5 == 0 {
			dividend = fmt.Sprintf("0.%d", day)
		}
		if day%7 == 0 {
			split = []string{"2", "0.5", "1.5", "3"}[day/7-1]
		}
		text += fmt.Sprintf("2024-02-%02d,A,%d,%s,%s\n", day, 50+day*day%17, dividend, split)
	}
	s.Import(text, "")
	var series struct{ Values []float64 }
	s.Eventually("the returns are there", func() bool {
		a := s.Do(http.MethodGet, "/v1/returns/assets/A/series", "")
		if a.Status != http.StatusOK {
			return false
		}
		a.JSON(&series)
		return len(series.Values) == 27
	})
	closes := adjusted(s, "adjusted=true")
	before := math.NaN()
	for i, text := range closes {
		now, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		if i > 0 {
			require.InDelta(t, series.Values[i-1], now/before-1, 1e-11, i)
		}
		before = now
	}
}
