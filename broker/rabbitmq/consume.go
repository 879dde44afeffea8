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

// maxPrefetch is what the server allows on a quorum queue.
const maxPrefetch = 2000

// consumer takes from one queue, over one subscription after another.
type consumer struct {
	b        *Broker
	service  string
	q        broker.Queue
	queue    string
	prefetch int
	out      chan broker.Delivery

	stopping, closing chan struct{}
	stopOnce, endOnce sync.Once
	stopped           chan struct{} // the deliveries are closed
	ended             chan struct{} // and the subscription is
}

// Subscribe implements broker.Broker. It waits for a connection until ctx ends; a queue that does not exist is a fault.
func (b *Broker) Subscribe(ctx context.Context, service string, q broker.Queue, prefetch int) (broker.Consumer, error) {
	c := &consumer{
		b: b, service: service, q: q, queue: b.names.queue(service, q), prefetch: min(max(prefetch, 1), maxPrefetch),
		out: make(chan broker.Delivery), stopping: make(chan struct{}), closing: make(chan struct{}),
		stopped: make(chan struct{}), ended: make(chan struct{}),
	}
	sub, err := attached(ctx, b, c.queue, c.attach)
	if err != nil {
		return nil, err
	}
	if !b.start(func() { c.run(sub) }) {
		return nil, broker.ErrClosed
	}
	return c, nil
}

// start runs something that ends with the broker.
func (b *Broker) start(run func()) bool {
	b.starting.Lock()
	defer b.starting.Unlock()
	if b.open.Err() != nil {
		return false
	}
	b.running.Go(run)
	return true
}

// attached attaches to a queue for the first time: what is wrong with the queue is a fault, what is wrong with the
// connection is waited for.
func attached[T any](ctx context.Context, b *Broker, queue string, attach func(*connection) (T, error)) (T, error) {
	ctx, cancel := b.either(ctx)
	defer cancel()
	var none T
	pause := backoff.Backoff{Base: backoffBase, Max: b.cfg.MaxBackoff}
	said := ""
	for {
		conn, err := b.in.get(ctx)
		if err != nil {
			return none, err
		}
		sub, err := attach(conn)
		if err == nil {
			return sub, nil
		}
		if moved := noReplica(err) && b.in.elsewhere(conn); !moved {
			if f := queueFault(queue, err); f != nil {
				return none, f
			}
		}
		if err.Error() != said && ctx.Err() == nil {
			said = err.Error()
			b.log.Warn("the broker does not attach to a queue yet, trying on", "queue", queue, "error", err)
		}
		if !pause.Sleep(ctx) {
			return none, errors.Join(context.Cause(ctx), err)
		}
	}
}

// noReplica reports whether a node of a cluster cannot read a stream, as it has no replica of it.
func noReplica(err error) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Server && strings.Contains(e.Reason, "running replica on the local node")
}

// queueFault is the fault of a queue that cannot be used, or nil when the error is another.
func queueFault(queue string, err error) *fault.Fault {
	var e *amqp.Error
	if !errors.As(err, &e) || !e.Server {
		return nil
	}
	switch e.Code {
	case amqp.NotFound:
		return fault.Unavailable("queue_missing", "the broker has no queue %s", queue).
			WithHint("make it with: stega migrate").Because(err)
	case amqp.AccessRefused:
		return fault.Unavailable("queue_forbidden", "the broker's user may not use %s", queue).
			WithHint("give the user of the service the permissions that stega migrate prints, or use one that has them").Because(err)
	case amqp.PreconditionFailed, amqp.ResourceLocked, amqp.NotAllowed:
		return fault.Unavailable("queue_unusable", "the broker's queue %s cannot be used as it is", queue).Because(err)
	}
	return nil
}

// subscription is a channel that consumes. Its deliveries are settled on it or not at all.
type subscription struct {
	ch      *amqp.Channel
	in      <-chan amqp.Delivery
	closed  chan *amqp.Error
	depth   *depth
	settled chan struct{} // a token whenever one is settled
	gap     bool          // the queue is another one than before; until the first delivery

	mu        sync.Mutex
	unsettled int
	acks      gathering
	over      bool
}

func (c *consumer) attach(conn *connection) (*subscription, error) {
	ch, err := conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	s := &subscription{
		ch: ch, depth: c.b.depths.of(c.queue), settled: make(chan struct{}, 1),
		closed: ch.NotifyClose(make(chan *amqp.Error, 1)), acks: newGathering(c.prefetch, ch.Ack),
	}
	err = ch.Qos(c.prefetch, 0, false)
	if err == nil {
		s.in, err = ch.Consume(c.queue, c.b.cfg.Name, false, false, false, false, nil)
	}
	if err != nil {
		_ = ch.Close() // it is closed already, as a rule by the error
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
	said := ""
	for {
		began := time.Now()
		lost, err := c.serve(sub)
		if !lost {
			break
		}
		log.Info("the subscription ended, making another", "error", err)
		// The connection goes on, so it is the queue that ended.
		gap := errors.Is(err, errCancelled)
		if time.Since(began) > c.b.cfg.MaxBackoff {
			pause.Reset()
		}
		if sub = c.resubscribe(&pause, func(err error) {
			if f := queueFault(c.queue, err); f != nil {
				gap = gap || f.Code == "queue_missing"
				c.b.refused.set(broker.Lack{Part: part, Service: c.service, Err: f})
			}
			if err.Error() != said {
				said = err.Error()
				log.Warn("cannot subscribe, trying on", "error", err)
			}
		}); sub == nil {
			c.closeOut()
			break
		}
		sub.gap = gap
		said = ""
		c.b.refused.clear(part)
	}
}

// resubscribe is nil when the consumer is to end.
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

// serve hands out what comes until the subscription is lost or the consumer ends; then it has closed the deliveries.
// What comes is taken from the library at once, so that it can be counted and given back; there are never
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
		case <-s.acks.clock.C:
			s.tick()
		case <-c.stopping:
			c.closeOut()
			c.drain(s, len(waiting))
			s.hurry()
			if c.q == broker.Events {
				if err := s.flush(c.queue, c.b.cfg.Name); err != nil {
					c.b.log.Info("the queue may not have heard of the last acks: what they are of comes again", "queue", c.queue,
						"error", err)
				}
			}
			_ = s.ch.Close() // the server gives back, in their order, those that wait
			return false, nil
		}
	}
}

// drain waits until what was handed out is settled, before the next consumer gets to what comes after.
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
		case <-s.acks.clock.C:
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

// tick tells the server of the acks that waited long enough. That it cannot be told is no news: the session is lost
// then, and what is unacked comes again.
func (s *subscription) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.acks.tick()
}

// hurry tells the server of all acks, and of those that come at once.
func (s *subscription) hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.acks.hurry()
}

// flush waits until the queue was told of the acks. Of a quorum queue that is behind by 32 commands a channel keeps
// further acks to itself until the queue has caught up, and forgets them when it is closed. To subscribe and to end
// that again are commands that it does wait for: after the first the queue has caught up, and before the second the
// channel has passed on what it kept. The subscription is never active, as there is one that is. After an error, what
// the queue was not told of comes again.
func (s *subscription) flush(queue, name string) error {
	tag := name + " ends"
	if _, err := s.ch.Consume(queue, tag, false, false, false, false, nil); err != nil {
		return err
	}
	return s.ch.Cancel(tag, false)
}

// end closes the channel after its deliveries ended, which the server does when it cancels a consumer, and is why.
func (s *subscription) end() error {
	_ = s.ch.Close()
	if e := <-s.closed; e != nil {
		return e
	}
	return errCancelled
}

// errCancelled ends a subscription whose channel goes on: the server cancelled it, as its queue is gone.
var errCancelled = errors.New("the server cancelled the subscription")

// finish makes every settling of a delivery of this subscription do nothing from now on.
func (s *subscription) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.acks.clock.Stop()
	s.acks.first, s.acks.last, s.acks.edge = nil, nil, nil
	s.depth.add(-s.unsettled)
	s.unsettled = 0
}

func (c *consumer) closeOut() {
	close(c.out)
	close(c.stopped)
}

func (c *consumer) Deliveries() <-chan broker.Delivery { return c.out }

// Stop implements broker.Consumer. The subscription ends, and so another consumer may take over, only when
// what was handed out is settled: messages of one subject keep their order across the handover.
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
