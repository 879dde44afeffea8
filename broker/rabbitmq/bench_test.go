package rabbitmq_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/rabbitmq"
	"stega/events"
	"stega/internal/servers"
)

const (
	benchWindow = 4096
	benchTopic  = "portfolio.created"
)

var benchTopology = broker.Topology{Services: []broker.ServiceTopology{{Service: "bench",
	Topics: []string{benchTopic}}}}

func benchMessage() broker.Outgoing {
	return broker.Outgoing{Message: events.Message{
		Envelope: events.Envelope{
			ID:          events.NewID(),
			Source:      "stega/bench",
			Type:        benchTopic,
			Subject:     events.NewID(),
			Time:        time.Now().UTC(),
			Correlation: events.NewID(),
			Causation:   events.NewID(),
			Sequence:    1,
			ContentType: "application/json",
			TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		},
		Data: bytes.Repeat([]byte("x"), 512),
	}}
}

// benchmarks of one route: an event goes to a quorum queue and to the log, a command to a quorum queue alone.
var routes = []struct{ name, service, exchange, key string }{
	{"event", "", "stega.events", benchTopic},
	{"command", "bench", "stega.commands", "bench"},
}

func BenchmarkPublish(b *testing.B) {
	for _, route := range routes {
		b.Run(route.name, func(b *testing.B) {
			br := open(b, rabbitmq.Config{URL: servers.RabbitMQ(b).URL(), Window: benchWindow})
			require.NoError(b, br.Declare(b.Context(), benchTopology))
			var confirmed sync.WaitGroup
			b.ReportAllocs()
			for b.Loop() {
				m := benchMessage()
				m.Service = route.service
				confirmed.Add(1)
				err := br.Publish(b.Context(), m, func(err error) {
					if err != nil {
						b.Error(err)
					}
					confirmed.Done()
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			confirmed.Wait()
			report(b)
		})
	}
}

// BenchmarkPublishBare measures the bare library with the same window, for comparison with BenchmarkPublish. It sends
// the body alone, or with as many bytes of headers as the envelope has.
func BenchmarkPublishBare(b *testing.B) {
	for _, route := range routes {
		for _, with := range []string{"body", "headers"} {
			b.Run(fmt.Sprintf("%s/%s", route.name, with), func(b *testing.B) {
				r := servers.RabbitMQ(b)
				br := open(b, rabbitmq.Config{URL: r.URL()})
				require.NoError(b, br.Declare(b.Context(), benchTopology))
				ch := channel(b, r.URL())
				require.NoError(b, ch.Confirm(false))
				returns := ch.NotifyReturn(make(chan amqp.Return, 16))
				go func() {
					for range returns {
						b.Error("a message was returned")
					}
				}()
				window := make(chan *amqp.DeferredConfirmation, benchWindow)
				var judged sync.WaitGroup
				judged.Go(func() {
					for c := range window {
						if !c.Wait() {
							b.Error("a message was refused")
						}
					}
				})
				b.ReportAllocs()
				for b.Loop() {
					m := benchMessage()
					p := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: m.Data}
					if with == "headers" {
						p.Headers = amqp.Table{
							"cloudEvents:specversion": "1.0", "cloudEvents:id": m.ID, "cloudEvents:source": m.Source,
							"cloudEvents:type": m.Type,
							"cloudEvents:time": m.Time.Format(time.RFC3339Nano), "cloudEvents:subject": m.Subject,
							"cloudEvents:correlationid": m.Correlation, "cloudEvents:causationid": m.Causation,
							"cloudEvents:traceparent": m.TraceParent, "cloudEvents:sequence": m.Sequence,
						}
						p.MessageId, p.ContentType = m.ID, m.ContentType
					}
					c, err := ch.PublishWithDeferredConfirm(route.exchange, route.key, true, false, p)
					if err != nil {
						b.Fatal(err)
					}
					window <- c
				}
				close(window)
				judged.Wait()
				report(b)
			})
		}
	}
}

func report(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkConsume(b *testing.B) {
	br := open(b, rabbitmq.Config{URL: servers.RabbitMQ(b).URL()})
	require.NoError(b, br.Declare(b.Context(), benchTopology))
	const n = 20_000
	for range b.N {
		b.StopTimer()
		var confirmed sync.WaitGroup
		for range n {
			m := benchMessage()
			m.Service = "bench"
			confirmed.Add(1)
			require.NoError(b, br.Publish(b.Context(), m, func(err error) { confirmed.Done() }))
		}
		confirmed.Wait()
		b.StartTimer()
		c, err := br.Subscribe(b.Context(), "bench", broker.Commands, 512)
		require.NoError(b, err)
		for range n {
			if err := (<-c.Deliveries()).Ack(); err != nil {
				b.Fatal(err)
			}
		}
		require.NoError(b, c.Close())
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "msg/s")
}
