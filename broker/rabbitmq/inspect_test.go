package rabbitmq_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/rabbitmq"
	"stega/events"
	"stega/internal/servers"
)

var inspected = broker.Topology{Services: []broker.ServiceTopology{{Service: "bench",
	Topics: []string{"bench.done", "bench.begun"}}}}

// lacks returns the missing parts, as "part: code".
func lacks(t *testing.T, b *rabbitmq.Broker) []string {
	t.Helper()
	found, err := b.Inspect(t.Context(), inspected)
	require.NoError(t, err)
	texts := []string{}
	for _, l := range found {
		texts = append(texts, l.Part+": "+code(l.Err))
	}
	return texts
}

// Every deleted part is reported to a user with only the rights of a service.
func TestMissingPartsAreReported(t *testing.T) {
	t.Parallel()
	r := servers.RabbitMQ(t)
	admin := open(t, rabbitmq.Config{URL: r.URL()})
	own := open(t, rabbitmq.Config{URL: r.AddUser(t, "^$", `^stega\.(events|commands|dead)$`,
		`^(stega\.log|stega\.bench\.(events|commands|dead))$`)})
	assert.Len(t, lacks(t, own), 7, "three exchanges and four queues")
	require.NoError(t, admin.Declare(t.Context(), inspected))
	assert.Empty(t, lacks(t, own))
	for part, path := range map[string]string{
		"queue stega.bench.events: queue_missing":   "queues/VHOST/stega.bench.events",
		"queue stega.bench.commands: queue_missing": "queues/VHOST/stega.bench.commands",
		"queue stega.bench.dead: queue_missing":     "queues/VHOST/stega.bench.dead",
		"queue stega.log: queue_missing":            "queues/VHOST/stega.log",
		"exchange stega.events: exchange_missing":   "exchanges/VHOST/stega.events",
		"exchange stega.commands: exchange_missing": "exchanges/VHOST/stega.commands",
		"exchange stega.dead: exchange_missing":     "exchanges/VHOST/stega.dead",
		"binding of stega.bench.events to bench.done: binding_missing": "bindings/VHOST/e/stega.events/q/" +
			"stega.bench.events/bench.done",
		"binding of stega.bench.commands to bench: binding_missing": "bindings/VHOST/e/stega.commands/q/" +
			"stega.bench.commands/bench",
		"binding of stega.bench.dead to bench: binding_missing": "bindings/VHOST/e/stega.dead/q/" +
			"stega.bench.dead/bench",
		"binding of stega.log to #: binding_missing": "bindings/VHOST/e/stega.events/q/stega.log/%23",
	} {
		r.API(t, http.MethodDelete, "/api/"+strings.Replace(path, "VHOST", r.Vhost, 1), nil, nil)
		found := lacks(t, own)
		require.Equal(t, []string{part}, found)
		require.NoError(t, admin.Declare(t.Context(), inspected))
		require.Empty(t, lacks(t, own), part)
	}
	r.CutConnections(t)
	await(t, "it works again after its connection was cut", func() bool {
		found, err := own.Inspect(t.Context(), inspected)
		return err == nil && len(found) == 0
	})
}

// A revoked right to publish is reported until a message is accepted again, and does not keep the server busy
// meanwhile.
func TestARefusedPublishIsReportedUntilOneIsAccepted(t *testing.T) {
	t.Parallel()
	r := servers.RabbitMQ(t)
	admin := open(t, rabbitmq.Config{URL: r.URL()})
	require.NoError(t, admin.Declare(t.Context(), inspected))
	url, user := r.AddUserNamed(t, "^$", `^$`, `^stega\.log$`)
	own := open(t, rabbitmq.Config{URL: url})
	try := func() error {
		result := make(chan error, 1)
		m := benchMessage()
		require.NoError(t, own.Publish(t.Context(), m, func(err error) { result <- err }))
		return <-result
	}
	await(t, "the refusal is named", func() bool {
		return try() != nil && len(lacks(t, own)) == 1
	})
	assert.Equal(t, []string{"exchange stega.events: publish_forbidden"}, lacks(t, own))
	for range 200 {
		err := try()
		require.Error(t, err)
		if errors.Is(err, broker.ErrNacked) {
			assert.Equal(t, "publish_forbidden", code(err))
		}
	}
	assert.Equal(t, []string{"exchange stega.events: publish_forbidden"}, lacks(t, own),
		"it is kept between two channels")
	r.Permit(t, user, "^$", `^stega\.events$`, `^stega\.log$`)
	await(t, "a message is taken", func() bool { return try() == nil })
	assert.Empty(t, lacks(t, own))
}

// The type of a message must equal the routing key, which the server authorized.
func TestAMessageUnderAnotherRoutingKeyIsRefused(t *testing.T) {
	t.Parallel()
	r := servers.RabbitMQ(t)
	b := open(t, rabbitmq.Config{URL: r.URL()})
	require.NoError(t, b.Declare(t.Context(), inspected))
	entries, err := b.Log(t.Context(), broker.LogEnd)
	require.NoError(t, err)
	c, err := b.Subscribe(t.Context(), "bench", broker.Events, 10)
	require.NoError(t, err)
	forged, honest := benchMessage(), benchMessage()
	forged.Type, honest.Type = "portfolio.deleted", "bench.done"
	r.Publish(t, "stega.events", "bench.done", rabbitmq.Headers(t, forged.Message), forged.Data)
	publish(t, b, honest)
	d := <-c.Deliveries()
	require.ErrorContains(t, d.Err, "routing key bench.done")
	require.NoError(t, d.Reject("it is forged"))
	d = <-c.Deliveries()
	require.NoError(t, d.Err)
	assert.Equal(t, honest.ID, d.ID)
	assert.Equal(t, honest.ID, (<-entries).ID, "readers of the log skip it")
	require.NoError(t, d.Ack())
}

// The nodes of a list are tried in turn, and no password is shown for any form of the list.
func TestTheNodesOfAClusterAreTriedInTurn(t *testing.T) {
	t.Parallel()
	r := servers.RabbitMQ(t)
	up := r.URL()
	host := up[strings.Index(up, "@")+1 : strings.LastIndex(up, "/")]
	for _, url := range []string{
		strings.Replace(up, host, "127.0.0.1:1", 1) + "," + up,
		strings.Replace(up, host, "127.0.0.1:1,"+host, 1),
		strings.Replace(up, host, "127.0.0.1:1,"+host+",127.0.0.1:2", 1),
	} {
		b := open(t, rabbitmq.Config{URL: url})
		require.NoError(t, b.Declare(t.Context(), inspected))
		publish(t, b, broker.Outgoing{Message: events.Message{Envelope: benchMessage().Envelope}})
		assert.Empty(t, lacks(t, b))
	}
	for _, url := range []string{
		"amqp://u:sesame@127.0.0.1:1/,amqp://v:sesame@127.0.0.1:2/", "amqp://u:sesame@127.0.0.1:1,127.0.0.1:2/x",
		"amqp://u:sesame@,b", "u:sesame@h,x",
		"amqp://u:sesame@127.0.0.1:1/,http://v:sesame@h/",
	} {
		_, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URL: url})
		require.Error(t, err)
		assert.NotContains(t, fmt.Sprintf("%v %+v", err, errors.Unwrap(err)), "sesame")
	}
}

// A service's user may publish only under the routing keys of its own events.
func TestAForgedEventIsRefused(t *testing.T) {
	t.Parallel()
	r := servers.RabbitMQ(t)
	admin := open(t, rabbitmq.Config{URL: r.URL()})
	require.NoError(t, admin.Declare(t.Context(), inspected))
	url, user := r.AddUserNamed(t, "^$", `^stega\.(events|commands|dead)$`, `^stega\.log$`)
	r.PermitTopics(t, user, "stega.events", `^bench\..+$`, "^$")
	own := open(t, rabbitmq.Config{URL: url})
	honest, forged := benchMessage(), benchMessage()
	honest.Type, forged.Type = "bench.done", "portfolio.deleted"
	publish(t, own, honest)
	result := make(chan error, 1)
	require.NoError(t, own.Publish(t.Context(), forged, func(err error) { result <- err }))
	require.Error(t, <-result)
	await(t, "the refusal is named", func() bool {
		found := lacks(t, own)
		return len(found) == 1 && found[0] == "publishing portfolio.deleted: publish_forbidden"
	})
	publish(t, own, honest)
	bounds, err := admin.LogBounds(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "bench.done", bounds.Recent.Type)
}
