package boundary_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"stega/events"
	"stega/internal/stegatest"
	"stega/process"
	"stega/services/boundary"
	"stega/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const prices = "date,symbol,close\n2026-01-02,AAPL,100\n2026-01-02,MA,200\n2026-01-05,AAPL,102\n2026-01-05,MA,198\n"

func portfolio(name string) string {
	return fmt.Sprintf(`{"name":%q,"assets":[{"symbol":"AAPL","weight":"0.6"},{"symbol":"MA","weight":"0.4"}]}`, name)
}

// settle sends a write and waits until it is settled, or over otherwise.
func settle(t *testing.T, s *stegatest.Server, method, path, body string, headers ...string) boundary.Operation {
	t.Helper()
	a := s.Do(method, path, body, append([]string{"Prefer", "wait=50, settled"}, headers...)...)
	require.Equal(t, http.StatusOK, a.Status, "%s", a.Body)
	var o boundary.Operation
	a.JSON(&o)
	return o
}

func operation(s *stegatest.Server, id string) (o boundary.Operation) {
	s.Get("/v1/operations/"+id+"?tree=true", &o)
	return o
}

// A settled write can be read in the views of every service, at once, however many are written beside it.
func TestWhatIsSettledCanBeRead(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	imported := settle(t, s, http.MethodPost, "/v1/prices", prices, "Content-Type", "text/csv")
	require.True(t, imported.Settled)
	var group sync.WaitGroup
	for client := range 4 {
		group.Go(func() {
			for n := range 50 {
				o := settle(t, s, http.MethodPost, "/v1/portfolios", portfolio(fmt.Sprintf("p%d-%d", client, n)))
				if !assert.True(t, o.Settled, "%+v", o) {
					return
				}
				a := s.Do(http.MethodGet, "/v1/returns/portfolios/"+o.EntityID, "")
				if !assert.Equal(t, http.StatusOK, a.Status, "after %d: settled too early: %s", n, a.Body) {
					return
				}
			}
		})
	}
	group.Wait()
}

// An operation has the same fields whoever tells it, and what can be read can be asked for without its body.
func TestFieldsOfAnOperationAndHeads(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	var o map[string]any
	a := s.Do(http.MethodPost, "/v1/portfolios", `{"name":"core","assets":[{"symbol":"AAPL","weight":"1"}]}`, "Prefer",
		"wait=20")
	require.Equal(t, http.StatusOK, a.Status, "%s", a.Body)
	a.JSON(&o)
	for _, field := range []string{"id", "command", "service", "subject", "status", "settled", "accepted_at",
		"finished_at"} {
		assert.Contains(t, o, field)
	}
	for _, path := range []string{"/v1/portfolios", "/v1/symbols", "/v1/operations", "/healthz", "/readyz",
		"/v1/portfolios/" + o["entity_id"].(string)} {
		get, head := s.Do(http.MethodGet, path, ""), s.Do(http.MethodHead, path, "")
		assert.Equal(t, http.StatusOK, head.Status, path)
		assert.Empty(t, head.Body, path)
		assert.Equal(t, get.Header.Get("Content-Type"), head.Header.Get("Content-Type"), path)
		assert.Equal(t, get.Header.Get("Etag"), head.Header.Get("Etag"), path)
	}
}

func TestATreeShowsWhatFollowed(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	settle(t, s, http.MethodPost, "/v1/prices", prices, "Content-Type", "text/csv")
	o := settle(t, s, http.MethodPost, "/v1/portfolios", portfolio("core"))
	whole := operation(s, o.ID)
	require.NotNil(t, whole.Tree)
	assert.Equal(t, "portfolio.create", whole.Tree.Topic)
	assert.Equal(t, "succeeded", whole.Tree.Handlings[0].State)
	require.Len(t, whole.Tree.Children, 1)
	created := whole.Tree.Children[0]
	assert.Equal(t, "portfolio.created", created.Topic)
	var handlers []string
	for _, h := range created.Handlings {
		handlers = append(handlers, h.Handler)
		assert.Equal(t, "handled", h.State)
		assert.Positive(t, h.TookMS)
	}
	assert.Equal(t, []string{"correlations:portfolios", "optimization:portfolios", "returns:portfolios"}, handlers)
	require.Len(t, created.Children, 1)
	assert.Equal(t, "returns.portfolio_updated", created.Children[0].Topic)

	failed := settle(t, s, http.MethodPost, "/v1/portfolios", portfolio("core"))
	assert.Equal(t, store.Failed, failed.Status, "the name is taken")
	assert.True(t, failed.Settled, "nothing follows from what failed")
}

// A read after an operation waits for it; one after an operation that nobody knows is refused.
func TestReadsAfterAnOperation(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	for n := range 20 {
		a := s.Do(http.MethodPost, "/v1/prices", strings.ReplaceAll(prices, "100", strconv.Itoa(100+n)), "Content-Type",
			"text/csv")
		require.Equal(t, http.StatusAccepted, a.Status)
		var accepted struct {
			ID string `json:"operation_id"`
		}
		a.JSON(&accepted)
		read := s.Do(http.MethodGet, "/v1/returns/assets/AAPL/series?kind=simple&after="+accepted.ID, "")
		require.Equal(t, http.StatusOK, read.Status, "%s", read.Body)
		var series struct{ Values []float64 }
		read.JSON(&series)
		require.InDelta(t, 102/float64(100+n)-1, series.Values[0], 1e-12)
		assert.NotEmpty(t, read.Header.Get(boundary.PositionHeader))
	}
	assert.Equal(t, "operation_unknown", s.Do(http.MethodGet, "/v1/symbols?after="+events.NewID(), "").Problem().Code)
}

// While a consumer never starts, what it would have to do is not settled, and it is said who is waited for. When it
// starts, all settles.
func TestAConsumerThatNeverStartedIsWaitedFor(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	without := func(cfg *process.Config) {
		cfg.Services = []string{"boundary", "correlations", "marketdata", "optimization", "portfolio"}
	}
	s := stegatest.Start(t, stegatest.Config(data, without))
	s.Unsettled().Import(prices, "")
	a := s.Do(http.MethodPost, "/v1/portfolios", portfolio("core"), "Prefer", "wait=2, settled")
	require.Equal(t, http.StatusAccepted, a.Status, "a time that is up does not mean that the write failed: %s", a.Body)
	var accepted struct {
		Operation string `json:"operation_id"`
		ID        string
	}
	a.JSON(&accepted)
	var o boundary.Operation
	s.Eventually("it is said to be stalled", func() bool {
		o = operation(s, accepted.Operation)
		return o.Outcome == boundary.Stalled
	})
	assert.Equal(t, store.Succeeded, o.Status)
	assert.False(t, o.Settled)
	require.Len(t, o.Waiting, 1)
	assert.Equal(t, "returns", o.Waiting[0].Service)
	behind := s.Do(http.MethodGet, "/v1/portfolios?after="+accepted.Operation, "", "Prefer", "wait=1")
	require.Equal(t, http.StatusGatewayTimeout, behind.Status)
	assert.Contains(t, behind.Problem().Errors[0].Detail, "the consumer of returns has not handled portfolio.created")
	s.Stop()

	s = stegatest.Start(t, stegatest.Config(data))
	s.Eventually("it settles", func() bool { return operation(s, accepted.Operation).Settled })
	s.Get("/v1/returns/portfolios/"+accepted.ID, new(json.RawMessage))
}

// A handler that fails is named while it is tried again, and when it is mended all settles.
func TestAHandlerThatFailsIsNamed(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := stegatest.Start(t, stegatest.Config(data))
	returns, err := store.Open(t.Context(), "returns", "sqlite://"+filepath.Join(data, "returns.db"))
	require.NoError(t, err)
	defer func() { _ = returns.Close() }()
	alter := func(query string) {
		require.NoError(t, returns.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.ExecContext(ctx, query)
			return err
		}))
	}
	alter("ALTER TABLE holdings RENAME TO mislaid")
	a := s.Do(http.MethodPost, "/v1/portfolios", portfolio("core"))
	var accepted struct {
		Operation string `json:"operation_id"`
		ID        string
	}
	a.JSON(&accepted)
	var o boundary.Operation
	s.Eventually("the handler is named", func() bool {
		o = operation(s, accepted.Operation)
		return o.Outcome == boundary.Stalled && o.Waiting[0].Handler != ""
	})
	assert.Equal(t, "returns:portfolios", o.Waiting[0].Handler)
	assert.Equal(t, "parked", o.Waiting[0].State)
	assert.Contains(t, o.Waiting[0].Error, "holdings")
	alter("ALTER TABLE mislaid RENAME TO holdings")
	s.Eventually("it settles", func() bool { return operation(s, accepted.Operation).Settled })
}

// A rebuild is an operation like any other: it is settled when the views are there again.
func TestARebuildSettles(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	settle(t, s, http.MethodPost, "/v1/prices", prices, "Content-Type", "text/csv")
	o := settle(t, s, http.MethodPost, "/v1/portfolios", portfolio("core"))
	var before, after json.RawMessage
	s.Get("/v1/returns/portfolios/"+o.EntityID, &before)
	for range 5 {
		rebuilt := settle(t, s, http.MethodPost, "/v1/rebuild/returns", "")
		require.True(t, rebuilt.Settled, "%+v", rebuilt)
		s.Get("/v1/returns/portfolios/"+o.EntityID, &after)
		require.Equal(t, string(before), string(after))
	}
}

// An event that is lost on its way to a service leaves its operation stalled. A rebuild of the service brings what it
// would have changed, and settles the operation.
func TestARebuildSettlesOperationsWhoseEventWasLost(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := stegatest.Start(t, stegatest.Config(data))
	settle(t, s, http.MethodPost, "/v1/prices", prices, "Content-Type", "text/csv")
	s.Stop()
	s = stegatest.Start(t, stegatest.Config(data, func(cfg *process.Config) {
		cfg.Services = []string{"boundary", "correlations", "marketdata", "optimization", "portfolio"}
	}))
	var lost struct {
		Operation string `json:"operation_id"`
		ID        string
	}
	s.Do(http.MethodPost, "/v1/portfolios", portfolio("core")).JSON(&lost)
	s.Eventually("only returns is waited for", func() bool {
		o := operation(s, lost.Operation)
		return o.Outcome == boundary.Stalled && len(o.Waiting) == 1 && o.Waiting[0].Service == "returns"
	})
	s.Stop()
	db, err := store.Open(t.Context(), "portfolio", "sqlite://"+filepath.Join(data, "portfolio.db"))
	require.NoError(t, err)
	require.NoError(t, db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM outbox WHERE topic = 'portfolio.created'")
		require.NoError(t, err)
		n, err := r.RowsAffected()
		require.EqualValues(t, 1, n)
		return err
	}))
	require.NoError(t, db.Close())

	s = stegatest.Start(t, stegatest.Config(data))
	later := settle(t, s, http.MethodPost, "/v1/portfolios", portfolio("later"))
	require.True(t, later.Settled, "what comes later reaches returns")
	require.Equal(t, http.StatusNotFound, s.Do(http.MethodGet, "/v1/returns/portfolios/"+lost.ID, "").Status)
	require.Equal(t, boundary.Stalled, operation(s, lost.Operation).Outcome)

	require.True(t, settle(t, s, http.MethodPost, "/v1/rebuild/returns", "").Settled)
	s.Get("/v1/returns/portfolios/"+lost.ID, new(json.RawMessage))
	var o boundary.Operation
	s.Eventually("the operation of the lost event is settled", func() bool {
		o = operation(s, lost.Operation)
		return o.Settled
	})
	var states []string
	for _, h := range o.Tree.Children[0].Handlings {
		states = append(states, h.Service+" "+h.State)
	}
	assert.Equal(t, []string{"correlations handled", "optimization handled", "returns rebuilt"}, states)
}
