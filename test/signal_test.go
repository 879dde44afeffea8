package test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/store"
)

// slowProvider is an end-of-day API whose answers the test triggers.
type slowProvider struct {
	*httptest.Server
	requests atomic.Int32
	answer   chan struct{} // closed: at once
}

func newSlowProvider(t *testing.T) *slowProvider {
	p := &slowProvider{answer: make(chan struct{})}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		select {
		case <-p.answer:
			_, _ = fmt.Fprint(w, `[{"date":"2024-01-02","open":1,"high":2,"low":1,"close":1.5,`+
				`"adjusted_close":1.5,"volume":10}]`)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(p.Close)
	return p
}

var settledMessages = regexp.MustCompile(
	`(?m)^stega_messages_settled_total\{handler="([^"]*)",outcome="([^"]*)".*\} (\S+)$`)

// settledAs returns how many messages a consumer settled for a handler with an outcome.
func settledAs(s *stegatest.Server, handler, outcome string) (n int) {
	for _, m := range settledMessages.FindAllStringSubmatch(string(s.Do(http.MethodGet, "/metrics", "").Body), -1) {
		if m[1] == handler && m[2] == outcome {
			_, _ = fmt.Sscanf(m[3], "%d", &n)
		}
	}
	return n
}

// SIGTERM during work: first the process is not ready, running work finishes, the rest is released, and the next
// consumer receives nothing that was handled.
func TestAConsumerStopsOnSIGTERM(t *testing.T) {
	rabbit, pg := servers.RabbitMQ(t), servers.Postgres(t)
	provider := newSlowProvider(t)
	launch := separateProcesses(t, rabbit, pg, "STEGA_EODHD_URL="+provider.URL, "STEGA_EODHD_KEY=k")
	apiProgram, program := launch("api"), launch("consumer")
	api, consumer := apiProgram.Server(), program.Server()

	t.Log("during a job")
	first := api.Do(http.MethodPost, "/v1/prices/pull", `{"kind":"backfill","symbols":["SLOW"]}`).Header.Get("Location")
	api.Eventually("the provider has a request", func() bool { return provider.requests.Load() == 1 })
	program.Signal(syscall.SIGTERM)
	awaitHealth(consumer, "it is not ready",
		func(missing map[string]string) bool { return missing["process"] == "starting or stopping" })
	refused := consumer.Do(http.MethodGet, "/v1/dead", "")
	assert.Equal(t, http.StatusServiceUnavailable, refused.Status)
	assert.Equal(t, "stopping", refused.Problem().Code)
	second := api.Do(http.MethodPost, "/v1/prices/pull",
		`{"kind":"backfill","symbols":["LATER"]}`).Header.Get("Location")
	close(provider.answer)
	assert.Zero(t, program.Ended(), "%s", program.Output())
	var op store.Operation
	api.Get(first, &op)
	assert.Equal(t, store.Succeeded, op.Status, "the running job is finished")
	assert.Equal(t, int32(1), provider.requests.Load(), "no other job is started")

	t.Log("during events")
	program = launch("consumer")
	consumer = program.Server()
	api.Eventually("the later job has run", func() bool {
		api.Get(second, &op)
		return op.Status == store.Succeeded
	})
	assert.Equal(t, int32(2), provider.requests.Load(), "each job ran once")
	const portfolios, symbols = 400, 600
	var b strings.Builder
	for n := range portfolios {
		api.Do(http.MethodPost, "/v1/portfolios",
			fmt.Sprintf(`{"name":"p%d","assets":[{"symbol":"S%d","weight":"1"}]}`, n, n))
	}
	b.WriteString("date")
	for n := range symbols {
		_, _ = fmt.Fprintf(&b, ",S%d", n)
	}
	for day := 1; day <= 28; day++ {
		_, _ = fmt.Fprintf(&b, "\n2024-01-%02d%s", day, strings.Repeat(fmt.Sprintf(",%d", day), symbols))
	}
	const handler = "returns:marketdata.prices_imported"
	before := settledAs(consumer, handler, "handled")
	api.Unsettled().Import(b.String(), "")
	api.Eventually("some are handled", func() bool { return settledAs(consumer, handler, "handled") > before })
	program.Signal(syscall.SIGTERM)
	assert.Zero(t, program.Ended(), "%s", program.Output())
	next := launch("consumer")
	for n := range symbols {
		var a struct{ Observations int }
		api.Found(fmt.Sprintf("/v1/returns/assets/S%d", n), &a)
		require.Equal(t, 27, a.Observations)
	}
	var dead struct{ Items []any }
	api.Get("/v1/dead", &dead)
	assert.Empty(t, dead.Items)
	for _, h := range []string{handler, "returns:portfolios", "marketdata:marketdata.pull_prices"} {
		assert.Zero(t, settledAs(next.Server(), h, "duplicate"), "what %s handled is not delivered again", h)
	}
	t.Logf("%d events were left to the next consumer", settledAs(next.Server(), handler, "handled"))
	if t.Failed() {
		t.Log(program.Output(), apiProgram.Output())
	}
	assert.Zero(t, next.Stop())
	assert.Zero(t, apiProgram.Stop())
}

// A second signal ends the process at once; the running work takes effect once, at the next consumer.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	rabbit, pg := servers.RabbitMQ(t), servers.Postgres(t)
	provider := newSlowProvider(t)
	launch := separateProcesses(t, rabbit, pg, "STEGA_EODHD_URL="+provider.URL, "STEGA_EODHD_KEY=k")
	apiProgram, program := launch("api"), launch("consumer")
	api := apiProgram.Server()
	pull := api.Do(http.MethodPost, "/v1/prices/pull", `{"kind":"backfill","symbols":["SLOW"]}`).Header.Get("Location")
	api.Eventually("the provider has a request", func() bool { return provider.requests.Load() == 1 })
	program.Signal(os.Interrupt)
	awaitHealth(program.Server(), "it is not ready",
		func(missing map[string]string) bool { return missing["process"] != "" })
	start := time.Now()
	program.Signal(syscall.SIGTERM)
	assert.Equal(t, -1, program.Ended(), "the signal itself ended it")
	assert.Less(t, time.Since(start), 10*time.Second, "not after the grace period")
	close(provider.answer)
	next := launch("consumer")
	var op store.Operation
	api.Eventually("the job has run", func() bool {
		api.Get(pull, &op)
		return op.Status == store.Succeeded
	})
	var prices struct{ Prices []any }
	api.Get("/v1/prices/SLOW", &prices)
	assert.Len(t, prices.Prices, 1)
	assert.Zero(t, next.Stop())
	assert.Zero(t, apiProgram.Stop())
}
