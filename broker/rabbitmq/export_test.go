package rabbitmq

import (
	"testing"

	"github.com/stretchr/testify/require"

	"stega/events"
)

// Headers returns the headers with which a message is published.
func Headers(t testing.TB, m events.Message) map[string]any {
	t.Helper()
	p, err := encode(m)
	require.NoError(t, err)
	return p.Headers
}
