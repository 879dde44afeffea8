package series

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
)

var day = civil.Of(2024, time.March, 1)

// random returns a linked series with gaps.
func random(r *rand.Rand, days int) []Point {
	var points []Point
	for i := range days {
		if r.IntN(3) > 0 {
			points = append(points, Point{Day: day.AddDays(i), Value: r.NormFloat64()})
		}
	}
	Link(points, day-1)
	return points
}

// runs splits points at random.
func runs(r *rand.Rand, points []Point) iter.Seq[[]Point] {
	var parts [][]Point
	for len(points) > 0 {
		n := 1 + r.IntN(len(points))
		parts, points = append(parts, points[:n]), points[n:]
	}
	return slices.Values(parts)
}

// A frame has each return once, in the row of its span, in order. Two series share a row where both begin and end on
// the same days.
func TestAFrameAlignsSpans(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		all, aligned := make([][]Point, 1+r.IntN(5)), []iter.Seq[[]Point]{}
		total := 0
		for i := range all {
			all[i] = random(r, r.IntN(30))
			total += len(all[i])
			aligned = append(aligned, runs(r, all[i]))
		}
		f, err := Align(aligned)
		require.NoError(t, err)
		require.True(t, slices.IsSortedFunc(f.Rows, Row.Compare))
		require.Len(t, slices.Compact(slices.Clone(f.Rows)), len(f.Rows))
		require.Len(t, f.Values, len(all))
		seen := 0
		days := map[civil.Date]bool{}
		for t2, row := range f.Rows {
			days[row.Day] = true
			n := 0
			for i, points := range all {
				want := math.NaN()
				for _, p := range points {
					if p.Day == row.Day && p.Since == row.Since {
						want, n = p.Value, n+1
					}
				}
				if !(math.IsNaN(want) && math.IsNaN(f.Values[i][t2])) {
					require.Equal(t, want, f.Values[i][t2])
				}
			}
			require.Positive(t, n, "a row without a return")
			seen += n
		}
		require.Equal(t, total, seen)
		require.Equal(t, len(days), f.Days())
		daily := f.ByDay()
		require.Len(t, daily.Rows, len(days))
		for i, points := range all {
			at := 0
			for t2, row := range daily.Rows {
				if at < len(points) && points[at].Day == row.Day {
					require.Equal(t, points[at].Value, daily.Values[i][t2])
					at++
				} else {
					require.True(t, math.IsNaN(daily.Values[i][t2]))
				}
			}
			require.Equal(t, len(points), at)
		}
	}
}

func TestAgesDaysAndMeanOfAFrame(t *testing.T) {
	t.Parallel()
	linked := func(points ...Point) iter.Seq[[]Point] {
		Link(points, day)
		return slices.Values([][]Point{points})
	}
	f, err := Align([]iter.Seq[[]Point]{
		linked(Point{Day: day + 1, Value: .1}, Point{Day: day + 2, Value: .2}, Point{Day: day + 3, Value: .3},
			Point{Day: day + 5, Value: .5}),
		// none on the second
		linked(Point{Day: day + 1, Value: .3}, Point{Day: day + 3, Value: .4}, Point{Day: day + 5, Value: .7}),
		linked(Point{Day: day + 1, Value: .2}, Point{Day: day + 3, Value: .6}),
	})
	require.NoError(t, err)
	assert.Equal(t,
		[]Row{{day + 1, day}, {day + 2, day + 1}, {day + 3, day + 1}, {day + 3, day + 2}, {day + 5, day + 3}},
		f.Rows)
	assert.Equal(t, []float64{3, 2, 1, 1, 0}, f.Ages())
	assert.Equal(t, 4, f.Days())
	assert.Equal(t, "[0.2 0.2 0.5 NaN 0.6]", fmt.Sprintf("%.1f", f.Mean()),
		"of two rows of a day, the one that more have")
	assert.Equal(t, "[[0.1 0.2 0.3 0.5] [0.3 NaN 0.4 0.7] [0.2 NaN 0.6 NaN]]", fmt.Sprint(f.ByDay().Values))
	nothing, err := Align([]iter.Seq[[]Point]{linked(), linked()})
	require.NoError(t, err)
	assert.Empty(t, nothing.Rows)
	assert.Zero(t, nothing.Days())
	assert.Len(t, nothing.Values, 2)
	assert.Empty(t, nothing.Ages())
	assert.Len(t, nothing.ByDay().Values, 2)
	assert.Empty(t, nothing.Mean())
}

func TestMergeReportsChanges(t *testing.T) {
	t.Parallel()
	old := []Point{{Day: day, Value: math.NaN()}, {Day: day + 2, Value: .2}}
	_, changed := Merge(old, []Point{{Day: day, Value: math.NaN()}, {Day: day + 2, Value: .2}})
	assert.False(t, changed)
	all, changed := Merge(old, []Point{{Day: day + 1, Value: .1}, {Day: day + 2, Value: .3}})
	assert.True(t, changed)
	assert.Equal(t, "[NaN 0.1 0.3]", fmt.Sprint([]float64{all[0].Value, all[1].Value, all[2].Value}))
}

func FuzzUnpack(f *testing.F) {
	f.Add(Pack(nil, NewYear(2024), []Point{{Day: day, Value: math.NaN()}, {Day: day + 1, Value: .1},
		{Day: day + 300, Value: -.5}}))
	f.Add([]byte{1, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		points, err := Unpack(nil, 2024, data)
		if err != nil {
			return
		}
		again, err := Unpack(nil, 2024, Pack(nil, NewYear(2024), points))
		require.NoError(t, err)
		require.Len(t, again, len(points))
		for i := range points {
			require.True(t, points[i].Same(again[i]))
		}
	})
}

func TestPointsAreCutIntoYears(t *testing.T) {
	t.Parallel()
	points := Of([]civil.Date{civil.Of(2023, 12, 31), civil.Of(2024, 1, 1), civil.Of(2024, 12, 31),
		civil.Of(2026, 5, 1)},
		[]float64{1, 2, 3, 4})
	var years []int
	var cut []Point
	for year, part := range Years(points) {
		years, cut = append(years, year), append(cut, part...)
	}
	assert.Equal(t, []int{2023, 2024, 2026}, years)
	assert.Equal(t, points, cut)
	for year := range Years(points) {
		assert.Equal(t, 2023, year)
		break
	}
}

// Series with prices on ever different days need a row for each return.
func TestAFrameHasABound(t *testing.T) {
	t.Parallel()
	all := make([]iter.Seq[[]Point], MaxCells/1000+1)
	days := make([]Point, 1000)
	for i := range days {
		days[i] = Point{Day: civil.Date(i + 1), Since: civil.Date(i)}
	}
	for i := range all {
		all[i] = slices.Values([][]Point{days})
	}
	_, err := Align(all)
	assert.ErrorIs(t, err, ErrTooLarge)
	_, err = Weekly.Align(all[:2])
	assert.NoError(t, err)
}
