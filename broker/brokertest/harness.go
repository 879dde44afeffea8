// Package brokertest is the conformance suite that every broker passes: Run states, one sentence a test, what
// the rest of the program relies on. It needs a real broker, which the Harness opens, restarts and disturbs.
package brokertest

import (
	"testing"
	"time"

	"stega/broker"
)

// Harness is how the suite gets at one kind of broker. Every function is given the test that asks, and each
// test has a namespace of its own (a virtual host, a prefix, a folder) that no other test sees: nothing is
// declared in it at first, and its queues and log are empty. A function that is nil skips the tests that need it.
//
// Tests that restart, cut or refuse run one after the other, before those that run in parallel.
type Harness struct {
	// Open connects to the broker in the namespace of t and registers a cleanup that closes the connection. Called again
	// with the same t it is a further connection to the same queues; a broker that lives in the process
	// may return the same one. Required.
	Open func(t *testing.T) broker.Broker

	// Restart ends the broker's process and starts it again; confirmed messages survive that. It returns once the
	// broker accepts connections again.
	Restart func(t *testing.T)

	// CutConnections severs all connections that Open made for t, as a network failure would, and returns
	// once they are gone; they may mend themselves at once.
	CutConnections func(t *testing.T)

	// InjectRaw puts a message that is not in the project's form on the event queue of a service that was declared.
	InjectRaw func(t *testing.T, service string, body []byte, headers map[string]any)

	// Refuse makes the broker answer publishes to the event queue of the service, in the namespace of t, with a refusal
	// until the test ends. It is called after Declare; a message or two may still get through.
	Refuse func(t *testing.T, service string)

	// Patience is how long the suite waits for what must happen; 30 seconds when zero.
	Patience time.Duration
}

func (h Harness) patience() time.Duration {
	if h.Patience == 0 {
		return 30 * time.Second
	}
	return h.Patience
}

// none is how long the suite watches for what must not happen.
const none = 150 * time.Millisecond
