package correlations

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"stega/civil"
	"stega/series"
)

// ending is a context that ends after a number of calls of Err, and counts them.
type ending struct {
	context.Context
	left, calls int
}

func (e *ending) Err() error {
	if e.calls++; e.calls > e.left {
		return context.Canceled
	}
	return nil
}

// line returns a series of consecutive days.
func line(symbol string, days int) *cachedSeries {
	points := make([]series.Point, days)
	for i := range points {
		points[i] = series.Point{
			Day:   civil.Date(i + 1),
			Since: civil.Date(i),
			Value: math.Sin(float64(i * len(symbol))),
		}
	}
	return &cachedSeries{
		symbol: symbol, years: []cachedYear{{points: points}}, days: days, first: 1, last: civil.Date(days),
	}
}

func TestRollingCorrelationsStopWithTheirContext(t *testing.T) {
	t.Parallel()
	all := []*cachedSeries{line("A", 400), line("BB", 400)}
	for _, method := range []string{"pearson", "spearman", "kendall"} {
		q := query{kind: kindCorrelation, method: method, frequency: series.Daily}
		whole := &ending{Context: t.Context(), left: math.MaxInt}
		a, err := roll(whole, q, 100, all)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, whole.calls, len(a.Values), "once for each window")
		half := &ending{Context: t.Context(), left: whole.calls / 2}
		_, err = roll(half, q, 100, all)
		require.Error(t, err)
		assert.LessOrEqual(t, half.calls, half.left+2, "no window begins after the end of the context")
	}
	q := query{kind: kindCorrelation, method: "kendall", frequency: series.Daily}
	_, err := roll(t.Context(), q, 2520, []*cachedSeries{line("A", 30_000), line("BB", 30_000)})
	assert.ErrorContains(t, err, "27480 windows of 2520 returns are too many")
}

func TestReasonsAreBounded(t *testing.T) {
	t.Parallel()
	const n = 300
	m := mat.NewSymDense(n, nil)
	symbols := make([]string, n)
	for i := range n {
		symbols[i] = "S"
		for j := range i {
			m.SetSym(i, j, math.NaN())
		}
	}
	e := estimate{matrix: m, observations: func(int, int) int { return 0 }}
	reasons, count := e.reasons(query{frequency: series.Daily}, symbols)
	assert.Len(t, reasons, maxReasons)
	assert.Equal(t, n*(n-1)/2, count)
}
