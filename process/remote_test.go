package process_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/embedded"
	"stega/events"
	"stega/internal/stegatest"
	"stega/process"
	"stega/services/boundary"
	"stega/services/boundary/gateway"
)

// kept is a broker that several processes of a test share.
type kept struct{ *embedded.Broker }

func (kept) Close() error { return nil }

// A door whose services run in other processes serves the same as one that has them in its own.
func TestADoorToServicesElsewhere(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	b, err := embedded.Open(t.Context(), t.TempDir(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	run := func(services []string, upstreams ...gateway.Upstream) *stegatest.Server {
		return stegatest.Start(t, stegatest.Config(data, func(cfg *process.Config) {
			cfg.Services, cfg.Upstreams, cfg.Secret = services, upstreams, "what the processes of this test share"
			cfg.Broker = func(context.Context) (broker.Broker, error) { return kept{b}, nil }
		}))
	}
	at := func(service string, s *stegatest.Server) gateway.Upstream {
		u, err := url.Parse(s.URL)
		require.NoError(t, err)
		return gateway.Upstream{Service: service, URL: u}
	}
	first, second := run([]string{"portfolio"}), run([]string{"marketdata", "returns", "correlations", "optimization"})
	door := run([]string{"boundary"}, at("portfolio", first), at("marketdata", second), at("returns", second))

	const prices = "date,symbol,close\n2026-01-02,AAPL,100\n2026-01-05,AAPL,102\n"
	settle := func(path, body string, headers ...string) (o boundary.Operation) {
		a := door.Do(http.MethodPost, path, body, append([]string{"Prefer", "wait=50, settled"}, headers...)...)
		require.Equal(t, http.StatusOK, a.Status, "%s", a.Body)
		a.JSON(&o)
		require.True(t, o.Settled, "%+v", o)
		return o
	}
	settle("/v1/prices", prices, "Content-Type", "text/csv")
	o := settle("/v1/portfolios", `{"name":"core","assets":[{"symbol":"AAPL","weight":"1"}]}`)
	var metrics struct {
		Return float64 `json:"cumulative_return"`
	}
	door.Get("/v1/returns/portfolios/"+o.EntityID, &metrics)
	assert.InDelta(t, 0.02, metrics.Return, 1e-12)

	// What a service knows before the ledger does.
	a := door.Do(http.MethodPost, "/v1/portfolios", `{"name":"core","assets":[{"symbol":"AAPL","weight":"1"}]}`)
	require.Equal(t, http.StatusAccepted, a.Status)
	var accepted struct {
		ID string `json:"operation_id"`
	}
	a.JSON(&accepted)
	var taken boundary.Operation
	door.Get("/v1/operations/"+accepted.ID, &taken)
	require.NotNil(t, taken.Error)
	assert.Equal(t, "name_taken", taken.Error.Code)
	var list struct{ Items []boundary.Operation }
	door.Get("/v1/operations", &list)
	assert.Len(t, list.Items, 3)
	ledger := door.Do(http.MethodGet, "/v1/operations/"+accepted.ID, "", "Prefer", "wait=50, settled")
	ledger.JSON(&taken)
	require.True(t, taken.Over(), "the ledger has it too: %s", ledger.Body)

	// Those that nobody has, and those that are over.
	assert.Equal(t, http.StatusNotFound, door.Do(http.MethodGet, "/v1/operations/"+events.NewID(), "").Status)
	assert.Equal(t, http.StatusNotFound,
		door.Do(http.MethodPost, "/v1/operations/"+events.NewID()+"/cancel", "").Status)
	assert.Equal(t, http.StatusConflict, door.Do(http.MethodPost, "/v1/operations/"+o.ID+"/cancel", "").Status)

	// A service that is away is named, and the others go on.
	first.Stop()
	away := door.Do(http.MethodGet, "/v1/portfolios", "")
	assert.Equal(t, http.StatusServiceUnavailable, away.Status, "%s", away.Body)
	assert.Contains(t, away.Problem().Detail, "portfolio")
	assert.Equal(t, http.StatusOK, door.Do(http.MethodGet, "/v1/symbols", "").Status)
	door.Get("/v1/operations", &list)
	assert.Len(t, list.Items, 3, "as the ledger has them")
	assert.Equal(t, http.StatusNotFound, door.Do(http.MethodGet, "/v1/nonsense", "").Status)
}

// A write to a service in another process is logged there with the caller that the boundary names; a client cannot
// name one. The secret between them is the services' alone.
func TestAServiceElsewhereLogsTheCallerOfAWrite(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	b, err := embedded.Open(t.Context(), t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	var mu sync.Mutex
	var log bytes.Buffer
	run := func(service string, upstreams ...gateway.Upstream) *stegatest.Server {
		return stegatest.Start(t, stegatest.Config(data, func(cfg *process.Config) {
			cfg.Services, cfg.Upstreams = []string{service}, upstreams
			cfg.Broker = func(context.Context) (broker.Broker, error) { return kept{b}, nil }
			if service == "portfolio" {
				cfg.Log = slog.New(slog.NewJSONHandler(locked{&mu, &log}, nil))
			}
		}))
	}
	service := run("portfolio")
	at, err := url.Parse(service.URL)
	require.NoError(t, err)
	door := run("boundary", gateway.Upstream{Service: "portfolio", URL: at})
	const body = `{"name":"%s","assets":[{"symbol":"AAPL","weight":"1"}]}`
	forged := "token=1&name=forged"
	require.Equal(t, http.StatusAccepted, door.Do(http.MethodPost, "/v1/portfolios", fmt.Sprintf(body, "one"),
		"Stega-Caller", forged).Status)
	require.Equal(t, http.StatusAccepted,
		service.Do(http.MethodPost, "/v1/portfolios", fmt.Sprintf(body, "two")).Status)
	mu.Lock()
	lines := log.String()
	mu.Unlock()
	var callers []string
	for line := range strings.Lines(lines) {
		var l struct{ Msg, Caller, Operation, Command string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "audit" {
			assert.NotEmpty(t, l.Operation)
			assert.Equal(t, "portfolio.create", l.Command)
			callers = append(callers, l.Caller)
		}
	}
	assert.Equal(t, []string{"local", "service"}, callers)
	assert.Equal(t, http.StatusUnauthorized, service.Do(http.MethodGet, "/v1/portfolios", "", "Authorization",
		"Bearer "+door.Token).Status)
	assert.Equal(t, http.StatusUnauthorized, door.Do(http.MethodGet, "/v1/portfolios", "", "Authorization",
		"Bearer "+service.Token).Status)
	assert.Equal(t, http.StatusUnauthorized,
		service.Do(http.MethodGet, "/v1/portfolios", "", "Authorization", "Bearer x",
			"Stega-Caller", forged).Status)
}

// locked is a buffer that several write to.
type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
