package test

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/process"
	"stega/store"
)

// awaitHealth waits until the missing parts of a process satisfy a condition.
func awaitHealth(s *stegatest.Server, what string, so func(missing map[string]string) bool) {
	s.Eventually(what, func() bool {
		a, err := http.Get(s.URL + "/readyz") // a container's port is open before its process listens
		if err != nil {
			return false
		}
		defer func() { _ = a.Body.Close() }()
		var h process.Health
		if json.NewDecoder(a.Body).Decode(&h) != nil {
			return false
		}
		if ready := a.StatusCode == http.StatusOK; ready != (len(h.Missing) == 0) ||
			ready == (h.Status == "not ready") {
			return false
		}
		return so(h.Missing)
	})
}

// awaitDegraded waits until a process answers as degraded by a part.
func awaitDegraded(s *stegatest.Server, what, name string) {
	s.Eventually(what, func() bool {
		a, err := http.Get(s.URL + "/readyz")
		if err != nil {
			return false
		}
		defer func() { _ = a.Body.Close() }()
		var h process.Health
		return json.NewDecoder(a.Body).Decode(&h) == nil && a.StatusCode == http.StatusOK && h.Status == "degraded" &&
			len(h.Missing) == 0 && h.Degraded[name] != ""
	})
}

func awaitReady(servers ...*stegatest.Server) {
	for _, s := range servers {
		awaitHealth(s, "it is ready", func(missing map[string]string) bool { return len(missing) == 0 })
	}
}

// The broker is away for a while, then the database. Readiness names the missing part, reads and writes continue as
// far as possible, and afterwards everything catches up without a restart.
func TestServersThatAreAwayForAWhile(t *testing.T) {
	rabbit, pg := servers.RabbitMQ(t), servers.Postgres(t)
	launch := separateProcesses(t, rabbit, pg, "STEGA_PRICES_FOLDER="+pulledPrices(t))
	apiProgram, consumerProgram := launch("api"), launch("consumer")
	api, consumer := apiProgram.Server(), consumerProgram.Server()
	awaitReady(api, consumer)
	api.Import("date,A,B\n2024-01-02,10,20\n2024-01-03,11,21\n", "")
	id := api.Portfolio(`{"name":"core","assets":[{"symbol":"A","weight":"0.5"},{"symbol":"B","weight":"0.5"}]}`)
	var view struct {
		Observations int
		Version      int
	}
	api.Found("/v1/returns/portfolios/"+id, &view)

	t.Log("the broker stops")
	rabbit.Stop(t)
	onlyBroker := func(missing map[string]string) bool { return missing["broker"] != "" && len(missing) == 1 }
	awaitDegraded(api, "the api is degraded without the broker", "broker")
	awaitHealth(consumer, "the consumer lacks the broker", onlyBroker)
	out, err := exec.CommandContext(t.Context(), stegatest.Binary(t), "health", "--url", consumer.URL).CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "broker: ")
	var kept events.Portfolio
	api.Get("/v1/portfolios/"+id, &kept)
	api.Get("/v1/returns/portfolios/"+id, &view)
	api.Get("/v1/returns/assets/A/series", &struct{}{})
	later := api.Unsettled().Portfolio(`{"name":"later","assets":[{"symbol":"B","weight":"1"}]}`)
	require.Nil(t, api.Unsettled().Write(http.MethodPut, "/v1/portfolios/"+id,
		`{"name":"core","assets":[{"symbol":"A","weight":"1"}]}`).Error)
	api.Unsettled().Import("date,A\n2024-01-03,12\n2024-01-04,13\n", "")
	pull := api.Do(http.MethodPost, "/v1/prices/pull", `{"kind":"backfill","symbols":["PULLED"]}`)
	require.Equal(t, http.StatusAccepted, pull.Status, "%s", pull.Body)

	t.Log("the broker starts")
	rabbit.Start(t)
	awaitReady(api, consumer)
	var a struct{ CumulativeReturn float64 }
	api.Eventually("the events of meanwhile are sent", func() bool {
		api.Found("/v1/returns/portfolios/"+id, &view)
		return view.Version == 2 && view.Observations == 2
	})
	api.Found("/v1/returns/portfolios/"+later, &a)
	api.Found("/v1/returns/assets/PULLED", &a)
	var op store.Operation
	api.Get(pull.Header.Get("Location"), &op)
	api.Eventually("the pull has succeeded", func() bool {
		api.Get(pull.Header.Get("Location"), &op)
		return op.Status == store.Succeeded
	})

	t.Log("the database stops")
	pg.Stop(t)
	databases := func(missing map[string]string) bool {
		for _, name := range process.Names() {
			if missing["database of "+name] == "" {
				return false
			}
		}
		return missing["broker"] == ""
	}
	awaitHealth(api, "the api lacks its databases", databases)
	awaitHealth(consumer, "the consumer lacks its databases and waits", func(missing map[string]string) bool {
		return databases(missing) && strings.Contains(missing["consumer of returns"], "paused")
	})
	for path, body := range map[string]string{
		"/v1/portfolios":  `{"name":"never","assets":[{"symbol":"B","weight":"1"}]}`,
		"/v1/prices/pull": `{"kind":"latest","symbols":["B"]}`,
		"/v1/events/" + "marketdata.prices_imported": `{"symbol":"C","dates":["2024-01-02"],"close":["1"]}`,
	} {
		refused := api.Do(http.MethodPost, path, body)
		require.Equal(t, http.StatusServiceUnavailable, refused.Status, "%s: %s", path, refused.Body)
		assert.NotEmpty(t, refused.Problem().Hint, path)
		assert.NotEmpty(t, refused.Header.Get("Retry-After"), path)
	}
	unread := api.Do(http.MethodGet, "/v1/portfolios/"+id, "")
	assert.Equal(t, http.StatusServiceUnavailable, unread.Status)
	assert.Equal(t, "database_unavailable", unread.Problem().Code)
	// An event of meanwhile waits on the broker.
	out, err = exec.CommandContext(t.Context(), stegatest.Binary(t), "publish", "marketdata.prices_imported",
		"--broker-url", rabbit.URL(),
		"--data", `{"symbol":"MEANWHILE","dates":["2024-01-02","2024-01-03"],"close":["1","2"]}`).CombinedOutput()
	require.NoError(t, err, "%s", out)

	t.Log("the database starts")
	pg.Start(t)
	awaitReady(api, consumer)
	api.Found("/v1/returns/assets/MEANWHILE", &a)
	var list struct{ Items []events.Portfolio }
	api.Get("/v1/portfolios", &list)
	assert.Len(t, list.Items, 2, "refused writes have no effect")
	api.Get("/v1/dead", &list)
	assert.Empty(t, list.Items, "there are no dead letters")
	assert.Zero(t, consumerProgram.Stop(), "%s", consumerProgram.Output())
	assert.Zero(t, apiProgram.Stop(), "%s", apiProgram.Output())
}
