package series

import (
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
)

// fromPrices returns the linked returns between prices, which are keyed by days after the first.
func fromPrices(first civil.Date, prices map[int]float64) []Point {
	var points []Point
	var day civil.Date
	before := 0.0
	for i := range 10_000 {
		price, ok := prices[i]
		if !ok {
			continue
		}
		if before > 0 {
			points = append(points, Point{Day: first.AddDays(i), Since: day, Value: price/before - 1})
		}
		before, day = price, first.AddDays(i)
	}
	return points
}

// The return of a week or month compares its last price with that of the previous one, as pandas'
// resample().last().pct_change() does; the first week starts at its first price. Two series share a row where both
// have such prices, on whatever days.
func TestReturnsOfPeriodsAreThoseBetweenTheirLastPrices(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 3))
		first := civil.Of(1969, time.November, 1+r.IntN(28))
		f := []Frequency{Weekly, Monthly}[r.IntN(2)]
		gap := []float64{0.1, 0.5, 0.97}[r.IntN(3)]
		all, given := make([]map[int]float64, 3), make([]iter.Seq[[]Point], 3)
		ends := map[civil.Date]civil.Date{} // of all
		for i := range all {
			all[i] = map[int]float64{}
			for d := range 400 {
				if r.Float64() >= gap {
					all[i][d] = 50 + 50*r.Float64()
					day := first.AddDays(d)
					if known, ok := ends[f.End(day)]; !ok || day > known {
						ends[f.End(day)] = day
					}
				}
			}
			require.Greater(t, len(all[i]), 1) // a single price has no return
			given[i] = runs(r, fromPrices(first, all[i]))
		}
		want := map[Row][]float64{}
		for i, prices := range all {
			var since civil.Date
			before, last := 0.0, 0.0
			record := func(end civil.Date) {
				if before > 0 && last > 0 {
					row := Row{ends[end], since}
					if want[row] == nil {
						want[row] = []float64{0, 0, 0}
					}
					want[row][i] = last/before - 1
				}
			}
			end := civil.Date(-1 << 30)
			pending := false
			for d := range 400 {
				price, ok := prices[d]
				if !ok {
					continue
				}
				day := first.AddDays(d)
				switch {
				case before == 0:
					before, since, end = price, day, f.End(day)
				case f.End(day) != end:
					if pending {
						record(end)
						before = last
					}
					since, end, last, pending = ends[end], f.End(day), price, true
				default:
					last, pending = price, true
				}
			}
			if pending {
				record(end)
			}
		}
		got, err := f.Align(given)
		require.NoError(t, err)
		require.Len(t, got.Rows, len(want), "%s %d", f, seed)
		for at, row := range got.Rows {
			require.Contains(t, want, row)
			for i := range all {
				v := got.Values[i][at]
				if v != v {
					v = 0
				}
				require.InDelta(t, want[row][i], v, 1e-12)
			}
		}
	}
}

func TestDailyReturnsStayUnchanged(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 4))
	all := [][]Point{random(r, 40), random(r, 40)}
	give := func() []iter.Seq[[]Point] { return []iter.Seq[[]Point]{runs(r, all[0]), runs(r, all[1])} }
	for _, f := range []Frequency{Daily, ""} {
		want, err := Align(give())
		require.NoError(t, err)
		got, err := f.Align(give())
		require.NoError(t, err)
		assert.Equal(t, want.Rows, got.Rows)
		assert.InDelta(t, 252, f.PerYear(), 0)
	}
	assert.InDelta(t, 52, Weekly.PerYear(), 0)
	assert.InDelta(t, 12, Monthly.PerYear(), 0)
}

// Rows of other frames have other last days of the same weeks; their periods are equal.
func TestAPeriodIsTheSameWhateverItsLastDay(t *testing.T) {
	t.Parallel()
	friday, thursday := civil.Of(2024, time.March, 8), civil.Of(2024, time.March, 7)
	assert.Equal(t, Weekly.Period(Row{friday, friday - 7}), Weekly.Period(Row{thursday, thursday - 8}))
	assert.NotEqual(t, Weekly.Period(Row{friday, friday - 2}), Weekly.Period(Row{friday, friday - 3}),
		"parts of a week")
	assert.Equal(t, Row{friday, thursday}, Daily.Period(Row{friday, thursday}))
}
