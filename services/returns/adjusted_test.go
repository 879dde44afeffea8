package returns_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/events"
	"stega/internal/reference"
	"stega/internal/stegatest"
)

// The symbol has a dividend of 2 and a split of 4 for 1: its closes 100, 99 and 25 stand for 98, 99 and 100.
func TestActionsAdjustReturns(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	const head = "date,symbol,close,dividend,split\n"
	s.Import(head+"2024-01-02,A,100,,\n2024-01-03,A,99,2,\n2024-01-04,A,25,,4\n2024-01-05,A,26,,\n", "")
	var got struct{ Values []float64 }
	is := func(want ...float64) func() bool {
		return func() bool {
			a := s.Do("GET", "/v1/returns/assets/A/series", "")
			if a.Status != 200 || json.Unmarshal(a.Body, &got) != nil || len(got.Values) != len(want) {
				return false
			}
			for i, r := range want {
				if math.Abs(got.Values[i]-r) > 1e-12 {
					return false
				}
			}
			return true
		}
	}
	s.Eventually("returns are adjusted for the dividend and the split", is(99.0/98-1, 100.0/99-1, 26.0/25-1))
	s.Import(head+"2024-01-03,A,99,1,\n", "")
	s.Eventually("a corrected dividend counts", is(99.0/99-1, 100.0/99-1, 26.0/25-1))
	s.Import(head+"2024-01-04,A,25,,\n", "")
	s.Eventually("a split that was corrected away is gone", is(99.0/99-1, 25.0/99-1, 26.0/25-1))
	s.Import(head+"2024-01-04,A,25,0.5,4\n", "")
	s.Eventually("a dividend of a new share and a split on one day", is(0, 25/(99.0/4-0.5)-1, 26.0/25-1))
	s.Import("date,symbol,close\n2024-01-02,A,102\n", "")
	s.Eventually("a late price before it counts", is(99/(102.0-1)-1, 25/(99.0/4-0.5)-1, 26.0/25-1))
}

// bar is one line of a file: the price, dividend and split of a day.
type bar struct {
	day             civil.Date
	close           float64
	dividend, split float64
}

func (b bar) line() string {
	optional := func(v float64) string {
		if v == 0 {
			return ""
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprintf(
		"%s,X,%s,%s,%s\n", b.day, strconv.FormatFloat(b.close, 'f', -1, 64), optional(b.dividend), optional(b.split),
	)
}

// Bars before actions, actions before bars, and pieces in random order, some wrong at first and some repeated, give the
// same views to the last byte. So does a follower that merges the events.
func TestActionsInAnyOrderGiveTheSameViews(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(11, 5))
	var all []bar
	for i := range 120 {
		b := bar{day: civil.Of(2023, 11, 1).AddDays(i), close: float64(5000+rng.IntN(5000)) / 100}
		switch rng.IntN(8) {
		case 0:
			b.dividend = float64(1+rng.IntN(300)) / 100
		case 1:
			b.split = []float64{2, 0.1, 1.5, 7}[rng.IntN(4)]
		case 2:
			b.dividend, b.split = 0.25, 2
		}
		all = append(all, b)
	}
	acted := func(b bar) bool { return b.dividend != 0 || b.split != 0 }
	bars := slices.DeleteFunc(slices.Clone(all), acted)
	actions := slices.DeleteFunc(slices.Clone(all), func(b bar) bool { return !acted(b) })
	shuffled := slices.Clone(all)
	rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	pieces := [][]bar{}
	for chunk := range slices.Chunk(shuffled, 17) {
		wrong := chunk[0]
		wrong.close, wrong.dividend, wrong.split = wrong.close+3, 1.5, 3
		pieces = append(pieces, []bar{wrong}, chunk, chunk[:1])
	}
	views, published := "", map[civil.Date]float64{}
	for _, order := range []struct {
		name  string
		files [][]bar
	}{{"bars, then actions", [][]bar{bars, actions}}, {"actions, then bars", [][]bar{actions, bars}},
		{"pieces", pieces}} {
		dir := t.TempDir()
		s := stegatest.Start(t, stegatest.Config(dir))
		for _, part := range order.files {
			text := "date,symbol,close,dividend,split\n"
			for _, b := range part {
				text += b.line()
			}
			s.Import(text, "")
		}
		var followed map[civil.Date]float64
		s.Eventually(order.name+": all events are published", func() bool {
			followed = merged(t, s)
			return len(followed) == len(all) && (len(published) == 0 || sameReturns(published, followed))
		})
		database := "sqlite://" + filepath.Join(dir, "returns.db")
		if views == "" {
			views, published = stegatest.Views(t, database), followed
			for i, b := range all[1:] {
				require.InDelta(t, expected(all[i], b), followed[b.day], 1e-12, b.day)
			}
		}
		s.Eventually(order.name+": the views are the same", func() bool {
			return stegatest.Views(t, database) == views
		})
		assert.Equal(t, 2+1, strings.Count(views, "\n"), "two years and a last close")
	}
}

// expected returns the return between two days, adjusted for the dividend and the split of the second.
func expected(a, b bar) float64 {
	before := a.close
	if b.split != 0 {
		before /= b.split
	}
	return b.close/(before-b.dividend) - 1
}

// merged returns the returns of X by day, as a follower that merges the events has them.
func merged(t *testing.T, s *stegatest.Server) map[civil.Date]float64 {
	followed := map[civil.Date]float64{}
	for _, line := range s.Log() {
		var e events.AssetUpdated
		if line.Type != e.Topic() {
			continue
		}
		require.NoError(t, json.Unmarshal(line.Data, &e))
		require.NoError(t, e.Check())
		for i, day := range e.Days {
			followed[day] = e.Returns[i]
		}
	}
	return followed
}

func sameReturns(a, b map[civil.Date]float64) bool {
	for day, r := range a {
		if math.Float64bits(r) != math.Float64bits(b[day]) {
			return false
		}
	}
	return len(a) == len(b)
}

// Apple's closes as traded, with its splits and dividends, have the same returns as Yahoo's adjusted closes, within the
// six decimal places of the file.
func TestRawPricesWithActionsReturnAsAdjustedPrices(t *testing.T) {
	t.Parallel()
	rows, err := csv.NewReader(bytes.NewReader(reference.Read(t, "yahoofinance-AAPL-20040819-20180120.csv"))).ReadAll()
	require.NoError(t, err)
	s := stegatest.Up(t)
	s.Import(string(reference.Read(t, "yahoofinance-AAPL-20040819-20180120.csv")), "?symbol=YAHOO")
	s.Import(traded(t, rows[1:]), "")
	type statistics struct {
		Observations     int
		AnnualReturn     float64 `json:"annual_return"`
		AnnualVolatility float64 `json:"annual_volatility"`
		MaxDrawdown      float64 `json:"max_drawdown"`
	}
	var given, computed statistics
	s.Eventually("both are complete", func() bool { // each has several events
		s.Found("/v1/returns/assets/YAHOO", &given)
		s.Found("/v1/returns/assets/RAW", &computed)
		return given.Observations == len(rows)-2 && computed.Observations == len(rows)-2
	})
	assert.InDelta(t, given.AnnualReturn, computed.AnnualReturn, 1e-6)
	assert.InDelta(t, given.AnnualVolatility, computed.AnnualVolatility, 1e-6)
	assert.InDelta(t, given.MaxDrawdown, computed.MaxDrawdown, 1e-6)
}

// dividends lists Apple's dividends per share of that time, by ex-day.
var dividends = strings.Fields(`2012-08-09 2.65 2012-11-07 2.65 2013-02-07 2.65 2013-05-09 3.05 2013-08-08 3.05
2013-11-06 3.05 2014-02-06 3.05 2014-05-08 3.29 2014-08-07 .47 2014-11-06 .47 2015-02-05 .47 2015-05-07 .52
2015-08-06 .52 2015-11-05 .52 2016-02-04 .52 2016-05-05 .57 2016-08-04 .57 2016-11-03 .57 2017-02-09 .57 2017-05-11 .63
2017-08-10 .63 2017-11-10 .63`)

// traded returns a file with the closes as traded, before two splits of 2 for 1 and 7 for 1, and with the splits and
// dividends as actions.
func traded(t *testing.T, rows [][]string) string {
	var b strings.Builder
	b.WriteString("date,symbol,close,dividend,split\n")
	for _, row := range rows {
		day := row[0]
		price, err := strconv.ParseFloat(row[4], 64)
		require.NoError(t, err)
		if day < "2005-02-28" {
			price *= 2
		}
		if day < "2014-06-09" {
			price *= 7
		}
		dividend := ""
		if i := slices.Index(dividends, day); i >= 0 {
			dividend = dividends[i+1]
		}
		_, _ = fmt.Fprintf(
			&b, "%s,RAW,%.6f,%s,%s\n", day, price, dividend,
			map[string]string{"2005-02-28": "2", "2014-06-09": "7"}[day],
		)
	}
	return b.String()
}
