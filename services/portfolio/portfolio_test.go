package portfolio_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/internal/servers"
	"stega/internal/stegatest"
)

func TestMain(m *testing.M) { servers.Main(m) }

const core = `{"name":"core","assets":[{"symbol":"AAPL","weight":"0.6"},{"symbol":"MA","weight":0.4}]}`

func TestLifeOfAPortfolio(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)

	answer := s.Do(http.MethodPost, "/v1/portfolios", core)
	require.Equal(t, http.StatusAccepted, answer.Status, "%s", answer.Body)
	var accepted struct {
		OperationID string `json:"operation_id"`
		ID          string `json:"id"`
	}
	answer.JSON(&accepted)
	assert.Equal(t, "/v1/operations/"+accepted.OperationID, answer.Header.Get("Location"))

	var p events.Portfolio
	s.Get("/v1/portfolios/"+accepted.ID, &p)
	assert.Equal(t, "core", p.Name)
	assert.Equal(t, int64(1), p.Version)
	assert.Equal(t, "0.6", p.Assets[0].Weight.String())

	path := "/v1/portfolios/" + accepted.ID
	changed := `{"name":"Core","assets":[{"symbol":"ma","weight":"1.5"},{"symbol":"aapl","weight":"-0.5"}]}`
	require.Nil(t, s.Write(http.MethodPut, path, changed, "If-Match", `"1"`).Error)
	get := s.Do(http.MethodGet, path, "")
	assert.Equal(t, `"2"`, get.Header.Get("ETag"))
	get.JSON(&p)
	assert.Equal(t, "MA", p.Assets[0].Symbol)
	assert.Equal(t, http.StatusNotModified, s.Do(http.MethodGet, path, "", "If-None-Match", `"2"`).Status)

	stale := s.Write(http.MethodPut, path, changed, "If-Match", `"1"`)
	require.NotNil(t, stale.Error)
	assert.Equal(t, "version_mismatch", stale.Error.Code)

	require.Nil(t, s.Write(http.MethodDelete, path, "", "If-Match", `"2"`).Error)
	gone := s.Do(http.MethodGet, path, "")
	assert.Equal(t, http.StatusNotFound, gone.Status)
	assert.Equal(t, "portfolio_unknown", gone.Problem().Code)
	again := s.Write(http.MethodDelete, path, "")
	require.NotNil(t, again.Error)
	assert.Equal(t, "portfolio_unknown", again.Error.Code)

	id := accepted.ID
	var own []string
	s.Eventually("all events of the portfolio are published", func() bool {
		own = slices.DeleteFunc(s.Events(), func(e string) bool { return !strings.HasPrefix(e, "portfolio.") })
		return len(own) >= 3
	})
	assert.Equal(t, []string{"portfolio.created " + id, "portfolio.updated " + id, "portfolio.deleted " + id}, own)
	for _, line := range s.Log() {
		if line.Type == "portfolio.created" {
			assert.Equal(t, accepted.OperationID, line.Correlation)
			assert.JSONEq(t, fmt.Sprintf(`{"id":%q,"name":"core","version":1,"assets":[{"symbol":"AAPL","weight":"0.6"},
				{"symbol":"MA","weight":"0.4"}],"created_at":%q,"updated_at":%q}`, id,
				p.CreatedAt.Format("2006-01-02T15:04:05.999999Z07:00"),
				p.CreatedAt.Format("2006-01-02T15:04:05.999999Z07:00")), string(line.Data))
		}
	}
}

func TestInvalidPortfoliosAreRefusedWithEveryError(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	asset := func(symbol, weight string) string { return fmt.Sprintf(`{"symbol":%q,"weight":%s}`, symbol, weight) }
	of := func(assets ...string) string { return `{"name":"x","assets":[` + strings.Join(assets, ",") + `]}` }
	for _, c := range []struct {
		name, body string
		status     int
		code       string
		pointers   []string
	}{
		{"weights that sum to 0.9", of(asset("A", "0.5"), asset("B", "0.4")), 422, "portfolio_invalid",
			[]string{"/assets"}},
		{
			"weights that sum to a hair more than one", of(asset("A", "0.5"), asset("B", "0.5000000000000001")), 422,
			"portfolio_invalid", []string{"/assets"},
		},
		{"a symbol twice", of(asset("A", "0.5"), asset("a", "0.5")), 422, "portfolio_invalid",
			[]string{"/assets/1/symbol"}},
		{"a weight of zero", of(asset("A", "1"), asset("B", "0")), 422, "portfolio_invalid",
			[]string{"/assets/1/weight"}},
		{"a weight in words", of(asset("A", `"lots"`)), 422, "", nil},
		{
			"a weight that would be rounded", of(asset("A", `"1.00000000000000000000000001"`)), 422, "field_invalid",
			[]string{"/assets/0/weight"},
		},
		{
			"a weight that would be rounded to nothing", of(asset("A", "1"), asset("B", "1e-26")), 422, "field_invalid",
			[]string{"/assets/1/weight"},
		},
		{
			"a symbol with a slash, which paths cannot have", of(asset("BRK/B", "1")), 422, "portfolio_invalid",
			[]string{"/assets/0/symbol"},
		},
		{"a symbol that is two points", of(asset("..", "1")), 422, "portfolio_invalid", []string{"/assets/0/symbol"}},
		{"a weight that is NaN", of(asset("A", `"NaN"`)), 422, "", nil},
		{"a symbol with a space", of(asset("A B", "1")), 422, "portfolio_invalid", []string{"/assets/0/symbol"}},
		{"no name and no assets", `{}`, 422, "portfolio_invalid", []string{"/name", "/assets"}},
		{"an unknown field", `{"name":"x","assets":[],"colour":"red"}`, 422, "field_unknown", []string{"/colour"}},
		{
			"an unknown field of an asset", `{"name":"x","assets":[{"symbol":"A","weight":"1","colour":"red"}]}`, 422,
			"field_unknown", []string{"/assets/0/colour"},
		},
		{"a field in another case", `{"name":"x","Name":"y","assets":[]}`, 422, "field_unknown", []string{"/Name"}},
		{
			"a weight that is no number", `{"name":"x","assets":[{"symbol":"A","weight":"abc"}]}`, 422, "field_invalid",
			[]string{"/assets/0/weight"},
		},
		{"a field twice", `{"name":"x","name":"y","assets":[]}`, 422, "field_repeated", []string{"/name"}},
		{
			"a name that reads backwards", `{"name":"a\u202eb","assets":[{"symbol":"A","weight":"1"}]}`, 422,
			"portfolio_invalid",
			[]string{"/name"},
		},
		{
			"a name with letters that look like others", `{"name":"c\u043ere","assets":[{"symbol":"A","weight":"1"}]}`,
			422,
			"portfolio_invalid", []string{"/name"},
		},
		{"a name that is a number", `{"name":1,"assets":[]}`, 422, "field_invalid", []string{"/name"}},
		{"malformed JSON", `{"name":"x",`, 400, "json_malformed", nil},
		{"an empty body", ``, 400, "json_malformed", nil},
		{"two values", of(asset("A", "1")) + `{}`, 400, "json_malformed", nil},
		{"a body of two megabytes", `{"name":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "body_too_large", nil},
	} {
		t.Run("refuses "+c.name, func(t *testing.T) {
			a := s.Do(http.MethodPost, "/v1/portfolios", c.body)
			assert.Equal(t, c.status, a.Status, "%s", a.Body)
			assert.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
			p := a.Problem()
			assert.NotEmpty(t, p.Detail)
			if c.code != "" {
				assert.Equal(t, c.code, p.Code)
			}
			for i, pointer := range c.pointers {
				require.Greater(t, len(p.Errors), i, "%s", a.Body)
				assert.Equal(t, pointer, p.Errors[i].Pointer)
			}
		})
	}
	assert.Equal(
		t, http.StatusUnsupportedMediaType,
		s.Do(http.MethodPost, "/v1/portfolios", core, "Content-Type", "text/plain").Status,
	)
	assert.Equal(t, http.StatusMethodNotAllowed, s.Do(http.MethodPatch, "/v1/portfolios", core).Status)
	assert.Equal(t, http.StatusNotFound, s.Do(http.MethodGet, "/v1/portfolio", "").Status)
	assert.Equal(
		t, http.StatusUnprocessableEntity, s.Do(http.MethodPost, "/v1/portfolios", core, "Operation-Id", "mine").Status,
	)

	event := `{"id":"0198a2f6-0000-7000-8000-000000000001","name":"a\u202eb","version":1,
		"assets":[{"symbol":"A","weight":"1"}],"created_at":"2024-01-01T00:00:00Z","updated_at":"2024-01-01T00:00:00Z"}`
	a := s.Do(http.MethodPost, "/v1/events/portfolio.created", event)
	assert.Equal(t, http.StatusUnprocessableEntity, a.Status, "an event is checked as a command is: %s", a.Body)

	var list struct{ Items []events.Portfolio }
	s.Get("/v1/portfolios", &list)
	assert.Empty(t, list.Items, "nothing was written")
	assert.Empty(t, s.Events())
}

func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	first := s.Portfolio(core)
	op := s.Write(http.MethodPost, "/v1/portfolios", strings.Replace(core, "core", "CORE", 1))
	require.NotNil(t, op.Error)
	assert.Equal(t, "name_taken", op.Error.Code)
	assert.Equal(t, "failed", string(op.Status))

	second := s.Portfolio(strings.Replace(core, "core", "other", 1))
	op = s.Write(http.MethodPut, "/v1/portfolios/"+second, core)
	require.NotNil(t, op.Error)
	assert.Equal(t, "name_taken", op.Error.Code)

	// The two ways to write an accent make one name, which is kept in one way.
	require.Nil(
		t, s.Write(http.MethodPut, "/v1/portfolios/"+second, strings.Replace(core, "core", "e\u0301te\u0301", 1)).Error,
	)
	for _, name := range []string{"\u00e9t\u00e9", "\u00c9T\u00c9", "E\u0301te\u0301"} {
		op = s.Write(http.MethodPost, "/v1/portfolios", strings.Replace(core, "core", name, 1))
		require.NotNil(t, op.Error, "%q", name)
		assert.Equal(t, "name_taken", op.Error.Code)
		var found struct{ Items []events.Portfolio }
		s.Get("/v1/portfolios?name="+url.QueryEscape(name), &found)
		require.Len(t, found.Items, 1)
		assert.Equal(t, "\u00e9t\u00e9", found.Items[0].Name)
	}

	// A name that became free may be taken again.
	require.Nil(t, s.Write(http.MethodDelete, "/v1/portfolios/"+first, "").Error)
	require.Nil(t, s.Write(http.MethodPut, "/v1/portfolios/"+second, core).Error)
}

func TestOneOfManyConcurrentClientsGetsTheName(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	const clients = 16
	var mu sync.Mutex
	var won []string
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			op := s.Write(http.MethodPost, "/v1/portfolios", core)
			mu.Lock()
			defer mu.Unlock()
			if op.Error == nil {
				won = append(won, op.EntityID)
			} else {
				assert.Equal(t, "name_taken", op.Error.Code)
			}
		})
	}
	group.Wait()
	assert.Len(t, won, 1)
	var list struct{ Items []events.Portfolio }
	s.Get("/v1/portfolios", &list)
	require.Len(t, list.Items, 1)
	assert.Equal(t, won[0], list.Items[0].ID)
}

func TestAnOperationIdIsAnIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	id := events.NewID()
	first := s.Do(http.MethodPost, "/v1/portfolios", core, "Operation-Id", id)
	require.Equal(t, http.StatusAccepted, first.Status)
	second := s.Do(http.MethodPost, "/v1/portfolios", core, "Operation-Id", id)
	assert.Equal(t, http.StatusAccepted, second.Status)
	assert.Equal(t, string(first.Body), string(second.Body))
	other := s.Do(http.MethodPost, "/v1/portfolios", strings.Replace(core, "core", "else", 1), "Operation-Id", id)
	assert.Equal(t, http.StatusUnprocessableEntity, other.Status)

	// A request with another token is refused, although its id and body are the same.
	var created struct{ Token string }
	s.Do(http.MethodPost, "/v1/tokens", `{"name":"other","scope":"write"}`).JSON(&created)
	stranger := s.Do(http.MethodPost, "/v1/portfolios", core, "Operation-Id", id, "Authorization",
		"Bearer "+created.Token)
	assert.Equal(t, http.StatusUnprocessableEntity, stranger.Status)
	assert.Equal(t, "operation_id_reused", stranger.Problem().Code)

	// An id that would sort wrongly in lists is refused.
	for _, odd := range []string{
		"ffffffff-ffff-7fff-bfff-ffffffffffff", "ffffffff-ffff-4fff-bfff-ffffffffffff",
		"7b3e1c1a-6a5e-4d38-9c0f-0f6a1b2c3d4e", "00000000-0000-7000-8000-000000000000",
	} {
		a := s.Do(http.MethodPost, "/v1/portfolios", strings.Replace(core, "core", "odd", 1), "Operation-Id", odd)
		assert.Equal(t, http.StatusUnprocessableEntity, a.Status, odd)
		assert.Equal(t, "operation_id_invalid", a.Problem().Code)
	}

	var op struct{ ID, Status, Command, Service string }
	s.Get("/v1/operations/"+id, &op)
	assert.Equal(t, "succeeded", op.Status)
	assert.Equal(t, "portfolio.create", op.Command)
	var list struct {
		Items []struct{ ID string }
	}
	s.Get("/v1/operations", &list)
	require.Len(t, list.Items, 1)
	assert.Equal(t, id, list.Items[0].ID)
	assert.Equal(t, http.StatusNotFound, s.Do(http.MethodGet, "/v1/operations/"+events.NewID(), "").Status)
}

func TestListsPage(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	var want []string
	for i := range 5 {
		want = append(want, s.Portfolio(strings.Replace(core, "core", fmt.Sprintf("p%d", i), 1)))
	}
	var got []string
	for cursor := ""; ; {
		var page struct {
			Items      []events.Portfolio
			NextCursor string `json:"next_cursor"`
		}
		s.Get("/v1/portfolios?limit=2&cursor="+cursor, &page)
		assert.LessOrEqual(t, len(page.Items), 2)
		for _, p := range page.Items {
			got = append(got, p.ID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	assert.Equal(t, want, got)
	for _, query := range []string{"limit=0", "limit=many", "limit=1001", "cursor=!", "order=name"} {
		assert.Equal(t, http.StatusUnprocessableEntity, s.Do(http.MethodGet, "/v1/portfolios?"+query, "").Status, query)
	}
}
