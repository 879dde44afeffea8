package embedded

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"stega/broker"
	"stega/events"
)

// Publish hands a message over: an event to the log and from there to each service that subscribed to its topic, a
// command to the queue of its service. It waits while one of these queues, or the window of unconfirmed messages, is
// full.
func (b *Broker) Publish(ctx context.Context, m broker.Outgoing, done func(error)) error {
	f := &flight{message: &m.Message, done: done}
	f.message.Time = m.Time.Round(0).UTC() // as it would come off a wire
	f.size = overhead + len(m.Data)
	var header nats.Header
	if m.Service == "" {
		header = encode(f.message)
		if n := sizeOf(header) + len(m.Data); n > maxMessage {
			return fmt.Errorf("publish %s: %w: it has %d bytes, %d are allowed", m.ID, broker.ErrNacked, n, maxMessage)
		}
	}
	if err := b.reserve(ctx, f, m.Service); err != nil {
		return fmt.Errorf("publish %s: %w", m.ID, err)
	}
	if !b.pipe.send(f, header) {
		return fmt.Errorf("publish %s: %w", m.ID, broker.ErrClosed)
	}
	return nil
}

// reserve finds where a message goes and waits until there is room for it everywhere.
func (b *Broker) reserve(ctx context.Context, f *flight, service string) error {
	for {
		b.mu.Lock()
		if b.closing {
			b.mu.Unlock()
			return broker.ErrClosed
		}
		if b.fits(f, service) {
			b.flight.add(f.size)
			for _, q := range f.targets {
				q.load.add(f.size)
			}
			b.mu.Unlock()
			return nil
		}
		if b.room == nil {
			b.room = make(chan struct{})
		}
		room := b.room
		b.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fits sets where a message goes, and says whether there is room for it. The lock is held.
func (b *Broker) fits(f *flight, service string) bool {
	f.targets, f.answered, f.err = nil, false, nil
	switch _, declared := b.services[service]; {
	case service == "":
		f.targets = b.bound[f.message.Type]
	case declared:
		f.targets, f.answered = []*queue{b.queue(service, broker.Commands)}, true
	default:
		f.answered, f.err = true, fmt.Errorf("%w: service %s", broker.ErrUnroutable, service)
	}
	if !b.flight.fits(f.size, flightMessages, flightBytes) {
		return false
	}
	for _, q := range f.targets {
		if !q.load.fits(f.size, queueMessages, queueBytes) {
			return false
		}
	}
	return true
}

// flight is a message between Publish and its answer.
type flight struct {
	message  *events.Message
	targets  []*queue
	size     int
	done     func(error)
	sent     time.Time
	answered bool
	err      error
}

// answerLimit is how long the log may take to store a message; it takes far less than a millisecond.
const answerLimit = 30 * time.Second

// pipeline brings messages through the log to their queues in the order they were published, however many are
// on their way at a time.
type pipeline struct {
	b      *Broker
	prefix string // of the subject that an answer of the log comes on; the number of the flight follows

	order sync.Mutex // held while a message gets its place in flights and on the connection

	mu      sync.Mutex
	closed  bool
	flights []*flight // in the order they were published
	first   uint64    // the number of the first of them

	bell     chan struct{} // the first flight was answered
	answers  chan struct{} // settled has something
	settled  []*flight     // to be told to their publishers; guarded by mu
	finished sync.WaitGroup
}

func (p *pipeline) open(b *Broker) error {
	p.b, p.prefix = b, nats.NewInbox()+"."
	p.bell, p.answers = make(chan struct{}, 1), make(chan struct{}, 1)
	sub, err := b.srv.conn.Subscribe(p.prefix+"*", p.answer)
	if err != nil {
		return fmt.Errorf("listen for the answers of the log: %w", err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return fmt.Errorf("listen for the answers of the log: %w", err)
	}
	b.srv.upsets.Lock()
	b.srv.upset = func(err error) { p.fail(fmt.Errorf("%w: %w", broker.ErrUnknown, cause(err))) }
	b.srv.upsets.Unlock()
	p.finished.Go(p.deliver)
	p.finished.Go(p.tell)
	return nil
}

// close answers all that is on its way with ErrUnknown, and returns when every publisher was told.
func (p *pipeline) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.fail(broker.ErrUnknown)
	p.finished.Wait()
}

// send puts a message on its way; it says false when the pipeline is closed.
func (p *pipeline) send(f *flight, header nats.Header) bool {
	p.order.Lock()
	defer p.order.Unlock()
	f.sent = p.b.now()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return false
	}
	n := p.first + uint64(len(p.flights))
	p.flights = append(p.flights, f)
	answered := f.answered
	p.mu.Unlock()
	if answered { // it does not go through the log
		ring(p.bell)
		return true
	}
	msg := &nats.Msg{Subject: logStream, Reply: p.prefix + strconv.FormatUint(n, 36), Header: header, Data: f.message.Data}
	if err := p.b.srv.conn.PublishMsg(msg); err != nil {
		p.settle(n, fmt.Errorf("%w: %w", broker.ErrUnknown, err))
	}
	return true
}

// stored is how the log's answer begins when it stored a message.
var stored = []byte(`{"stream":`)

// answer is called with each answer of the log.
func (p *pipeline) answer(m *nats.Msg) {
	n, err := strconv.ParseUint(m.Subject[len(p.prefix):], 36, 64)
	if err != nil {
		return
	}
	if bytes.HasPrefix(m.Data, stored) && !bytes.Contains(m.Data, []byte(`"error"`)) {
		p.settle(n, nil)
		return
	}
	p.settle(n, fmt.Errorf("%w: %s%s", broker.ErrNacked, m.Header.Get("Status"), m.Data))
}

// settle notes what became of a message in the log.
func (p *pipeline) settle(n uint64, err error) {
	p.mu.Lock()
	i := n - p.first
	known := i < uint64(len(p.flights)) && !p.flights[i].answered
	if known {
		p.flights[i].answered, p.flights[i].err = true, err
	}
	p.mu.Unlock()
	if known && i == 0 {
		ring(p.bell)
	}
}

// fail answers all that is on its way.
func (p *pipeline) fail(err error) {
	p.mu.Lock()
	for _, f := range p.flights {
		if !f.answered {
			f.answered, f.err = true, err
		}
	}
	p.mu.Unlock()
	ring(p.bell)
}

// deliver brings what is answered to its queues, in order.
func (p *pipeline) deliver() {
	defer close(p.answers)
	for range p.bell {
		p.mu.Lock()
		n := 0
		for n < len(p.flights) && p.flights[n].answered {
			n++
		}
		batch := p.flights[:n:n]
		p.flights = p.flights[n:]
		p.first += uint64(n)
		ended := p.closed && len(p.flights) == 0
		p.mu.Unlock()
		if n > 0 {
			p.b.enqueue(batch)
			p.mu.Lock()
			p.settled = append(p.settled, batch...)
			p.mu.Unlock()
			ring(p.answers)
		}
		if ended {
			return
		}
	}
}

// oldest is when the first message was sent that has no answer yet.
func (p *pipeline) oldest() (sent time.Time, waiting bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.flights {
		if !f.answered {
			return f.sent, true
		}
	}
	return time.Time{}, false
}

// tell tells publishers what became of their messages. It stands apart from deliver so that a publisher may publish
// again from there and wait for room.
func (p *pipeline) tell() {
	for open := true; open; {
		_, open = <-p.answers
		p.mu.Lock()
		batch := p.settled
		p.settled = nil
		p.mu.Unlock()
		for _, f := range batch {
			f.done(f.err)
		}
		p.b.told(batch)
	}
}

// enqueue puts the messages that the log took into their queues.
func (b *Broker) enqueue(batch []*flight) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range batch {
		b.flight.sub(f.size)
		before := b.ends.after(f.message.Time)
		for _, q := range f.targets {
			if f.err != nil {
				q.load.sub(f.size)
				continue
			}
			q.put(&item{message: f.message, size: f.size, copies: 1, attempts: before, redelivered: before > 0})
		}
		if f.err == nil {
			b.handled.add(f.message.ID, len(f.targets)+1) // the one more is for telling the publisher first
		}
	}
	b.wake()
	if b.closing {
		return
	}
	for _, f := range batch {
		for _, q := range f.targets {
			q.serve()
		}
	}
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}
