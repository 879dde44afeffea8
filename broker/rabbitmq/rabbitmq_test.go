package rabbitmq_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/brokertest"
	"stega/broker/rabbitmq"
	"stega/internal/servers"
)

func TestMain(m *testing.M) { servers.Main(m) }

func open(t testing.TB, url string) *rabbitmq.Broker {
	t.Helper()
	b, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URL: url, Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestConformance(t *testing.T) {
	var mu sync.Mutex
	places := map[*testing.T]*servers.Rabbit{}
	of := func(t *testing.T) *servers.Rabbit {
		mu.Lock()
		defer mu.Unlock()
		if places[t] == nil {
			places[t] = servers.RabbitMQ(t)
		}
		return places[t]
	}
	brokertest.Run(t, brokertest.Harness{
		Open:           func(t *testing.T) broker.Broker { return open(t, of(t).URL()) },
		Restart:        func(t *testing.T) { of(t).Restart(t) },
		CutConnections: func(t *testing.T) { of(t).CutConnections(t) },
		InjectRaw: func(t *testing.T, service string, body []byte, headers map[string]any) {
			conn, err := amqp.Dial(of(t).URL())
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			ch, err := conn.Channel()
			require.NoError(t, err)
			require.NoError(t, ch.Confirm(false))
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			sent, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", "stega."+service+".events", true, false,
				amqp.Publishing{Body: body, Headers: headers, DeliveryMode: amqp.Persistent})
			require.NoError(t, err)
			ok, err := sent.WaitContext(ctx)
			require.NoError(t, err)
			require.True(t, ok)
		},
		Refuse: func(t *testing.T, service string) {
			r := of(t)
			r.API(t, "PUT", "/api/policies/"+r.Vhost+"/full", map[string]any{
				"pattern": "^stega\\." + service + "\\.events$", "apply-to": "queues", "definition": map[string]any{"max-length": 1},
			}, nil)
		},
		Patience: time.Minute,
	})
}
