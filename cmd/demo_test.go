package cmd

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"

	"stega/civil"
)

func TestTheDemoIsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	last := civil.Of(2026, time.November, 27)
	file := demoFile(demoMarket(7, last))
	assert.Equal(t, file, demoFile(demoMarket(7, last)))
	assert.NotEqual(t, file, demoFile(demoMarket(8, last)))
	earlier := demoFile(demoMarket(7, last.AddDays(-20)))
	assert.True(t, strings.HasPrefix(file, earlier), "a later day changes no earlier one")
	for line := range strings.Lines(file[strings.Index(file, "\n")+1:]) {
		require.Contains(t, line, ",DEMO-", "it is labelled as synthetic")
	}
	assert.Equal(t, 1, strings.Count(file, ",4\n"), "one split")
}

// returnsOf are the daily simple returns of the market's symbols, with dividends and splits.
func returnsOf(days []demoDay) map[string][]float64 {
	all, before := map[string][]float64{}, map[string]float64{}
	for _, one := range days {
		for _, r := range one.rows {
			if b, ok := before[r.symbol]; ok {
				all[r.symbol] = append(all[r.symbol], (r.close*max(1, r.split)+r.dividend)/b-1)
			}
			before[r.symbol] = r.close
		}
	}
	return all
}

// The figures of the demo are those that a professional expects of a market, whatever the seed and the day of the year.
func TestTheDemoIsPlausible(t *testing.T) {
	t.Parallel()
	const year = demoDays
	kurtosis := 0.0
	for seed := range uint64(30) {
		for _, last := range []civil.Date{civil.Of(2026, time.January, 2), civil.Of(2026, time.June, 30),
			civil.Of(2026, time.December, 31)} {
			returns := returnsOf(demoMarket(seed, last))
			require.Len(t, returns, len(demoShares)+3)
			sharpe := func(r []float64) float64 { return stat.Mean(r, nil) / stat.StdDev(r, nil) * math.Sqrt(year) }
			drawdown := func(r []float64) float64 {
				level, peak, worst := 1.0, 1.0, 0.0
				for _, v := range r {
					level *= 1 + v
					peak = max(peak, level)
					worst = min(worst, level/peak-1)
				}
				return worst
			}
			for symbol, r := range returns {
				assert.Greater(t, sharpe(r), -.1, "%s of seed %d on %s", symbol, seed, last)
				assert.Less(t, sharpe(r), 1.2, "%s of seed %d on %s", symbol, seed, last)
			}
			for _, p := range demoPortfolios {
				assets, err := parseAssets(p.assets)
				require.NoError(t, err)
				mixed := make([]float64, len(returns[demoIndex]))
				for _, a := range assets {
					weight, _ := a.Weight.Float64()
					for i, v := range returns[a.Symbol] {
						mixed[i] += weight * v
					}
				}
				assert.Greater(t, sharpe(mixed), 0., "%s of seed %d on %s", p.name, seed, last)
				assert.Less(t, sharpe(mixed), 1.2, "%s of seed %d on %s", p.name, seed, last)
			}
			for i, a := range demoShares {
				assert.Greater(
					t, stat.Correlation(returns[a.symbol], returns[demoIndex], nil), .55, "%s follows the index",
					a.symbol,
				)
				for _, b := range demoShares[:i] {
					c := stat.Correlation(returns[a.symbol], returns[b.symbol], nil)
					assert.True(t, c > .28 && c < .75, "%s and %s of seed %d: %.2f", a.symbol, b.symbol, seed, c)
				}
			}
			kurtosis += stat.ExKurtosis(returns[demoIndex], nil) / 90
			assert.Less(t, stat.Correlation(returns[demoBonds], returns[demoIndex], nil), -.2, "bonds hedge")
			assert.Less(t, math.Abs(stat.Correlation(returns[demoGold], returns[demoIndex], nil)), .25, "gold hedges")
			assert.True(
				t, drawdown(returns[demoIndex]) < -.2 && drawdown(returns[demoIndex]) > -.6,
				"a crash of %.2f of seed %d",
				drawdown(returns[demoIndex]), seed,
			)
		}
	}
	assert.True(t, kurtosis > .6 && kurtosis < 8, "volatility clusters: an excess kurtosis of %.2f", kurtosis)
}
