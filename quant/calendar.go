package quant

import (
	"fmt"
	"math"
)

// Aggregate compounds returns over runs of periods with equal keys, such as a week, a month, a quarter or a year:
// ∏(1+r) − 1 for each run, NaN for a run without an observation. keys has one entry for each return, with equal keys
// adjacent, as those of sorted days are. Errors: ErrLength.
func Aggregate[K comparable](returns []float64, keys []K) (groups []K, aggregated []float64, err error) {
	if len(returns) != len(keys) {
		return nil, nil, fmt.Errorf("%w: %d returns, %d keys", ErrLength, len(returns), len(keys))
	}
	groups, aggregated = []K{}, []float64{}
	for from := 0; from < len(keys); {
		to := from
		for to < len(keys) && keys[to] == keys[from] {
			to++
		}
		total := math.NaN()
		if run := returns[from:to]; !math.IsNaN(Mean(run)) {
			total = CumulativeReturn(run)
		}
		groups, aggregated = append(groups, keys[from]), append(aggregated, total)
		from = to
	}
	return groups, aggregated, nil
}

// YearOfReturns is a row of a table of returns: those of the months, January first, NaN for a month without an
// observation, and that of the year.
type YearOfReturns struct {
	Year   int
	Months [12]float64
	Total  float64
}

// CalendarTable returns the monthly and yearly returns of returns. years and months (1 to 12) have one entry for each
// return, in ascending order of time. Errors: ErrLength; ErrOption for a month outside 1 to 12.
func CalendarTable(returns []float64, years, months []int) ([]YearOfReturns, error) {
	if len(years) != len(returns) || len(months) != len(returns) {
		return nil, fmt.Errorf("%w: %d returns, %d years, %d months", ErrLength, len(returns), len(years), len(months))
	}
	keys := make([][2]int, len(returns))
	for t := range keys {
		if months[t] < 1 || months[t] > 12 {
			return nil, fmt.Errorf("%w: month %d", ErrOption, months[t])
		}
		keys[t] = [2]int{years[t], months[t]}
	}
	inMonth, monthly, _ := Aggregate(returns, keys)
	inYear, yearly, _ := Aggregate(returns, years)
	out := make([]YearOfReturns, len(inYear))
	row := 0
	for i := range out {
		out[i] = YearOfReturns{Year: inYear[i], Total: yearly[i]}
		for m := range out[i].Months {
			out[i].Months[m] = math.NaN()
		}
		for ; row < len(inMonth) && inMonth[row][0] == inYear[i]; row++ {
			out[i].Months[inMonth[row][1]-1] = monthly[row]
		}
	}
	return out, nil
}
