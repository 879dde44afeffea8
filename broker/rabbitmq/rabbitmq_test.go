package rabbitmq_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/brokertest"
	"stega/broker/rabbitmq"
	"stega/events"
	"stega/internal/servers"
)

func TestMain(m *testing.M) { servers.Main(m) }

// virtualHosts remembers the virtual host of each test.
type virtualHosts struct {
	mu sync.Mutex
	of map[testing.TB]*servers.Rabbit
}

func (h *virtualHosts) get(t testing.TB) *servers.Rabbit {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of[t] == nil {
		h.of[t] = servers.RabbitMQ(t)
	}
	return h.of[t]
}

func open(t testing.TB, cfg rabbitmq.Config) *rabbitmq.Broker {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	b, err := rabbitmq.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// channel returns a channel of the bare library.
func channel(t testing.TB, url string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // the test may have cut it
	ch, err := conn.Channel()
	require.NoError(t, err)
	return ch
}

func TestConformance(t *testing.T) {
	vhosts := &virtualHosts{of: map[testing.TB]*servers.Rabbit{}}
	brokertest.Run(t, brokertest.Harness{
		Open: func(t *testing.T) broker.Broker {
			return open(t, rabbitmq.Config{URL: vhosts.get(t).URL(), Name: t.Name()})
		},
		Restart:        func(t *testing.T) { vhosts.get(t).Restart(t) },
		CutConnections: func(t *testing.T) { vhosts.get(t).CutConnections(t) },
		InjectRaw: func(t *testing.T, service string, body []byte, headers map[string]any) {
			ch := channel(t, vhosts.get(t).URL())
			require.NoError(t, ch.Confirm(false))
			c, err := ch.PublishWithDeferredConfirm("", "stega."+service+".events", true, false,
				amqp.Publishing{Body: body, Headers: headers})
			require.NoError(t, err)
			require.True(t, c.Wait())
		},
		Refuse: func(t *testing.T, service string) {
			r := vhosts.get(t)
			r.API(t, http.MethodPut, "/api/policies/"+r.Vhost+"/full", map[string]any{
				"pattern": "^stega\\." + service + "\\.events$", "apply-to": "queues",
				"definition": map[string]any{"max-length": 1, "overflow": "reject-publish"},
			}, nil)
			// The queue refuses once it is over its length, and later channels are informed at once.
			ch := channel(t, r.URL())
			require.NoError(t, ch.Confirm(false))
			await(t, "the queue is full", func() bool {
				c, err := ch.PublishWithDeferredConfirm("", "stega."+service+".events", true, false,
					amqp.Publishing{Body: []byte("filler")})
				require.NoError(t, err)
				return !c.Wait()
			})
		},
	})
}

func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 60*time.Second, 20*time.Millisecond, what)
}

// A slow server holds acks that it has not passed on to the queue, and drops them when their channel closes. The end
// of a consumer waits until they count.
func TestAcksPendingInASlowServer(t *testing.T) {
	r := servers.RabbitMQ(t)
	b := open(t, rabbitmq.Config{URL: r.URL(), Name: t.Name()})
	const n = 400
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	require.NoError(t, b.Declare(ctx,
		broker.Topology{Services: []broker.ServiceTopology{{Service: "alpha", Topics: []string{"suite.done"}}}}))
	confirmed := make(chan error, n)
	for i := range n {
		m := events.Message{Envelope: events.Envelope{
			ID: events.NewID(), Source: events.Source("suite"), Type: "suite.done", Subject: "s", Time: time.Now(),
			Correlation: events.NewID(), Sequence: int64(i),
		}}
		require.NoError(t, b.Publish(ctx, broker.Outgoing{Message: m}, func(err error) { confirmed <- err }))
	}
	for range n {
		require.NoError(t, <-confirmed)
	}
	c, err := b.Subscribe(ctx, "alpha", broker.Events, n)
	require.NoError(t, err)
	var open []int64
	var taken []broker.Delivery
	for len(taken) < n {
		taken = append(taken, <-c.Deliveries())
	}
	release := r.Hold(t)
	for i, d := range taken {
		if i%2 == 0 {
			open = append(open, d.Sequence)
			continue
		}
		require.NoError(t, d.Ack())
	}
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	select {
	case err := <-closed: // it should wait; the check is below
		closed <- err
	case <-time.After(2 * time.Second): // time enough for a channel to close
	}
	release()
	require.NoError(t, <-closed)
	c, err = b.Subscribe(ctx, "alpha", broker.Events, n)
	require.NoError(t, err)
	var again []int64
	for range open {
		d := <-c.Deliveries()
		again = append(again, d.Sequence)
		require.NoError(t, d.Ack())
	}
	assert.Equal(t, open, again, "acked messages are not redelivered")
	require.NoError(t, c.Close())
}
