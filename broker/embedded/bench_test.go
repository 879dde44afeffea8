package embedded

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/events"
)

// BenchmarkPublishToAck publishes events of 512 bytes, delivers each to one service, and acks it.
func BenchmarkPublishToAck(b *testing.B) { publishToAck(b, 1) }

// BenchmarkPublishToAckThreeServices delivers each to three.
func BenchmarkPublishToAckThreeServices(b *testing.B) { publishToAck(b, 3) }

func publishToAck(b *testing.B, services int) {
	br, err := Open(b.Context(), b.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, br.Close()) })
	var topology broker.Topology
	for i := range services {
		topology.Services = append(topology.Services,
			broker.ServiceTopology{Service: fmt.Sprintf("s%d", i), Topics: []string{"bench.happened"}})
	}
	require.NoError(b, br.Declare(b.Context(), topology))
	var acked, confirmed sync.WaitGroup
	for _, s := range topology.Services {
		c, err := br.Subscribe(b.Context(), s.Service, broker.Events, 512)
		require.NoError(b, err)
		acked.Add(b.N)
		go func() {
			for d := range c.Deliveries() {
				if d.Ack() == nil {
					acked.Done()
				}
			}
		}()
	}
	data := bytes.Repeat([]byte("x"), 512)
	ids := make([]string, b.N)
	for i := range ids {
		ids[i] = events.NewID()
	}
	m := events.Message{Envelope: events.Envelope{
		Source: "stega/bench", Type: "bench.happened", Subject: "subject", Time: time.Now(),
		Correlation: events.NewID(), Causation: events.NewID(), Sequence: 1, ContentType: "application/json",
	}, Data: data}
	b.SetBytes(512)
	b.ReportAllocs()
	b.ResetTimer()
	confirmed.Add(b.N)
	for i := range b.N {
		m.ID = ids[i]
		if err := br.Publish(b.Context(), broker.Outgoing{Message: m}, func(error) { confirmed.Done() }); err != nil {
			b.Fatal(err)
		}
	}
	confirmed.Wait()
	acked.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}
