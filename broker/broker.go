// Package broker is the small interface that the rest needs of a message broker. It has two
// implementations, rabbitmq and embedded, and one conformance suite, brokertest, that both pass.
//
// The parts are the same on both: events go to one exchange and from there to one queue for each service
// that subscribed to their topic, and to one retained log; deferred commands go to the command queue of
// their service; what cannot be handled at all goes to the dead queue of the service that could not.
package broker

import (
	"context"
	"errors"
	"time"

	"stega/events"
)

// What can become of a publish that is not confirmed.
var (
	ErrUnroutable = errors.New("the broker has no queue for the message")
	ErrNacked     = errors.New("the broker refused the message")
	ErrUnknown    = errors.New("the connection ended before the broker confirmed the message") // it may have arrived
	ErrClosed     = errors.New("the broker connection is closed")
	// ErrInvalid comes with ErrUnknown: the broker ended the channel because of a message that was on its way, this one
	// or another.
	ErrInvalid = errors.New("the broker ended the channel because of a message on it")
)

// Queue names one of the queues that each service has.
type Queue string

// The queues of a service.
const (
	Events   Queue = "events"
	Commands Queue = "commands"
	Dead     Queue = "dead"
)

// Topology is what Declare makes: for each service, the topics of events that it handles.
type Topology struct {
	Services []ServiceTopology
}

// ServiceTopology is the share of one service.
type ServiceTopology struct {
	Service string
	Topics  []string // events that it handles; the bindings of its event queue are exactly these
}

// Outgoing is a message on its way out.
type Outgoing struct {
	events.Message
	// Service is empty for an event. For a deferred command it is the service whose command queue it joins.
	Service string
}

// Publisher sends messages to a broker.
type Publisher interface {
	// Publish hands a message to the broker and returns when it is on its way, waiting only while the window
	// of unconfirmed messages is full or the connection is being restored. Then done is called exactly once,
	// from another goroutine: with nil when the broker took responsibility, else with one of the errors above;
	// after ErrUnknown the message may have arrived. When Publish itself returns an error, the
	// message was not sent and done is not called.
	Publish(ctx context.Context, m Outgoing, done func(error)) error
}

// Subscriber takes messages from the queues of services.
type Subscriber interface {
	// Subscribe begins to take messages from a queue of a service, at most prefetch of them unsettled at
	// a time. It reconnects by itself until Stop or Close. Events and dead letters go to one consumer at a time
	// (the others stand by), commands to competing ones.
	Subscribe(ctx context.Context, service string, q Queue, prefetch int) (Consumer, error)

	// Depth returns the number of messages that wait in a queue or are not settled yet.
	Depth(ctx context.Context, service string, q Queue) (int, error)
}

// Log reads the retained log of all events.
type Log interface {
	// Log returns the entries from a position on, live without end, until ctx ends, when the channel is closed. From 0
	// is the oldest entry that is retained; LogEnd is what comes from now on. The channel is also closed when the log
	// is gone, or is another one than before: positions of the one mean nothing in the other.
	Log(ctx context.Context, from uint64) (<-chan LogEntry, error)

	// LogBounds returns how far the log reaches at present.
	LogBounds(ctx context.Context) (LogBounds, error)
}

// Broker is a connection to a message broker that restores itself. All methods may be used concurrently. Those who
// need less take a Publisher, a Subscriber or a Log.
type Broker interface {
	Publisher
	Subscriber
	Log

	// Declare makes the exchange, queues, bindings and the log. It is idempotent, and removes bindings that
	// a service no longer has.
	Declare(ctx context.Context, t Topology) error

	// State returns the state of the connection.
	State() State

	// Close ends all consumers and the connection; unsettled deliveries come again later.
	Close() error
}

// LogEnd as a position means: only what comes from now on.
const LogEnd = ^uint64(0)

// Volatile is implemented by a broker whose confirmation does not mean that the message outlives the loss
// of the broker's data. The outbox keeps its row until the message was handled.
type Volatile interface {
	// OnHandled calls fn with the id of each message, once every subscribed service has settled it (acked, or
	// its dead letter was acked). fn must not block. stop ends the calls.
	OnHandled(fn func(id string)) (stop func())
}

// State is how the connection to the broker is.
type State struct {
	Connected bool
	Blocked   string // why the broker takes no messages at present, such as a memory alarm; empty when it does
	Err       error  // what the last attempt to connect said
}

// Consumer is a subscription to one queue.
type Consumer interface {
	// Deliveries is closed after Stop or Close.
	Deliveries() <-chan Delivery
	// Stop takes no more messages and closes Deliveries; what was handed out can still be settled, what waits unread in
	// the channel is given back.
	Stop(ctx context.Context) error
	// Close gives back all that is unsettled and ends the subscription. It may follow Stop.
	Close() error
}

// Delivery is a message taken from a queue; it must be settled by exactly one of Ack, Reject and Release.
// Settling belongs to the session that delivered it: once the connection was lost, settling does
// nothing, for the broker will deliver the message again.
type Delivery struct {
	events.Message
	Service     string // whose queue it came from
	Queue       Queue
	Err         error // why the envelope cannot be read; Data then has the raw body
	Redelivered bool
	Gap         bool      // the queue was gone before this delivery: messages that came meanwhile are in the log alone
	Attempts    int       // earlier deliveries, as far as the broker counts them
	Reason      string    // on the dead queue: why it is there
	At          time.Time // on the dead queue: since when
	Settler     Settler
}

// Settler settles one delivery.
type Settler interface {
	Ack() error                 // handled
	Reject(reason string) error // never again: to the dead queue
	Release() error             // not now, through no fault of the message: back to the queue
}

// Ack says that the message was handled.
func (d Delivery) Ack() error { return d.Settler.Ack() }

// Reject moves the message to the dead queue.
func (d Delivery) Reject(reason string) error { return d.Settler.Reject(reason) }

// Release gives the message back to the queue.
func (d Delivery) Release() error { return d.Settler.Release() }

// LogEntry is an event with its position in the log; positions grow, and may have gaps.
type LogEntry struct {
	Position uint64
	events.Message
}

// LogBounds is how far the retained log reaches. A reader can tell by it whether a position that it comes from is still
// there, is gone, or was never one of this log.
type LogBounds struct {
	Empty  bool     // nothing is retained
	Origin uint64   // the position of the very first entry that the log ever had or will have; what is before belongs to another log
	First  uint64   // the oldest position that is retained; of an empty log the next one, as far as the broker knows it
	Recent LogEntry // an entry at the end or shortly before it, unless it is empty
	Exact  bool     // Recent is the last entry that can be read
}
