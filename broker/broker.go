// Package broker defines the interface of a message broker. It has two implementations, rabbitmq and embedded. Both
// pass the conformance suite brokertest.
//
// An event goes to one exchange, and from there to the queue of each service that subscribed to its topic and to one
// retained log. A deferred command goes to the command queue of its service. A message that a service cannot handle
// goes to the dead queue of that service.
package broker

import (
	"context"
	"errors"
	"time"

	"stega/events"
)

// The errors of a publish that is not confirmed.
var (
	ErrUnroutable = errors.New("the broker has no queue for the message")
	ErrNacked     = errors.New("the broker refused the message")
	ErrUnknown    = errors.New("the connection ended before the broker confirmed the message") // it may have arrived
	ErrClosed     = errors.New("the broker connection is closed")
	// ErrInvalid comes with ErrUnknown: the broker ended the channel because of a message in flight, this one or
	// another.
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

// Topology lists the services and the topics of the events that each handles. Declare creates it.
type Topology struct {
	Services []ServiceTopology
}

// ServiceTopology is the part of one service.
type ServiceTopology struct {
	Service string
	Topics  []string // events that it handles; the bindings of its event queue are exactly these
}

// Outgoing is a message to publish.
type Outgoing struct {
	events.Message
	// Service is empty for an event. For a deferred command it is the service that handles it.
	Service string
}

// Publisher sends messages to a broker.
type Publisher interface {
	// Publish sends a message, and returns before it is confirmed. It blocks only while the window of unconfirmed
	// messages is full or the connection is being restored. Then another goroutine calls done exactly once: with nil
	// when the broker took responsibility, else with one of the errors above. After ErrUnknown the message may have
	// arrived. When Publish itself returns an error, the message was not sent and done is not called.
	Publish(ctx context.Context, m Outgoing, done func(error)) error
}

// Subscriber takes messages from the queues of services.
type Subscriber interface {
	// Subscribe takes messages from a queue of a service, at most prefetch of them unsettled at a time. The consumer
	// reconnects by itself until Stop or Close. Events and dead letters go to one consumer at a time, and the others
	// stand by; consumers of commands compete.
	Subscribe(ctx context.Context, service string, q Queue, prefetch int) (Consumer, error)

	// Depth returns the number of messages that wait in a queue or are not settled yet.
	Depth(ctx context.Context, service string, q Queue) (int, error)
}

// Log reads the retained log of all events.
type Log interface {
	// Log returns the entries from a position on, and then new ones until ctx ends. 0 is the oldest retained entry,
	// LogEnd the next new one. The channel is closed when ctx ends, and when the log is lost or replaced: positions of
	// one log mean nothing in another.
	Log(ctx context.Context, from uint64) (<-chan LogEntry, error)

	// LogBounds returns how far the log reaches at present.
	LogBounds(ctx context.Context) (LogBounds, error)
}

// Broker is a connection to a message broker that restores itself. All methods may be called concurrently. Callers
// that need less take a Publisher, a Subscriber or a Log.
type Broker interface {
	Publisher
	Subscriber
	Log

	// Declare creates the exchange, queues, bindings and the log. It is idempotent, and removes bindings that a
	// service no longer has.
	Declare(ctx context.Context, t Topology) error

	// State returns the state of the connection.
	State() State

	// Close ends all consumers and the connection; unsettled deliveries come again later.
	Close() error
}

// LogEnd is the position of the next new entry.
const LogEnd = ^uint64(0)

// Volatile is implemented by a broker that can lose a confirmed message together with its data. The outbox keeps the
// row of a message until the message is handled.
type Volatile interface {
	// OnHandled calls fn with the id of each message once every subscribed service has acked it or its dead letter. fn
	// must not block. stop ends the calls.
	OnHandled(fn func(id string)) (stop func())
}

// State is the state of the connection to the broker.
type State struct {
	Connected bool
	Blocked   string // why the broker takes no messages, such as a memory alarm; empty when it takes them
	Err       error  // of the last attempt to connect
}

// Consumer is a subscription to one queue.
type Consumer interface {
	// Deliveries is closed after Stop or Close.
	Deliveries() <-chan Delivery
	// Stop takes no more messages and closes Deliveries. Received deliveries can still be settled; unread ones go back
	// to the queue.
	Stop(ctx context.Context) error
	// Close returns all unsettled messages to the queue and ends the subscription. It may follow Stop.
	Close() error
}

// Delivery is a message from a queue. Exactly one of Ack, Reject and Release must settle it. After its connection was
// lost, settling has no effect, and the broker delivers the message again.
type Delivery struct {
	events.Message
	Service     string // of the queue
	Queue       Queue
	Err         error // why the envelope cannot be decoded; Data then has the raw body
	Redelivered bool
	Gap         bool      // the queue was missing before this delivery: messages of that time are only in the log
	Attempts    int       // earlier deliveries, as far as the broker counts them
	Reason      string    // of a dead letter
	At          time.Time // of death, of a dead letter
	Settler     Settler
}

// Settler settles one delivery.
type Settler interface {
	Ack() error                 // the message was handled
	Reject(reason string) error // the message goes to the dead queue
	Release() error             // the message goes back to the queue, without blame
}

// Ack marks the message as handled.
func (d Delivery) Ack() error { return d.Settler.Ack() }

// Reject moves the message to the dead queue.
func (d Delivery) Reject(reason string) error { return d.Settler.Reject(reason) }

// Release returns the message to the queue.
func (d Delivery) Release() error { return d.Settler.Release() }

// LogEntry is an event with its position in the log; positions grow, and may have gaps.
type LogEntry struct {
	Position uint64
	events.Message
}

// LogBounds is the range of the retained log. By it a reader recognises whether the log still has its position, no
// longer has it, or never had it.
type LogBounds struct {
	Empty  bool     // no entry is retained
	Origin uint64   // position of the very first entry that the log had or will have; lower ones belong to another log
	First  uint64   // oldest retained position; of an empty log the next one, as far as the broker has it
	Recent LogEntry // an entry at the end or shortly before it, unless the log is empty
	Exact  bool     // Recent is the last entry
}
