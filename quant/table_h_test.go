package quant_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant"
)

func flow(date string, amount float64) quant.Flow {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	return quant.Flow{Day: int(day.Unix() / 86400), Amount: amount}
}

// Portfolio Performance: math/IRRTest.java, math/RiskTest.java, snapshot/ClientIndexTest.java and
// PerformanceIndexTest.java.
func TestPortfolioPerformanceValues(t *testing.T) {
	t.Parallel()
	t.Run("H1 a year at 5 %", func(t *testing.T) {
		r, err := quant.XIRR([]quant.Flow{flow("2010-01-01", -200), flow("2010-12-31", 210)})
		require.NoError(t, err)
		assert.InDelta(t, .050140747, r, 1e-8)
	})
	t.Run("H3 nearly all is lost", func(t *testing.T) {
		r, err := quant.XIRR([]quant.Flow{flow("2019-05-24", -1560.94), flow("2020-01-13", -1160),
			flow("2020-06-29", 42.80)})
		require.NoError(t, err)
		assert.InDelta(t, -.999251643, r, 1e-4)
	})
	t.Run("H4 time-weighted returns of a cash account", func(t *testing.T) {
		in := []float64{10000, 0, 200, 0, 0, 0, 5400, 0, 0}
		out := []float64{0, 0, 0, 400, 0, 0, 0, 3697.04, 0}
		earned := []float64{0, 230, 200, -234.41, 293.99, 293.99, 195.99, -882.52, -1003.85}
		ends, value := make([]float64, 9), 0.0
		for i := range ends {
			value += in[i] - out[i] + earned[i]
			ends[i] = value
		}
		r, err := quant.TimeWeighted(ends, in, out)
		require.NoError(t, err)
		assert.InDeltaSlice(t,
			[]float64{.023, .019175455, -.0220517, .0294117647, .0285714286, .012261967, -.0545454545,
				-.0865384615}, r[1:], 1e-6)
		assert.InDeltaSlice(t, []float64{.023, .042616491, .019624983, .049614163, .079603343, .092841403, .03323197,
			-.056182678}, quant.Cumulative(r)[1:], 1e-6)
	})
	t.Run("H6 transfers do not change time-weighted returns", func(t *testing.T) {
		deltas := []float64{.023, .043, .02, .05, .08, .1, .04, -.05}
		transfers := []float64{1000000, 0, 20000, -40000, 0, 0, 540000, -369704, 0}
		in, out, ends, value := make([]float64, 9), make([]float64, 9), make([]float64, 9), 0.0
		for i, f := range transfers {
			in[i], out[i] = math.Max(f, 0), math.Max(-f, 0)
			value += in[i]
			if i > 0 {
				value *= 1 + deltas[i-1]
			}
			value -= out[i]
			ends[i] = value
		}
		r, err := quant.TimeWeighted(ends, in, out)
		require.NoError(t, err)
		assert.InDeltaSlice(t, deltas, r[1:], 1e-12)
	})
	t.Run("H7 volatility and semi-volatility of the whole time", func(t *testing.T) {
		r := quant.Log([]float64{.005, -1.0 / 300, -.005, .01, .01, -.005})
		assert.InDelta(t, .017736692475, quant.AnnualVolatility(r, 6), 1e-11)
		assert.InDelta(t, .012188677034, quant.SemiDeviation(r)*math.Sqrt(6), 1e-11)
	})
	t.Run("H8 longest drawdown of accumulated performance", func(t *testing.T) {
		wealth := []float64{2, 2, .5, 2, 2, 3, 4, 5, 6, 7}
		assert.Equal(t, 5, quant.LongestDrawdown(wealth))
	})
}

// ffn tests/test_core.py.
func TestFFNValues(t *testing.T) {
	t.Parallel()
	f := referenceTable(t, "ffn_prices.csv")
	days := func(from, to int) float64 { return f.days[to].Sub(f.days[from]).Hours() / 24 }
	last := len(f.days) - 1
	t.Run("F32 growth a year", func(t *testing.T) {
		for i, want := range []float64{.440, .041, -.205} {
			assert.InDelta(t, want, quant.CAGR(f.values[i][0], f.values[i][last], days(0, last)), 5e-4, f.names[i])
		}
		assert.InDelta(t, -.921, quant.CAGR(f.values[0][0], f.values[0][9], days(0, 9)), 5e-4)
	})
	t.Run("F33 drawdown and return of the first days", func(t *testing.T) {
		depth, total := []float64{-.086, -.048, -.033}, []float64{-.079, -.038, .012}
		for i := range f.values {
			d, _, _, _ := quant.MaxDrawdown(quant.Simple(f.values[i][:10]))
			assert.InDelta(t, depth[i], d, 5e-4)
			assert.InDelta(t, total[i], quant.CumulativeReturn(quant.Simple(f.values[i][:11])), 5e-4)
		}
	})
	t.Run("F34 month and year to date", func(t *testing.T) {
		returns := quant.Simple(f.column("AAPL"))
		table := func(to int) (month, year float64) { // of the day of a price, that of its return
			var years, months []int
			for _, d := range f.days[1 : to+1] {
				years, months = append(years, d.Year()), append(months, int(d.Month()))
			}
			rows, err := quant.CalendarTable(returns[:to], years, months)
			require.NoError(t, err)
			row := rows[len(rows)-1]
			return row.Months[f.days[to].Month()-1], row.Total
		}
		for _, c := range []struct {
			day         string
			month, year float64
		}{{"2005-01-14", .0901, .0901}, {"2005-02-15", .1497, .3728}} {
			day, err := time.Parse(time.DateOnly, c.day)
			require.NoError(t, err)
			month, year := table(slices.IndexFunc(f.days, day.Equal))
			assert.InDelta(t, c.month, month, 5e-5)
			assert.InDelta(t, c.year, year, 5e-5)
		}
	})
	t.Run("F34 part of a year", func(t *testing.T) { assert.InDelta(t, .0520, quant.YearFraction(19), 5e-5) })
	t.Run("F29 weights by inverse volatility", func(t *testing.T) {
		inverse, sum := make([]float64, 3), 0.0
		for i := range inverse {
			inverse[i] = 1 / quant.Deviation(quant.Simple(f.values[i][:11]))
			sum += inverse[i]
		}
		for i, want := range []float64{.218, .464, .318} {
			assert.InDelta(t, want, inverse[i]/sum, 5e-4)
		}
	})
}

func TestRatesOfReturnMakeThePresentValueZero(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 6))
	for range 300 {
		flows := []quant.Flow{{Day: 10, Amount: -1000}}
		for range 1 + r.IntN(20) {
			flows = append(flows, quant.Flow{Day: 11 + r.IntN(20000), Amount: 500 * r.Float64()})
		}
		rate, err := quant.XIRR(flows)
		require.NoError(t, err)
		sum, scale := 0.0, 0.0
		for _, f := range flows {
			v := f.Amount * math.Pow(1+rate, -float64(f.Day-10)/365)
			sum, scale = sum+v, scale+math.Abs(v)
		}
		assert.InDelta(t, 0, sum/scale, 1e-9)
	}
	for name, flows := range map[string][]quant.Flow{
		"none":               nil,
		"one sign":           {{1, 2}, {2, 3}},
		"one day":            {{1, -5}, {1, 3}},
		"infinite":           {{1, -5}, {2, math.Inf(1)}},
		"a day at any price": {{0, -1}, {1, 1e9}},
	} {
		_, err := quant.XIRR(flows)
		require.ErrorIs(t, err, quant.ErrNoRate, name)
	}
	even, err := quant.XIRR([]quant.Flow{{0, -5}, {100, 5}})
	require.NoError(t, err)
	assert.InDelta(t, 0, even, 1e-15)
	old, err := quant.XIRR([]quant.Flow{{0, -1}, {30000, 1e-20}})
	require.NoError(t, err)
	assert.InDelta(t, math.Exp(math.Log(1e-20)*365/30000)-1, old, 1e-12, "decades")
}
