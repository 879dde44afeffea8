package embedded

import (
	"context"
	"fmt"

	"stega/broker"
)

// Subscribe takes messages from a queue of a service. Of several consumers of events or dead letters the oldest is
// served. The next one is served when that one has stopped and has settled its deliveries.
func (b *Broker) Subscribe(_ context.Context, service string, q broker.Queue, prefetch int) (broker.Consumer, error) {
	if prefetch < 1 {
		return nil, fmt.Errorf("subscribe to the %s of %s: a prefetch of %d", q, service, prefetch)
	}
	prefetch = min(prefetch, queueMessages)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return nil, fmt.Errorf("subscribe to the %s of %s: %w", q, service, broker.ErrClosed)
	}
	c := &consumer{
		q: b.queue(service, q), prefetch: prefetch,
		held: map[*item]*settler{}, deliveries: make(chan broker.Delivery, prefetch),
	}
	c.q.consumers = append(c.q.consumers, c)
	c.q.serve()
	return c, nil
}

// consumer is a subscription. The lock of the broker guards it and the sending end of its channel. The channel never
// fills up: its capacity is the prefetch.
type consumer struct {
	q          *queue
	prefetch   int
	out        int // handed out, and not settled yet
	held       map[*item]*settler
	deliveries chan broker.Delivery
	stopped    bool
}

func (c *consumer) Deliveries() <-chan broker.Delivery { return c.deliveries }

func (c *consumer) takes() bool { return !c.stopped && c.out < c.prefetch }

func (c *consumer) hand(it *item) {
	s := &settler{c: c, it: it}
	c.held[it] = s
	c.out++
	c.deliveries <- broker.Delivery{
		Message: *it.message, Service: c.q.name.service, Queue: c.q.name.kind,
		Err: it.err, Redelivered: it.redelivered, Attempts: it.attempts, Reason: it.reason, At: it.at, Settler: s,
	}
}

// Stop takes no more messages and closes Deliveries. Received deliveries can still be settled.
func (c *consumer) Stop(context.Context) error {
	c.q.b.mu.Lock()
	defer c.q.b.mu.Unlock()
	c.stop()
	c.q.serve()
	return nil
}

// Close returns all unsettled messages to the queue and ends the subscription.
func (c *consumer) Close() error {
	c.q.b.mu.Lock()
	defer c.q.b.mu.Unlock()
	c.end()
	c.q.serve()
	return nil
}

// stop returns unread messages to the queue. The lock is held, as in the following methods.
func (c *consumer) stop() {
	if c.stopped {
		return
	}
	c.stopped = true
	for unread := true; unread; {
		select {
		case d := <-c.deliveries:
			s := d.Settler.(*settler)
			delete(c.held, s.it)
			c.out--
			c.q.giveBack(s.it)
		default:
			unread = false
		}
	}
	close(c.deliveries)
	c.leave()
}

func (c *consumer) end() {
	c.stop()
	for it := range c.held {
		it.redelivered = true
		it.attempts++
		c.out--
		c.q.giveBack(it)
	}
	clear(c.held)
	c.leave()
}

func (c *consumer) leave() {
	if c.stopped && c.out == 0 {
		c.q.leave(c)
	}
}

// claim takes a message from those that the consumer holds. It returns false when the message was settled or released
// before.
func (c *consumer) claim(s *settler) bool {
	if c.held[s.it] != s {
		return false
	}
	delete(c.held, s.it)
	return true
}

// settled completes the settling of a claimed message.
func (c *consumer) settled() {
	c.out--
	c.leave()
	c.q.serve()
}

// settler settles one delivery.
type settler struct {
	c  *consumer
	it *item
}

func (s *settler) Ack() error {
	b, c, it := s.c.q.b, s.c, s.it
	b.mu.Lock()
	if !c.claim(s) {
		b.mu.Unlock()
		return nil
	}
	if c.q.name.kind == broker.Dead {
		if err := b.deleteDead(c.q, it); err != nil {
			c.q.giveBack(it)
			c.settled()
			b.mu.Unlock()
			return err
		}
	}
	c.q.free(it)
	last := b.handled.settle(it.message.ID, it.copies)
	c.settled()
	fns := b.handled.fns
	b.mu.Unlock()
	if last {
		call(fns, it.message.ID)
	}
	return nil
}

// Release returns the message to its place in the queue.
func (s *settler) Release() error {
	b := s.c.q.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.c.claim(s) {
		s.it.redelivered = true
		s.c.q.giveBack(s.it)
		s.c.settled()
	}
	return nil
}

// Reject moves the message to the dead queue of its service. A dead letter stays where it is.
func (s *settler) Reject(reason string) error {
	b, c, it := s.c.q.b, s.c, s.it
	if c.q.name.kind == broker.Dead {
		return s.Release()
	}
	b.mu.Lock()
	if !c.claim(s) {
		b.mu.Unlock()
		return nil
	}
	b.mu.Unlock()
	letter, err := b.storeDead(c.q.name.service, it, reason)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		it.redelivered = true
		c.q.giveBack(it)
	} else {
		c.q.free(it)
		b.addDead(c.q.name.service, letter)
	}
	c.settled()
	return err
}
