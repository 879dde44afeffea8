package compare

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	watermillamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/rabbitmq"
	"stega/events"
	"stega/internal/servers"
)

func TestMain(m *testing.M) { servers.Main(m) }

const queue = "stega.bench.commands"

// declared is a broker with a quorum queue of commands.
func declared(b *testing.B) (*rabbitmq.Broker, string) {
	url := servers.RabbitMQ(b).URL()
	br, err := rabbitmq.Open(b.Context(), rabbitmq.Config{URL: url})
	require.NoError(b, err)
	b.Cleanup(func() { _ = br.Close() })
	require.NoError(b, br.Declare(b.Context(), broker.Topology{Services: []broker.ServiceTopology{{Service: "bench"}}}))
	return br, url
}

func envelope() events.Envelope {
	return events.Envelope{
		ID:          events.NewID(),
		Source:      "stega/bench",
		Type:        "portfolio.created",
		Subject:     events.NewID(),
		Time:        time.Now().UTC(),
		Correlation: events.NewID(),
		Causation:   events.NewID(),
		Sequence:    1,
		ContentType: "application/json",
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
}

var body = bytes.Repeat([]byte("x"), 512)

// BenchmarkPublish publishes 512 bytes with confirms to the same kind of quorum queue. Watermill's publisher waits
// for the confirmation of each message, so it is measured alone and from 32 goroutines with a channel each.
func BenchmarkPublish(b *testing.B) {
	b.Run("stega", func(b *testing.B) {
		br, _ := declared(b)
		var confirmed sync.WaitGroup
		for b.Loop() {
			confirmed.Add(1)
			out := broker.Outgoing{Service: "bench", Message: events.Message{Envelope: envelope(), Data: body}}
			err := br.Publish(b.Context(), out, func(err error) {
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
	for _, publishers := range []int{1, 32} {
		b.Run(fmt.Sprintf("watermill/%d", publishers), func(b *testing.B) { publishWatermill(b, publishers) })
	}
}

func publishWatermill(b *testing.B, publishers int) {
	_, url := declared(b)
	config := watermillamqp.NewDurableQueueConfig(url)
	config.Publish.ConfirmDelivery = true
	config.Publish.ChannelPoolSize = publishers
	p, err := watermillamqp.NewPublisher(config, watermill.NopLogger{})
	require.NoError(b, err)
	defer func() { _ = p.Close() }()
	work := make(chan *message.Message, publishers)
	var working sync.WaitGroup
	for range publishers {
		working.Go(func() {
			for m := range work {
				if err := p.Publish(queue, m); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		e := envelope()
		m := message.NewMessage(e.ID, body)
		for name, value := range map[string]string{
			"specversion": "1.0", "id": e.ID, "source": e.Source, "type": e.Type,
			"time": e.Time.Format(time.RFC3339Nano), "subject": e.Subject,
			"correlationid": e.Correlation, "causationid": e.Causation, "traceparent": e.TraceParent, "sequence": "1",
		} {
			m.Metadata.Set("cloudEvents:"+name, value)
		}
		work <- m
	}
	close(work)
	working.Wait()
	report(b)
}

func report(b *testing.B) { b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s") }
