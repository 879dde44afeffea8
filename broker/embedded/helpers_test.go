package embedded

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/events"
)

const patience = 20 * time.Second

func open(t *testing.T, dir string) *Broker {
	t.Helper()
	b, err := Open(t.Context(), dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func declare(t *testing.T, b *Broker, topic string, services ...string) {
	t.Helper()
	var topology broker.Topology
	for _, s := range services {
		topology.Services = append(topology.Services, broker.ServiceTopology{Service: s, Topics: []string{topic}})
	}
	require.NoError(t, b.Declare(t.Context(), topology))
}

func event(id, topic string) broker.Outgoing {
	return broker.Outgoing{Message: events.Message{
		Envelope: events.Envelope{ID: id, Source: "stega/test", Type: topic, Subject: "s", Time: time.Unix(1, 0).UTC()},
		Data:     []byte(`{}`),
	}}
}

// publish publishes and waits until the broker took all.
func publish(t *testing.T, b *Broker, messages ...broker.Outgoing) {
	t.Helper()
	var answered sync.WaitGroup
	for _, m := range messages {
		answered.Add(1)
		require.NoError(t, b.Publish(t.Context(), m, func(err error) {
			if err != nil {
				t.Errorf("%s: %v", m.ID, err)
			}
			answered.Done()
		}))
	}
	returns(t, "the confirmations", answered.Wait)
}

func subscribe(t *testing.T, b *Broker, service string, q broker.Queue) broker.Consumer {
	t.Helper()
	c, err := b.Subscribe(t.Context(), service, q, 100)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func take(t *testing.T, c broker.Consumer) broker.Delivery {
	t.Helper()
	return receive(t, "a delivery", c.Deliveries())
}

func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v, open := <-c:
		require.True(t, open, "instead of %s, there is an end", what)
		return v
	case <-time.After(patience):
		require.FailNow(t, "waited too long", "for %s", what)
		panic("not reached")
	}
}

// returns waits until f returns.
func returns(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{}, 1)
	go func() {
		f()
		done <- struct{}{}
	}()
	receive(t, what, done)
}

func depth(t *testing.T, b *Broker, service string, q broker.Queue) int {
	t.Helper()
	n, err := b.Depth(t.Context(), service, q)
	require.NoError(t, err)
	return n
}
