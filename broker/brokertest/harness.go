// Package brokertest is the conformance suite of every broker. The name of each test is a sentence that the rest of
// the program relies on. The Harness opens, restarts and disturbs a real broker.
package brokertest

import (
	"testing"
	"time"

	"stega/broker"
)

// Harness gives the suite access to one kind of broker. Every function receives its test. Each test has a separate
// namespace (a virtual host, a prefix, a folder) without declarations, queues or log entries. A nil function skips
// the tests that need it.
//
// Tests that restart, cut or refuse run one after the other, before the parallel ones.
type Harness struct {
	// Open connects to the broker in the namespace of t and registers a cleanup that closes the connection. A second
	// call with the same t opens another connection to the same queues; an in-process broker may return the same one.
	// Required.
	Open func(t *testing.T) broker.Broker

	// Restart restarts the broker's process, which keeps confirmed messages. It returns when the broker accepts
	// connections again.
	Restart func(t *testing.T)

	// CutConnections cuts all connections that Open made for t, as a network failure would, and returns when they
	// have ended. They may reconnect at once.
	CutConnections func(t *testing.T)

	// InjectRaw puts a message of another form on the event queue of a declared service.
	InjectRaw func(t *testing.T, service string, body []byte, headers map[string]any)

	// Refuse makes the broker refuse publishes to the event queue of the service, in the namespace of t, until the
	// test ends. It is called after Declare. A message or two may still be accepted.
	Refuse func(t *testing.T, service string)

	// Patience limits the wait for an expected event; 30 seconds when zero.
	Patience time.Duration
}

func (h Harness) patience() time.Duration {
	if h.Patience == 0 {
		return 30 * time.Second
	}
	return h.Patience
}

// none is how long the suite watches for an event that must not happen.
const none = 150 * time.Millisecond
