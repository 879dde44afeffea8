package returns_test

import (
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
	"stega/internal/stegatest"
)

// The returns of a symbol with a dividend of 2 on 100, and a split of four: 100, 99 (with the dividend 98 to 99), 25 (a quarter of 100).
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
	s.Eventually("dividend and split are taken out", is(99.0/98-1, 100.0/99-1, 26.0/25-1))
	s.Import(head+"2024-01-03,A,99,1,\n", "")
	s.Eventually("a corrected dividend counts", is(99.0/99-1, 100.0/99-1, 26.0/25-1))
	s.Import(head+"2024-01-04,A,25,,\n", "")
	s.Eventually("a split that was none is gone", is(99.0/99-1, 25.0/99-1, 26.0/25-1))
	s.Import(head+"2024-01-04,A,25,0.5,4\n", "")
	s.Eventually("a dividend of a new share and a split on one day", is(0, 25/(99.0/4-0.5)-1, 26.0/25-1))
	s.Import("date,symbol,close\n2024-01-02,A,102\n", "")
	s.Eventually("a late price before it counts", is(99/(102.0-1)-1, 25/(99.0/4-0.5)-1, 26.0/25-1))
}

// bar is a line of a file, with what it says of a day.
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
	return fmt.Sprintf("%s,X,%s,%s,%s\n", b.day, strconv.FormatFloat(b.close, 'f', -1, 64), optional(b.dividend), optional(b.split))
}

// Bars, then actions; actions, then bars; and pieces of both in any order, some of them wrong at first and some twice: the views are the same to the last
// byte, and so is what somebody holds who merged what was told.
func TestActionsInAnyOrderEndInTheSameViews(t *testing.T) {
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
	views, told := "", map[civil.Date]float64{}
	for _, order := range []struct {
		name  string
		files [][]bar
	}{{"bars, then actions", [][]bar{bars, actions}}, {"actions, then bars", [][]bar{actions, bars}}, {"pieces", pieces}} {
		dir := t.TempDir()
		s := stegatest.Start(t, stegatest.Config(dir))
		for _, part := range order.files {
			text := "date,symbol,close,dividend,split\n"
			for _, b := range part {
				text += b.line()
			}
			s.Import(text, "")
		}
		var held map[civil.Date]float64
		s.Eventually(order.name+": all is told", func() bool {
			held = merged(t, s)
			return len(held) == len(all) && (len(told) == 0 || sameReturns(told, held))
		})
		database := "sqlite://" + filepath.Join(dir, "returns.db")
		if views == "" {
			views, told = stegatest.Views(t, database), held
			for i, b := range all[1:] {
				require.InDelta(t, expected(all[i], b), held[b.day], 1e-12, b.day)
			}
		}
		s.Eventually(order.name+": the views are the same", func() bool { return stegatest.Views(t, database) == views })
		assert.Equal(t, 2, strings.Count(views, "\n"))
	}
}

// expected is the return between two days, as the rule says it.
func expected(a, b bar) float64 {
	before := a.close
	if b.split != 0 {
		before /= b.split
	}
	return b.close/(before-b.dividend) - 1
}

// merged is what somebody holds of X who follows what is told.
func merged(t *testing.T, s *stegatest.Server) map[civil.Date]float64 {
	held := map[civil.Date]float64{}
	for _, line := range s.Log() {
		var e events.AssetUpdated
		if line.Type != e.Topic() {
			continue
		}
		require.NoError(t, json.Unmarshal(line.Data, &e))
		require.NoError(t, e.Check())
		for i, day := range e.Days {
			held[day] = e.Returns[i]
		}
	}
	return held
}

func sameReturns(a, b map[civil.Date]float64) bool {
	for day, r := range a {
		if math.Float64bits(r) != math.Float64bits(b[day]) {
			return false
		}
	}
	return len(a) == len(b)
}
