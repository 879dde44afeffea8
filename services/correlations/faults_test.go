package correlations_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/events"
)

var firstDay = civil.Of(2024, time.January, 1)

func TestInvalidQueriesAreRefused(t *testing.T) {
	t.Parallel()
	w := up(t)
	a := w.Do(http.MethodGet, "/v1/correlations", "")
	assert.Equal(t, http.StatusConflict, a.Status, "no symbol has prices yet")
	w.settled("date,A,B,FLAT,ONE\n2024-01-02,1,2,7,\n2024-01-03,2,3,7,\n2024-01-04,2,4,7,5\n")
	unpriced := w.Portfolio(`{"name":"x","assets":[{"symbol":"A","weight":"0.6"},{"symbol":"NONE","weight":"0.4"}]}`)
	w.Eventually("the portfolio is known", func() bool {
		return w.Do(http.MethodGet, "/v1/correlations?portfolio="+unpriced, "").Status != http.StatusNotFound
	})
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprint("S", i)
	}
	for _, c := range []struct {
		query  string
		status int
		detail string
	}{
		{"?symbols=A,NONE,NEITHER", 404, "there are no prices of NONE, NEITHER"},
		{"?symbols=A,a", 422, "A is repeated"},
		{"?symbols=", 422, "the symbol is empty"},
		{"?symbols=A,B%20C", 422, "is not a symbol"},
		{"?symbols=" + strings.Join(many, ","), 422, "at most 1000"},
		{"?symbols=A&portfolio=" + unpriced, 422, "exclude each other"},
		{"?portfolio=" + events.NewID(), 404, "no portfolio"},
		{"?portfolio=" + unpriced, 409, "no prices yet of NONE"},
		{"?kind=beta", 422, "kind=beta"},
		{"?method=sample", 422, "method=sample"},
		{"?kind=covariance&method=pearson", 422, "method=pearson"},
		{"?target=single_factor", 422, "target is not for method=pearson"},
		{"?span=9", 422, "span is not for"},
		{"?method=exponential&span=0", 422, "span=0"},
		{"?method=exponential&span=NaN", 422, "span=NaN"},
		{"?method=semi&benchmark=Inf", 422, "benchmark=Inf"},
		{"?method=oas&missing=pairwise", 422, "missing=pairwise"},
		{"?linkage=x", 422, "linkage=x"},
		{"?frequency=yearly", 422, "frequency=yearly"},
		{"?frequency=monthly", 422, "no symbol has two returns"},
		{"/rolling?symbols=A,B&frequency=yearly", 422, "frequency=yearly"},
		{"?repair=x", 422, "repair=x"},
		{"?form=2024-01-01", 422, "no parameter"},
		{"?from=2024-01-05&to=2024-01-01", 422, "is after"},
		{"?from=2025-01-01", 422, "no returns"},
		{"?from=2024-01-04", 422, "no returns"},
		{"?from=2024-01-03", 422, "no symbol has two returns"},
		{"?symbols=ONE", 422, "no returns"},
		{"?symbols=A,ONE&method=ledoit_wolf", 422, "there are 0 daily returns that count"},
		{"?symbols=A,FLAT&kind=covariance&method=ledoit_wolf&target=constant_correlation", 422, "do not vary"},
		{"/rolling?symbols=A", 422, "these are 1"},
		{"/rolling?symbols=A,B,FLAT", 422, "these are 3"},
		{"/rolling?symbols=A,NONE", 404, "no prices of NONE"},
		{"/rolling?symbols=A,B", 422, "2 daily returns over the same days, and a window takes 63"},
		{"/rolling?symbols=A,B&window=1", 422, "window=1"},
		{"/rolling?symbols=A,B&kind=covariance", 422, "no parameter"},
	} {
		a := w.Do(http.MethodGet, "/v1/correlations"+c.query, "")
		assert.Equal(t, c.status, a.Status, "%.80s: %s", c.query, a.Body)
		assert.Contains(t, a.Problem().Detail, c.detail, "%.80s", c.query)
		assert.NotEmpty(t, a.Problem().Hint, "%.80s", c.query)
	}
}

func TestUndefinedCellsHaveAReason(t *testing.T) {
	t.Parallel()
	w := up(t)
	// E and F have one common day. FLAT never moves, and HALF moves only before the first day of F.
	w.settled(`date,A,E,F,FLAT,HALF
2024-01-02,10,5,,7,3
2024-01-03,11,6,,7,4
2024-01-04,10,7,,7,5
2024-01-05,12,6,2,7,5
2024-01-08,13,8,3,7,5
2024-01-09,11,,4,7,5
2024-01-10,10,,3,7,5
`)
	m := w.matrix("?symbols=A,E,F,FLAT,HALF")
	codes := map[string]string{}
	for _, u := range m.Undefined {
		codes[strings.Join(u.Symbols, " ")] = u.Code
		assert.NotEmpty(t, u.Detail)
	}
	assert.Equal(t, map[string]string{"FLAT": "constant", "E F": "too_few", "F HALF": "constant"}, codes)
	assert.Nil(t, m.Matrix[1][2])
	assert.Nil(t, m.Matrix[3][3])
	assert.Equal(t, 1, m.Observations[1][2])
	assert.NotNil(t, m.Matrix[0][2])
	assert.Nil(t, m.Semidefinite, "unknown with undefined cells")
	assert.Nil(t, m.Repaired)
	assert.ElementsMatch(t, m.Symbols, m.Order)

	m = w.matrix("?symbols=A,FLAT&kind=covariance")
	assert.Empty(t, m.Undefined, "the covariances of a constant are 0")
	assert.Equal(t, 0.0, *m.Matrix[0][1])
	assert.Equal(t, 0.0, *m.Matrix[1][1])

	var rolling struct{ Values []*float64 }
	w.Get("/v1/correlations/rolling?symbols=A,HALF&window=3", &rolling)
	require.Len(t, rolling.Values, 4)
	assert.NotNil(t, rolling.Values[0])
	assert.Nil(t, rolling.Values[3], "HALF does not vary in the last window")
}

func TestSingularAndIndefiniteMatrices(t *testing.T) {
	t.Parallel()
	w := up(t)
	w.settled("date,A,B,C,D\n2024-01-02,1,10,3,4\n2024-01-03,2,20,5,2\n2024-01-04,3,30,4,7\n")
	m := w.matrix("") // four symbols, two returns; A and B move alike
	assert.Equal(t, 1.0, *m.Matrix[0][1])
	assert.True(t, *m.Semidefinite)
	assert.Nil(t, m.Repaired, "singular is not indefinite")

	// The pairs cover different days and contradict each other: X moves with Y, Y with Z, and X against Z.
	w.settled(`date,X,Y,Z
2024-02-01,100,100,
2024-02-02,110,110,
2024-02-05,100,101,
2024-02-06,111,110,
2024-02-07,,100,100
2024-02-08,,110,111
2024-02-09,,101,100
2024-02-12,,112,110
2024-02-13,100,,100
2024-02-14,110,,90
2024-02-15,100,,101
2024-02-16,112,,90
`)
	m = w.matrix("?symbols=X,Y,Z&repair=none")
	require.NotNil(t, m.Semidefinite)
	assert.False(t, *m.Semidefinite)
	assert.Nil(t, m.Repaired)
	for _, repair := range []string{"spectral", "diagonal"} {
		fixed := w.matrix("?symbols=X,Y,Z&repair=" + repair)
		assert.True(t, *fixed.Semidefinite)
		require.NotNil(t, fixed.Repaired)
		assert.Equal(t, repair, fixed.Repaired.Method)
		largest, distance := 0.0, 0.0
		for i := range 3 {
			assert.Equal(t, 1.0, *fixed.Matrix[i][i])
			for j := range 3 {
				d := *fixed.Matrix[i][j] - *m.Matrix[i][j]
				largest, distance = max(largest, d, -d), distance+d*d
			}
		}
		assert.InDelta(t, largest, fixed.Repaired.Largest, 1e-12)
		assert.InDelta(t, distance, fixed.Repaired.Distance*fixed.Repaired.Distance, 1e-12)
		assert.Greater(t, largest, .1)
	}
}
