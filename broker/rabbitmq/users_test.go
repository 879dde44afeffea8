package rabbitmq_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/rabbitmq"
	"stega/fault"
	"stega/internal/servers"
)

// The rights in deploy/rabbitmq-definitions.json suffice for a service, and allow no more.
func TestTheUserOfAServiceHasExactlyItsRights(t *testing.T) {
	r := servers.RabbitMQ(t)
	admin := open(t, rabbitmq.Config{URL: r.URL()})
	require.NoError(t, admin.Declare(t.Context(), benchTopology))
	own := open(t, rabbitmq.Config{URL: r.AddUser(t, "^$", `^stega\.(events|commands|dead)$`,
		`^(stega\.log|stega\.bench\.(events|commands|dead))$`)})

	log, err := own.Log(t.Context(), 0)
	require.NoError(t, err)
	events, err := own.Subscribe(t.Context(), "bench", broker.Events, 10)
	require.NoError(t, err)
	commands, err := own.Subscribe(t.Context(), "bench", broker.Commands, 10)
	require.NoError(t, err)
	dead, err := own.Subscribe(t.Context(), "bench", broker.Dead, 10)
	require.NoError(t, err)

	m := benchMessage()
	publish(t, own, m)
	assert.Equal(t, m.ID, (<-log).ID)
	bounds, err := own.LogBounds(t.Context())
	require.NoError(t, err)
	assert.Equal(t, m.ID, bounds.Recent.ID)
	d := <-events.Deliveries()
	assert.Equal(t, m.ID, d.ID)
	require.NoError(t, d.Reject("for the test"))
	buried := <-dead.Deliveries()
	assert.Equal(t, "for the test", buried.Reason)
	require.NoError(t, buried.Ack())
	job := benchMessage()
	job.Service = "bench"
	publish(t, own, job)
	require.NoError(t, (<-commands.Deliveries()).Ack())
	depth, err := own.Depth(t.Context(), "bench", broker.Events)
	require.NoError(t, err)
	assert.Zero(t, depth)

	err = own.Declare(t.Context(), broker.Topology{Services: []broker.ServiceTopology{{Service: "intruder"}}})
	assert.Equal(t, "broker_forbidden", code(err), "%v", err)
	require.NoError(t,
		admin.Declare(t.Context(), broker.Topology{Services: []broker.ServiceTopology{{Service: "other"}}}))
	_, err = own.Subscribe(t.Context(), "other", broker.Events, 10)
	assert.Equal(t, "queue_forbidden", code(err), "%v", err)
	_, err = admin.Subscribe(t.Context(), "nobody", broker.Events, 10)
	assert.Equal(t, "queue_missing", code(err), "%v", err)
}

func TestAnUnreachableBrokerIsAFaultWithAHint(t *testing.T) {
	for url, want := range map[string]string{
		"amqp://guest:secret@127.0.0.1:1/": "broker_unreachable",
		"http://127.0.0.1/":                "broker_url",
		"amqp://":                          "broker_url",
		"":                                 "broker_url",
	} {
		_, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URL: url, DialTimeout: 2 * time.Second})
		f, ok := errors.AsType[*fault.Fault](err)
		require.True(t, ok, "%s: %v", url, err)
		assert.Equal(t, want, f.Code)
		assert.NotEmpty(t, f.Hint)
		assert.NotContains(t, f.Error(), "secret")
	}
	r := servers.RabbitMQ(t)
	_, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URL: r.URL() + "x"})
	assert.Equal(t, "broker_refused", code(err), "%v", err)
}

func code(err error) string {
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f.Code
	}
	return ""
}

func publish(t testing.TB, b broker.Broker, m broker.Outgoing) {
	t.Helper()
	confirmed := make(chan error, 1)
	require.NoError(t, b.Publish(t.Context(), m, func(err error) { confirmed <- err }))
	require.NoError(t, <-confirmed)
}
