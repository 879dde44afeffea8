package rabbitmq_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/rabbitmq"
	"stega/internal/servers"
)

var declared = broker.Topology{Services: []broker.ServiceTopology{{Service: "alpha", Topics: []string{"suite.done"}}}}

// A server whose quorum queues are not running yet ends the connection of a client that declares one. This is
// temporary, so Declare retries.
func TestADeclarationWaitsForAServerThatIsNotReady(t *testing.T) {
	r := servers.RabbitMQ(t)
	var logged bytes.Buffer
	b := open(t, rabbitmq.Config{URL: r.URL(), Name: t.Name(), Log: slog.New(slog.NewTextHandler(&logged, nil))})
	restart := r.StopQuorumQueues(t)
	result := make(chan error, 1)
	go func() { result <- b.Declare(t.Context(), declared) }()
	select {
	case err := <-result:
		require.NoError(t, err)
		require.Fail(t, "a queue was declared on a server that cannot make one")
	case <-time.After(2 * time.Second): // several tries
	}
	restart()
	require.NoError(t, <-result)
	depth, err := b.Depth(t.Context(), "alpha", broker.Events)
	require.NoError(t, err)
	assert.Zero(t, depth)
	assert.Equal(t, 1, strings.Count(logged.String(), "refuses the declarations for now"), "it is logged, once")
}

func TestADeclarationThatTheServerRefusesEndsInTime(t *testing.T) {
	r := servers.RabbitMQ(t)
	b := open(t, rabbitmq.Config{URL: r.URL(), Name: t.Name(), DeclareTimeout: time.Second})
	restart := r.StopQuorumQueues(t)
	err := b.Declare(t.Context(), declared)
	assert.Equal(t, "broker_not_ready", code(err), "%v", err)
	assert.ErrorContains(t, err, "refused the declarations for 1s")
	restart()
}
