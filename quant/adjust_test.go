package quant_test

import (
	"encoding/csv"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/reference"
	"stega/quant"
)

// The cases are worked by hand.
func TestAdjustmentFactor(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for name, c := range map[string]struct{ previous, close, dividend, split, want float64 }{
		"nothing":                        {100, 101, nan, nan, 1},
		"a dividend of 2 on 100":         {100, 99, 2, nan, 0.98},
		"two for one":                    {100, 50, nan, 2, 0.5},
		"one for ten":                    {1, 10, nan, 0.1, 10},
		"both: 1 on the 50 of new share": {100, 49, 1, 2, 0.5 * 0.98},
		"a dividend of all and more":     {10, 5, 15, nan, 0.25},
		"no action":                      {10, 5, 0, 0, 1},
	} {
		assert.InDelta(t, c.want, quant.AdjustmentFactor(c.previous, c.close, c.dividend, c.split), 1e-15, name)
	}
}

func TestAdjustedCloses(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	// 100, then a split of 4 and a close of 26, then a dividend of 1.30, which is 5 % of 26, and a close of 24.70.
	bars := quant.Bars{
		Close:    []float64{100, 26, 24.7},
		Dividend: []float64{nan, nan, 1.3},
		Split:    []float64{nan, 4, nan},
	}
	for i, want := range []float64{100.0 / 4 * 0.95, 26 * 0.95, 24.7} {
		assert.InDelta(t, want, bars.AdjustedCloses()[i], 1e-12)
	}
	assert.True(t, math.IsNaN(bars.Return(0)))
	assert.InDelta(t, 0.04, bars.Return(1), 1e-15)
	assert.InDelta(t, 0, bars.Return(2), 1e-15)
	// The source's adjusted closes stay unchanged; before them, closes and actions apply.
	bars.Adjusted = []float64{nan, 25, 24}
	assert.InDelta(t, -0.04, bars.Return(2), 1e-15)
	assert.InDelta(t, 0.04, bars.Return(1), 1e-15)
	got := bars.AdjustedCloses()
	assert.Equal(t, []float64{25, 24}, got[1:])
	assert.InDelta(t, 25/1.04, got[0], 1e-12)
	assert.Equal(t, []float64{3, 5}, quant.Bars{Close: []float64{3, 5}}.AdjustedCloses())
	assert.Empty(t, quant.Bars{}.AdjustedCloses())
}

func TestAdjustedClosesHaveTheReturns(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		n := 1 + rng.IntN(40)
		column := func(share, low, high float64) []float64 {
			out := make([]float64, n)
			for i := range out {
				if out[i] = math.NaN(); rng.Float64() < share {
					out[i] = low + rng.Float64()*(high-low)
				}
			}
			return out
		}
		bars := quant.Bars{
			Close:    column(1, 1, 100),
			Adjusted: column(rng.Float64(), 1, 100),
			Dividend: column(0.2, 0, 150),
			Split:    column(0.2, 0, 5)}
		adjusted := bars.AdjustedCloses()
		for i, r := range quant.Simple(adjusted) {
			require.InEpsilon(t, 1+bars.Return(i+1), 1+r, 1e-12)
		}
	}
}

// dividendsOfApple holds Apple's dividends per share, as its investor relations list them, in shares of after 2014.
const dividendsOfApple = `2012-08-09 .378571 2012-11-07 .378571
2013-02-07 .378571 2013-05-09 .435714 2013-08-08 .435714 2013-11-06 .435714 2014-02-06 .435714
2014-05-08 .47 2014-08-07 .47 2014-11-06 .47 2015-02-05 .47 2015-05-07 .52 2015-08-06 .52 
2015-11-05 .52 2016-02-04 .52 2016-05-05 .57 2016-08-04 .57
2016-11-03 .57 2017-02-09 .57 2017-05-11 .63 2017-08-10 .63 2017-11-10 .63`

// The file's closes are made raw again by undoing its splits, 2 for 1 and 7 for 1. From these and the dividends
// follow its adjusted closes, to the six places of the file.
func TestAdjustedClosesOfAppleAreYahoos(t *testing.T) {
	t.Parallel()
	rows, err := csv.NewReader(strings.NewReader(string(reference.Read(t,
		"yahoofinance-AAPL-20040819-20180120.csv")))).ReadAll()
	require.NoError(t, err)
	dividends := map[string]float64{}
	words := strings.Fields(dividendsOfApple)
	for i := 0; i < len(words); i += 2 {
		dividends[words[i]], err = strconv.ParseFloat(words[i+1], 64)
		require.NoError(t, err)
	}
	var bars quant.Bars
	var want []float64
	for _, row := range rows[1:] {
		day := row[0]
		close, err := strconv.ParseFloat(row[4], 64)
		require.NoError(t, err)
		adjusted, err := strconv.ParseFloat(row[5], 64)
		require.NoError(t, err)
		shares, split := 1.0, 0.0 // new shares for one of that day
		if day < "2005-02-28" {
			shares *= 2
		}
		if day < "2014-06-09" {
			shares *= 7
		}
		switch day {
		case "2005-02-28":
			split = 2
		case "2014-06-09":
			split = 7
		}
		bars.Close, bars.Dividend, bars.Split = append(bars.Close, close*shares),
			append(bars.Dividend, dividends[day]*shares), append(bars.Split, split)
		want = append(want, adjusted)
	}
	got := bars.AdjustedCloses()
	// The file is adjusted for dividends after its end too: its last adjusted close is its last close times that
	// factor.
	later := want[len(want)-1] / got[len(got)-1]
	for i := range want {
		require.InEpsilon(t, want[i], got[i]*later, 2e-6, rows[i+1][0])
	}
}
