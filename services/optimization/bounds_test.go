package optimization_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/stegatest"
	"stega/process"
)

// list joins n items with commas.
func list(n int, item func(i int) string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = item(i)
	}
	return strings.Join(items, ",")
}

// A list that exceeds its bound is refused for its length alone, with a short answer.
func TestListsThatExceedTheirBoundsAreRefused(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	symbols := func(n int) string {
		return list(n, func(i int) string { return fmt.Sprintf("%q", "S"+strconv.Itoa(i)) })
	}
	weights := func(n int) string { return list(n, func(i int) string { return fmt.Sprintf(`"S%d":1`, i) }) }
	group := func(symbols string) string { return `"groups":[{"name":"g","symbols":[` + symbols + `],"max":0.5}]` }
	const ab = `"symbols":["A","B"],"objective":"max_sharpe",`
	for _, c := range []struct{ body, pointer, detail string }{
		{`"objective":"max_sharpe","symbols":[` + symbols(40_000) + `]`, "/symbols", "at most 1000"},
		{ab + group(symbols(40_000)), "/groups/0/symbols", "has 40000 symbols; at most 1000"},
		{ab + `"groups":[` + list(501, func(i int) string {
			return fmt.Sprintf(`{"name":"g%d","symbols":["A"],"max":1}`, i)
		}) + `]`, "/groups", "at most 500"},
		{ab + `"views":[` + list(501, func(int) string {
			return `{"symbol":"A","return":0.1}`
		}) + `]`, "/views", "at most 500"},
		{ab + `"views":[{"weights":{` + weights(1001) + `},"return":0.1}]`, "/views/0/weights", "at most 1000"},
		{ab + `"asset_bounds":{` + list(1001, func(i int) string {
			return fmt.Sprintf(`"S%d":[0,1]`, i)
		}) + `}`, "/asset_bounds", "at most 1000"},
		{ab + `"transaction_costs":0.1,"current_weights":{` + weights(1001) + `}`, "/current_weights", "at most 1000"},
		{`"symbols":["A","B"],"objective":"risk_parity","budgets":{` + weights(1001) + `}`, "/budgets", "at most 1000"},
		{
			ab + `"views":[{"symbol":"A","return":0.1}],"prior":"market","market_caps":{` + weights(1001) + `}`,
			"/market_caps",
			"at most 1000",
		},
	} {
		a := s.Do(http.MethodPost, "/v1/optimizations", "{"+c.body+"}")
		require.Equal(t, http.StatusUnprocessableEntity, a.Status, "%.100s: %.300s", c.body, a.Body)
		p := a.Problem()
		require.Len(t, p.Errors, 1, "%.100s", c.body)
		assert.Equal(t, c.pointer, p.Errors[0].Pointer)
		assert.Contains(t, p.Errors[0].Detail, c.detail)
	}
	// Within the bounds everything is checked, in time proportional to the length.
	for _, body := range []string{
		ab + group(symbols(1000)), `"objective":"max_sharpe","symbols":[` + strings.Repeat(`"A",`, 999) + `"A"]`,
	} {
		a := s.Do(http.MethodPost, "/v1/optimizations", "{"+body+"}")
		require.Equal(t, http.StatusUnprocessableEntity, a.Status)
		assert.Less(t, len(a.Body), 20_000, "%.100s", body)
		assert.Greater(t, len(a.Problem().Errors), 10)
	}
	// A fault shortens a long key in its pointer.
	a := s.Do(http.MethodPost, "/v1/optimizations",
		"{"+ab+`"asset_bounds":{"a/~`+strings.Repeat("é", 50_000)+`":[0,1]}}`)
	require.Equal(t, http.StatusUnprocessableEntity, a.Status)
	assert.Less(t, len(a.Body), 3000)
	assert.True(
		t, strings.HasPrefix(a.Problem().Errors[0].Pointer, "/asset_bounds/a~1~0é"), "%s",
		a.Problem().Errors[0].Pointer,
	)
}

func TestDeceptiveNamesAreRefused(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	const ab = `"symbols":["A","B"],"objective":"max_sharpe",`
	for _, name := range []string{`a\u0007`, `a\u001b[31m`, `a\u202eb`, `a\u2066b`, `a\u200bb`, `a\ufeffb`,
		`\u0441ore`} {
		for _, c := range []struct{ body, pointer string }{
			{`"name":"` + name + `"`, "/name"},
			{`"groups":[{"name":"` + name + `","symbols":["A"],"max":0.5}]`, "/groups/0/name"},
		} {
			a := s.Do(http.MethodPost, "/v1/optimizations", "{"+ab+c.body+"}")
			require.Equal(t, http.StatusUnprocessableEntity, a.Status, "%s: %s", c.body, a.Body)
			assert.Equal(t, c.pointer, a.Problem().Errors[0].Pointer, "%s", c.body)
		}
	}
	twice := `"groups":[{"name":"\u00e9t\u00e9","symbols":["A"],"max":0.5},` +
		`{"name":"e\u0301te\u0301","symbols":["B"],"max":0.5}]`
	a := s.Do(http.MethodPost, "/v1/optimizations", "{"+ab+twice+"}")
	require.Equal(t, http.StatusUnprocessableEntity, a.Status, "%s", a.Body)
	assert.Equal(t, "/groups/1/name", a.Problem().Errors[0].Pointer)
}

// A run is listed even when many later operations ended. Stored optimizations are found by name, and the quota bounds
// them.
func TestListsOfOptimizations(t *testing.T) {
	t.Parallel()
	w := environment{Server: stegatest.Up(t, func(c *process.Config) { c.Options.Optimization.MaxSaved = 2 }), t: t}
	w.settled(w.Import(market(200, 2500, nil), ""))
	var ids struct {
		ID          string
		OperationID string `json:"operation_id"`
	}
	w.Do(http.MethodPost, "/v1/optimizations", "{"+slowRequest(200)+"}").JSON(&ids)
	running(w.Server, ids.ID)
	for range 3 {
		w.Write(http.MethodDelete, "/v1/optimizations/019b0000-0000-7000-8000-000000000001", "")
	}
	var page struct {
		Items []struct{ ID, Name, Status string }
	}
	w.Get("/v1/optimizations?limit=2", &page)
	require.Len(t, page.Items, 1)
	assert.Equal(t, ids.ID, page.Items[0].ID)
	w.Do(http.MethodPost, "/v1/operations/"+ids.OperationID+"/cancel", "")

	save := func(name string) error {
		op := w.Write(http.MethodPost, "/v1/optimizations",
			`{"name":"`+name+`","objective":"hrp","symbols":["S000","S001"]}`)
		if op.Error != nil {
			return op.Error
		}
		return nil
	}
	require.NoError(t, save("Calm \\u00c9t\\u00e9"))
	require.NoError(t, save("wild"))
	err := save("one more")
	require.ErrorContains(t, err, "at most 2")
	for query, want := range map[string]int{"calm e\u0301te\u0301": 1, "WILD": 1, "wil": 0, "one more": 0} {
		w.Get("/v1/optimizations?name="+url.QueryEscape(query), &page)
		assert.Len(t, page.Items, want, query)
	}
}
