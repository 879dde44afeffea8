package rabbitmq

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server that has just started answers 404 for a queue that it has and does not run yet.
func TestAQueueThatDoesNotRunIsNotMissing(t *testing.T) {
	for reason, code := range map[string]string{
		"home node 'rabbit@a' of durable queue 'stega.log' in vhost '/' is down or inaccessible": "queue_inaccessible",
		"no queue 'stega.log' in vhost '/'": "queue_missing",
	} {
		f := queueFault("stega.log", &amqp.Error{Code: amqp.NotFound, Reason: "NOT_FOUND - " + reason, Server: true})
		require.NotNil(t, f)
		assert.Equal(t, code, f.Code)
	}
}
