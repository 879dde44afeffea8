package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
	"stega/fault"
	"stega/internal/backoff"
)

// maxPrefetch is the server's limit for a quorum queue.
const maxPrefetch = 2000

// consumer consumes one queue, over one subscription after another.
type consumer struct {
	b        *Broker
	service  string
	q        broker.Queue
	queue    string
	prefetch int
	out      chan broker.Delivery

	stopping, closing chan struct{}
	stopOnce, endOnce sync.Once
	stopped           chan struct{} // closed after the deliveries
	ended             chan struct{} // closed after the subscription
}

// Subscribe implements broker.Broker. It waits for a connection until ctx ends. A missing queue is a fault.
func (b *Broker) Subscribe(ctx context.Context, service string, q broker.Queue, prefetch int) (broker.Consumer, error) {
	c := &consumer{
		b: b, service: service, q: q, queue: b.names.queue(service, q), prefetch: min(max(prefetch, 1), maxPrefetch),
		out: make(chan broker.Delivery), stopping: make(chan struct{}), closing: make(chan struct{}),
		stopped: make(chan struct{}), ended: make(chan struct{}),
	}
	sub, err := attachFirst(ctx, b, c.queue, c.attach)
	if err != nil {
		return nil, err
	}
	if !b.start(func() { c.run(sub) }) {
		return nil, broker.ErrClosed
	}
	return c, nil
}

// start runs a goroutine that ends with the broker; false after Close.
func (b *Broker) start(run func()) bool {
	b.starting.Lock()
	defer b.starting.Unlock()
	if b.open.Err() != nil {
		return false
	}
	b.running.Go(run)
	return true
}

// attachFirst attaches to a queue for the first time. An error of the queue is returned as a fault; an error of the
// connection is retried.
func attachFirst[T any](ctx context.Context, b *Broker, queue string, attach func(*connection) (T, error)) (T, error) {
	ctx, cancel := b.untilClosed(ctx)
	defer cancel()
	var zero T
	pause := backoff.Backoff{Base: backoffBase, Max: b.cfg.MaxBackoff}
	lastError := ""
	for {
		conn, err := b.in.get(ctx)
		if err != nil {
			return zero, err
		}
		sub, err := attach(conn)
		if err == nil {
			return sub, nil
		}
		if switched := noReplica(err) && b.in.switchNode(conn); !switched {
			if f := queueFault(queue, err); f != nil && f.Code != "queue_inaccessible" {
				return zero, f
			}
		}
		if err.Error() != lastError && ctx.Err() == nil {
			lastError = err.Error()
			b.log.Warn("cannot attach to the queue, retrying", "queue", queue, "error", err)
		}
		if !pause.Sleep(ctx) {
			return zero, errors.Join(context.Cause(ctx), err)
		}
	}
}

// noReplica reports whether a node of a cluster cannot read a stream because it has no replica of it.
func noReplica(err error) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Server && strings.Contains(e.Reason, "running replica on the local node")
}

// queueFault returns the fault of an unusable queue, or nil for another error. A queue is inaccessible while its node
// is down, and on a server that has just started and does not run the queue yet.
func queueFault(queue string, err error) *fault.Fault {
	var e *amqp.Error
	if !errors.As(err, &e) || !e.Server {
		return nil
	}
	switch e.Code {
	case amqp.NotFound:
		if strings.Contains(e.Reason, "down or inaccessible") {
			return fault.Unavailable("queue_inaccessible", "the broker does not run the queue %s at present", queue).
				WithHint("start the queue's node; a broker that has just started needs a moment").Because(err)
		}
		return fault.Unavailable("queue_missing", "the broker has no queue %s", queue).
			WithHint("create it with: stega migrate").Because(err)
	case amqp.AccessRefused:
		return fault.Unavailable("queue_forbidden", "the broker's user may not use %s", queue).
			WithHint("grant the service's user the permissions that stega migrate prints, or use another user").
			Because(err)
	case amqp.PreconditionFailed, amqp.ResourceLocked, amqp.NotAllowed:
		return fault.Unavailable("queue_unusable", "the broker's queue %s has unsuitable properties", queue).
			Because(err)
	}
	return nil
}

// subscription is a consuming channel. Its deliveries are settled on it or not at all.
type subscription struct {
	ch      *amqp.Channel
	in      <-chan amqp.Delivery
	closed  chan *amqp.Error
	depth   *depth
	settled chan struct{} // receives a token when a delivery is settled
	gap     bool          // the queue was replaced; until the first delivery

	mu        sync.Mutex
	unsettled int
	acks      pendingAcks
	over      bool
}

func (c *consumer) attach(conn *connection) (*subscription, error) {
	ch, err := conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	s := &subscription{
		ch: ch, depth: c.b.depths.of(c.queue), settled: make(chan struct{}, 1),
		closed: ch.NotifyClose(make(chan *amqp.Error, 1)), acks: newPendingAcks(c.prefetch, ch.Ack),
	}
	err = ch.Qos(c.prefetch, 0, false)
	if err == nil {
		s.in, err = ch.Consume(c.queue, c.b.cfg.Name, false, false, false, false, nil)
	}
	if err != nil {
		_ = ch.Close() // usually closed by the error already
		return nil, fmt.Errorf("consume %s: %w", c.queue, err)
	}
	return s, nil
}

func (c *consumer) run(sub *subscription) {
	defer close(c.ended)
	log := c.b.log.With("queue", c.queue)
	pause := backoff.Backoff{Base: backoffBase, Max: c.b.cfg.MaxBackoff}
	part := "queue " + c.queue
	defer c.b.refused.clear(part)
	lastError := ""
	for {
		began := time.Now()
		lost, err := c.serve(sub)
		if !lost {
			break
		}
		log.Info("the subscription ended, subscribing again", "error", err)
		// The connection is open, so the queue has ended.
		gap := errors.Is(err, errCancelled)
		if time.Since(began) > c.b.cfg.MaxBackoff {
			pause.Reset()
		}
		if sub = c.resubscribe(&pause, func(err error) {
			if f := queueFault(c.queue, err); f != nil {
				gap = gap || f.Code == "queue_missing"
				c.b.refused.set(broker.Lack{Part: part, Service: c.service, Err: f})
			}
			if err.Error() != lastError {
				lastError = err.Error()
				log.Warn("cannot subscribe, retrying", "error", err)
			}
		}); sub == nil {
			c.closeOut()
			break
		}
		sub.gap = gap
		lastError = ""
		c.b.refused.clear(part)
	}
}

// resubscribe returns a new subscription, or nil when the consumer ends.
func (c *consumer) resubscribe(pause *backoff.Backoff, failed func(error)) *subscription {
	ctx, cancel := context.WithCancel(c.b.life)
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-c.stopping:
			cancel()
		case <-over:
		}
	}()
	for pause.Sleep(ctx) {
		conn, err := c.b.in.get(ctx)
		if err != nil {
			continue
		}
		sub, err := c.attach(conn)
		if err == nil {
			return sub
		}
		failed(err)
	}
	return nil
}

// serve delivers messages until the subscription is lost or the consumer stops; in the second case it has closed the
// deliveries. It takes messages from the library at once, so that they can be counted and released; there are never
// more than the prefetch.
func (c *consumer) serve(s *subscription) (lost bool, err error) {
	c.b.subs.Store(s, nil)
	defer c.b.subs.Delete(s)
	defer s.finish()
	var waiting []broker.Delivery
	for {
		var out chan broker.Delivery
		var next broker.Delivery
		if len(waiting) > 0 {
			out, next = c.out, waiting[0]
		}
		select {
		case d, open := <-s.in:
			if !open {
				return true, s.end()
			}
			waiting = append(waiting, c.receive(s, &d))
		case out <- next:
			waiting[0] = broker.Delivery{}
			waiting = waiting[1:]
		case <-s.acks.timer.C:
			s.tick()
		case <-c.stopping:
			c.closeOut()
			c.drain(s, len(waiting))
			s.sendAcks()
			if c.q == broker.Events {
				if err := s.flush(c.queue, c.b.cfg.Name); err != nil {
					c.b.log.Info("the last acks may be lost; their messages will be redelivered", "queue", c.queue,
						"error", err)
				}
			}
			_ = s.ch.Close() // the server requeues the waiting messages in order
			return false, nil
		}
	}
}

// drain waits until all delivered messages are settled, before the next consumer receives later ones.
func (c *consumer) drain(s *subscription, waiting int) {
	in := s.in
	for {
		s.mu.Lock()
		handedOut := s.unsettled - waiting
		s.mu.Unlock()
		if handedOut == 0 {
			return
		}
		select {
		case d, open := <-in:
			if !open {
				return
			}
			c.receive(s, &d)
			waiting++
		case <-s.settled:
		case <-s.acks.timer.C:
			s.tick()
		case <-c.closing:
			return
		}
	}
}

func (c *consumer) receive(s *subscription, d *amqp.Delivery) broker.Delivery {
	x := &settler{c: c, s: s, d: d}
	s.mu.Lock()
	s.unsettled++
	s.acks.add(x)
	s.mu.Unlock()
	s.depth.add(1)
	out := c.b.delivery(d, c.service, c.q, x)
	out.Gap, s.gap = s.gap, false
	return out
}

// tick sends the acks that waited long enough. An error needs no report: the channel is lost then, and unacked
// messages are redelivered.
func (s *subscription) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.acks.tick()
}

// sendAcks sends all acks, and each later ack at once.
func (s *subscription) sendAcks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.acks.sendAtOnce()
}

// flush waits until the queue has received the acks. When a quorum queue is behind by 32 commands, a channel buffers
// further acks until the queue has caught up, and drops them when it closes. It does wait for a subscribe and a
// cancel. After the subscribe the queue has caught up, and before the cancel the channel has passed on the buffered
// acks. The subscription never becomes active, because another one is. After an error, messages without a received
// ack are redelivered.
func (s *subscription) flush(queue, name string) error {
	tag := name + " ends"
	if _, err := s.ch.Consume(queue, tag, false, false, false, false, nil); err != nil {
		return err
	}
	return s.ch.Cancel(tag, false)
}

// end closes the channel after its deliveries ended, and returns why. A cancel by the server ends deliveries too.
func (s *subscription) end() error {
	_ = s.ch.Close()
	if e := <-s.closed; e != nil {
		return e
	}
	return errCancelled
}

// errCancelled ends a subscription on an open channel: the server cancelled it, because its queue is gone.
var errCancelled = errors.New("the server cancelled the subscription")

// finish turns every later settling of a delivery of this subscription into a no-op.
func (s *subscription) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.acks.timer.Stop()
	s.acks.first, s.acks.last, s.acks.firstOpen = nil, nil, nil
	s.depth.add(-s.unsettled)
	s.unsettled = 0
}

func (c *consumer) closeOut() {
	close(c.out)
	close(c.stopped)
}

func (c *consumer) Deliveries() <-chan broker.Delivery { return c.out }

// Stop implements broker.Consumer. The subscription ends, and another consumer may take over, only after all
// deliveries are settled. So messages of one subject keep their order across the handover.
func (c *consumer) Stop(ctx context.Context) error {
	c.stopOnce.Do(func() { close(c.stopping) })
	select {
	case <-c.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *consumer) Close() error {
	c.stopOnce.Do(func() { close(c.stopping) })
	c.endOnce.Do(func() { close(c.closing) })
	<-c.ended
	return nil
}
