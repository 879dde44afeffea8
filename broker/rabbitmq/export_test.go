package rabbitmq

import (
	"testing"

	"github.com/stretchr/testify/require"

	"stega/events"
)

// Headers are those that a message is published with.
func Headers(t testing.TB, m events.Message) map[string]any {
	t.Helper()
	p, err := encode(m)
	require.NoError(t, err)
	return p.Headers
}
