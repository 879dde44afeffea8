// Package embedded is a broker that lives in the process: a JetStream server with file storage and no
// listening port keeps the log of all events and the dead letters, and queues in memory stand between the log
// and each service.
//
// The event and command queues are empty at each start. That loses nothing, for the broker is Volatile: the
// outbox keeps every message until all its services have settled it and sends the rest again at the next start,
// and the inbox drops the doubles. Of the folder only the log, the dead letters and the times of unclean ends
// are kept, and losing the folder loses no more than these.
//
// Queues are bounded, and Publish waits while a queue that the message is bound for is full; so a service that
// takes nothing holds up those who publish to it, and their messages wait in their outbox.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"stega/broker"
)

// Broker is the broker in the process. Close ends it.
type Broker struct {
	log *slog.Logger
	srv *instance
	now func() time.Time

	ends *ends

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	closed chan struct{} // closed when Close has done its work

	pipe pipeline

	mu       sync.Mutex // guards all that follows, and the queues
	closing  bool
	services map[string][]string // topics by declared service
	bound    map[string][]*queue // event queues by topic
	queues   map[name]*queue
	room     chan struct{} // closed when something that Publish waits for may have changed; nil when nobody waits
	flight   load          // published, and not yet answered
	handled  handled
}

// name is what a queue is called.
type name struct {
	service string
	kind    broker.Queue
}

var (
	_ broker.Broker   = (*Broker)(nil)
	_ broker.Volatile = (*Broker)(nil)
)

// Open starts the broker with its log and its dead letters in dir, which it makes when it is missing. What is there
// and cannot be used is moved aside, with a warning. Nothing is bound before Declare. Only one broker may use a
// folder at a time, which is for the caller to see to.
func Open(ctx context.Context, dir string, log *slog.Logger) (*Broker, error) {
	srv, err := start(ctx, dir, log)
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker in %s: %w", dir, err)
	}
	b := &Broker{
		log: log, srv: srv, now: time.Now, closed: make(chan struct{}),
		services: map[string][]string{}, bound: map[string][]*queue{}, queues: map[name]*queue{},
		handled: handled{open: map[string]int{}},
	}
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := b.loadDead(ctx); err != nil {
		b.cancel()
		srv.stop()
		return nil, fmt.Errorf("start the embedded broker in %s: %w", dir, err)
	}
	if err := b.pipe.open(b); err != nil {
		b.cancel()
		srv.stop()
		return nil, fmt.Errorf("start the embedded broker in %s: %w", dir, err)
	}
	b.ends = openEnds(dir, time.Now(), log)
	b.tasks.Add(1)
	go b.mend()
	return b, nil
}

// Declare binds the event queue of each service that t names to exactly the topics of t. Services that t does
// not name keep what they have.
func (b *Broker) Declare(_ context.Context, t broker.Topology) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return broker.ErrClosed
	}
	for _, s := range t.Services {
		topics := slices.Clone(s.Topics)
		slices.Sort(topics)
		b.services[s.Service] = slices.Compact(topics)
	}
	clear(b.bound)
	for service, topics := range b.services {
		q := b.queue(service, broker.Events)
		for _, topic := range topics {
			b.bound[topic] = append(b.bound[topic], q)
		}
	}
	return nil
}

// queue finds or makes a queue. The lock is held.
func (b *Broker) queue(service string, kind broker.Queue) *queue {
	key := name{service, kind}
	q := b.queues[key]
	if q == nil {
		q = &queue{b: b, name: key}
		b.queues[key] = q
	}
	return q
}

// Depth is the number of messages that wait in a queue or are not settled yet.
func (b *Broker) Depth(_ context.Context, service string, q broker.Queue) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return 0, broker.ErrClosed
	}
	if queue := b.queues[name{service, q}]; queue != nil {
		return queue.depth(), nil
	}
	return 0, nil
}

// State says how the connection is. It is blocked while the server does not store what it is given, as when the
// disk is full; publishes are refused then, and resume by themselves.
func (b *Broker) State() broker.State {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closing:
		return broker.State{Err: broker.ErrClosed}
	case !b.srv.conn.IsConnected():
		err := b.srv.conn.LastError()
		if err == nil {
			err = errors.New("the connection inside the process is being restored")
		}
		return broker.State{Err: err}
	}
	if b.srv.stopped() || b.stuck() {
		return broker.State{Connected: true, Blocked: "the event log cannot be written; is the disk full?"}
	}
	return broker.State{Connected: true}
}

// Close ends all consumers and log readers, answers what is not confirmed with ErrUnknown, and stops the
// server. It may be called again, and then waits until the first call has done all that.
func (b *Broker) Close() error {
	b.mu.Lock()
	if b.closing {
		b.mu.Unlock()
		<-b.closed
		return nil
	}
	b.closing = true
	b.wake()
	for _, q := range b.queues {
		for _, c := range slices.Clone(q.consumers) {
			c.end()
		}
	}
	b.mu.Unlock()
	b.cancel()
	b.pipe.close()
	b.tasks.Wait()
	b.srv.stop()
	b.ends.save(false)
	close(b.closed)
	return nil
}

// begin reserves a place for work that Close waits for; it says false once the broker is closing.
func (b *Broker) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return false
	}
	b.tasks.Add(1)
	return true
}

// wake tells those who wait in Publish to look again. The lock is held.
func (b *Broker) wake() {
	if b.room != nil {
		close(b.room)
		b.room = nil
	}
}
