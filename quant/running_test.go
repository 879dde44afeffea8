package quant_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant"
)

// across turns series into days.
func across(series [][]float64) [][]float64 {
	if len(series) == 0 {
		return nil
	}
	days := make([][]float64, len(series[0]))
	for t := range days {
		days[t] = make([]float64, len(series))
		for i := range series {
			days[t][i] = series[i][t]
		}
	}
	return days
}

func running(t testing.TB, symbols int, days [][]float64) *quant.Running {
	t.Helper()
	m, err := quant.NewRunning(symbols)
	require.NoError(t, err)
	for _, day := range days {
		require.NoError(t, m.Add(day))
	}
	return m
}

// agree compares with a new computation, to 1e-12 of the scale of each pair.
func agree(t *testing.T, days [][]float64, symbols int, m *quant.Running) {
	t.Helper()
	series := across(days)
	if len(days) == 0 {
		series = make([][]float64, symbols)
	}
	recomputed, err := quant.NewCoMoments(t.Context(), series)
	require.NoError(t, err)
	wantC, gotC := recomputed.Covariance(252), m.Covariance(252)
	wantR, gotR := recomputed.Correlation(), m.Correlation()
	for i := range symbols {
		for j := range symbols {
			require.Equal(t, recomputed.Observations(i, j), m.Observations(i, j))
			scale := math.Max(1e-300, math.Sqrt(math.Abs(wantC.At(i, i)*wantC.At(j, j))))
			if math.IsNaN(scale) {
				scale = 1
			}
			same(t, wantC.At(i, j), gotC.At(i, j), 1e-12*scale)
			same(t, wantR.At(i, j), gotR.At(i, j), 1e-11)
		}
		same(t, quant.Mean(series[i]), m.Mean(i), 1e-16)
	}
}

func TestRunningEqualsANewComputation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 4))
		symbols := 1 + r.IntN(12)
		m := running(t, symbols, nil)
		var days [][]float64
		value := func() float64 {
			if r.IntN(4) == 0 {
				return nan
			}
			return .001 + .02*r.NormFloat64()
		}
		for range 400 {
			switch k := r.IntN(20); {
			case k < 9 || len(days) == 0: // a day, wherever
				day := make([]float64, symbols)
				for i := range day {
					day[i] = value()
				}
				require.NoError(t, m.Add(day))
				days = slices.Insert(days, r.IntN(len(days)+1), day)
			case k < 14: // a correction, a withdrawal, a late value
				day, i, v := days[r.IntN(len(days))], r.IntN(symbols), value()
				require.NoError(t, m.Correct(day, i, v))
				day[i] = v
			case k < 16: // a day is gone
				at := r.IntN(len(days))
				require.NoError(t, m.Remove(days[at]))
				days = slices.Delete(days, at, at+1)
			case k < 17: // a symbol joins, with a history
				i, err := m.Join()
				require.NoError(t, err)
				symbols++
				for d := range days {
					days[d] = append(days[d], nan)
					v := value()
					require.NoError(t, m.Correct(days[d], i, v))
					days[d][i] = v
				}
			case symbols > 1: // one leaves
				gone, order := r.IntN(symbols), []int{}
				for i := range symbols {
					if i != gone {
						order = append(order, i)
					}
				}
				var err error
				m, err = m.Select(order...)
				require.NoError(t, err)
				symbols--
				for d := range days {
					days[d] = slices.Delete(days[d], gone, gone+1)
				}
			}
		}
		agree(t, days, symbols, m)
		r.Shuffle(len(days), func(a, b int) { days[a], days[b] = days[b], days[a] })
		require.Equal(t, quant.StateOf(running(t, symbols, days)), quant.StateOf(m),
			"what is rebuilt, in another order, has the same state")
		for _, day := range days {
			require.NoError(t, m.Remove(day))
		}
		require.Equal(t, quant.StateOf(running(t, symbols, nil)), quant.StateOf(m), "a state without days is empty")
	}
}

func TestRunningIsExact(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	days := make([][]float64, 200)
	for d := range days {
		x := 10 + 1e-7*r.NormFloat64() // far from 0, so that floats would cancel
		days[d] = []float64{x, -3*x + 1e-7*r.NormFloat64()}
	}
	m := running(t, 2, days)
	rational := func(v float64) *big.Rat {
		return new(big.Rat).SetFloat64(math.Ldexp(math.RoundToEven(math.Ldexp(v, 53)), -53))
	}
	sum := func(f func(d []float64) *big.Rat) *big.Rat {
		s := new(big.Rat)
		for _, d := range days {
			s.Add(s, f(d))
		}
		return s
	}
	for _, p := range [][2]int{{0, 0}, {0, 1}, {1, 1}} {
		x := sum(func(d []float64) *big.Rat { return rational(d[p[0]]) })
		y := sum(func(d []float64) *big.Rat { return rational(d[p[1]]) })
		xy := sum(func(d []float64) *big.Rat { return new(big.Rat).Mul(rational(d[p[0]]), rational(d[p[1]])) })
		n := big.NewRat(200, 1)
		xy.Sub(xy, x.Mul(x, y).Quo(x, n))
		want, _ := xy.Quo(xy, big.NewRat(199, 1)).Float64()
		assert.InEpsilon(t, want, m.Covariance(1).At(p[0], p[1]), 1e-15)
	}
	flat := running(t, 2, [][]float64{{.1, .3}, {.1, .2}, {.1, .25}})
	assert.Equal(t, 0.0, flat.Covariance(1).At(0, 0), "a constant has no variance")
	assert.True(t, math.IsNaN(flat.Correlation().At(0, 1)))
	p, q := 103.37, 101.11
	assert.Equal(t, p/q-1, running(t, 1, [][]float64{{p/q - 1}}).Mean(0), "simple returns are whole numbers of quanta")
}

func TestRunningRefusesInvalidDays(t *testing.T) {
	t.Parallel()
	days := [][]float64{{.1, nan, .2}, {.2, .1, nan}}
	m := running(t, 3, days)
	before := quant.StateOf(m)
	for name, err := range map[string]error{
		"short":     m.Add([]float64{1}),
		"infinite":  m.Add([]float64{.1, .2, math.Inf(1)}),
		"huge":      m.Add([]float64{.1, 512, .2}),
		"of none":   m.Remove([]float64{.1, nan, 30}),
		"no symbol": m.Correct(days[0], 3, 1),
		"too large": m.Correct(days[0], 0, -1e9),
		"a day":     m.Correct([]float64{.1, 600, 1}, 0, .1),
	} {
		require.Error(t, err, name)
	}
	_, err := m.Select(0, 3)
	require.ErrorIs(t, err, quant.ErrSymbols)
	_, err = quant.NewRunning(-1)
	require.ErrorIs(t, err, quant.ErrSymbols)
	assert.Equal(t, before, quant.StateOf(m), "nothing has changed")
	for range 4 {
		require.NoError(t, m.Add([]float64{500, 0, 0}))
	}
	require.ErrorIs(t, m.Add([]float64{500, 0, 0}), quant.ErrRange, "the squares sum up to a million")
}

func BenchmarkRunning500(b *testing.B) {
	full := across(gappy(rand.New(rand.NewPCG(1, 1)), 500, 300, 0))
	m := running(b, 500, full)
	b.Run("a new day", func(b *testing.B) {
		for k := 0; b.Loop(); k++ {
			if err := m.Add(full[k%300]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("a corrected return", func(b *testing.B) {
		for b.Loop() {
			if err := m.Correct(full[0], 250, full[0][250]); err != nil {
				b.Fatal(err)
			}
		}
	})
	holes := across(gappy(rand.New(rand.NewPCG(1, 1)), 500, 300, .05))
	g := running(b, 500, holes)
	b.Run("a new day with gaps", func(b *testing.B) {
		for k := 0; b.Loop(); k++ {
			if err := g.Add(holes[k%300]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("covariance", func(b *testing.B) {
		for b.Loop() {
			_ = m.Covariance(252)
		}
	})
	b.Run("correlation", func(b *testing.B) {
		for b.Loop() {
			_ = m.Correlation()
		}
	})
}
