package test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	spans "go.opentelemetry.io/otel/trace"

	"stega/broker"
	"stega/broker/rabbitmq"
	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/process"
)

// recorded holds the spans of this process, from the first use on.
var recorded = sync.OnceValue(func() *tracetest.InMemoryExporter {
	exporter := tracetest.NewInMemoryExporter()
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSyncer(exporter)))
	return exporter
})

// onServers configures a process on RabbitMQ and PostgreSQL, with a database for each service.
func onServers(t *testing.T) func(*process.Config) {
	rabbit := servers.RabbitMQ(t)
	databases := map[string]string{}
	for _, name := range process.Names() {
		databases[name] = servers.Postgres(t).URL()
	}
	return func(c *process.Config) {
		c.Database = func(service string) string { return databases[service] }
		c.Broker = func(ctx context.Context) (broker.Broker, error) {
			return rabbitmq.Open(ctx, rabbitmq.Config{URL: rabbit.URL(), Name: t.Name()})
		}
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// The spans of an operation are one trace, from the client's span through HTTP, command bus, outbox and broker to the
// effects in another service.
func TestOneOperationIsOneTrace(t *testing.T) {
	for name, changes := range map[string]func(t *testing.T) func(*process.Config){
		"embedded and SQLite":     func(*testing.T) func(*process.Config) { return func(*process.Config) {} },
		"RabbitMQ and PostgreSQL": onServers,
	} {
		t.Run(name, func(t *testing.T) {
			exporter := recorded()
			folder := t.TempDir()
			require.NoError(t,
				os.WriteFile(filepath.Join(folder, "P.csv"), []byte("Date,Close\n2024-01-02,1\n"), 0o600))
			s := stegatest.Up(t, changes(t), func(c *process.Config) { c.Options.Marketdata.Folder = folder })
			for n, c := range []struct {
				method, path, media, body string
				want                      []string // "span < its parent", from the client on
			}{
				{http.MethodPost, "/v1/portfolios", "application/json",
					`{"name":"core","assets":[{"symbol":"A","weight":"1"}]}`, []string{
						"POST /v1/portfolios (server) < client",
						"portfolio:portfolio.create (internal) < POST /v1/portfolios",
						"returns:portfolios (consumer) < portfolio:portfolio.create",
						"correlations:portfolios (consumer) < portfolio:portfolio.create",
						"optimization:portfolios (consumer) < portfolio:portfolio.create",
					}},
				{http.MethodPost, "/v1/prices", "text/csv", "date,A\n2024-01-02,1\n", []string{
					"POST /v1/prices (server) < client",
					"marketdata:marketdata.import_prices (internal) < POST /v1/prices",
					"returns:marketdata.prices_imported (consumer) < marketdata:marketdata.import_prices",
					"correlations:returns.asset_updated (consumer) < returns:marketdata.prices_imported",
					"optimization:returns.asset_updated (consumer) < returns:marketdata.prices_imported",
				}},
				{http.MethodPost, "/v1/prices/pull", "application/json", `{"kind":"backfill","symbols":["P"]}`,
					[]string{
						"POST /v1/prices/pull (server) < client",
						"marketdata:marketdata.pull_prices (consumer) < POST /v1/prices/pull",
						"returns:marketdata.prices_imported (consumer) < marketdata:marketdata.pull_prices",
						"correlations:returns.asset_updated (consumer) < returns:marketdata.prices_imported",
						"optimization:returns.asset_updated (consumer) < returns:marketdata.prices_imported",
					}},
			} {
				trace := spans.TraceID([16]byte{1: byte(len(name)), 15: byte(n + 1)})
				client := spans.SpanID([8]byte{7: 7})
				op := s.Write(c.method, c.path, c.body, "Content-Type", c.media, "traceparent",
					fmt.Sprintf("00-%s-%s-01", trace, client))
				require.Nil(t, op.Error)
				var got []string
				var all []tracetest.SpanStub
				s.Eventually("all spans of "+c.path+" have ended", func() bool {
					names := map[spans.SpanID]string{client: "client"}
					all, got = nil, nil
					for _, span := range exporter.GetSpans() {
						if span.SpanContext.TraceID() == trace {
							names[span.SpanContext.SpanID()] = span.Name
							all = append(all, span)
						}
					}
					for _, span := range all {
						got = append(got,
							fmt.Sprintf("%s (%s) < %s", span.Name, span.SpanKind, names[span.Parent.SpanID()]))
					}
					return len(got) >= len(c.want)
				})
				slices.Sort(got)
				slices.Sort(c.want)
				assert.Equal(t, c.want, got)
				for _, span := range all[1:] {
					for _, a := range span.Attributes {
						if a.Key == "messaging.message.conversation_id" {
							assert.Equal(t, attribute.StringValue(op.ID), a.Value, "spans name the operation")
						}
					}
				}
			}
		})
	}
}
