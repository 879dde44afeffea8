package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stega/broker"
	"stega/events"
)

const (
	maxMessage   = 8 << 20 // bytes of data
	groupEntries = 256     // that share a transaction
	lookEvery    = time.Second
	pruneEvery   = time.Minute
)

// publication is a message between Publish and its confirmation.
type publication struct {
	message *events.Message
	command bool // it does not go through the log
	targets []*queue
	size    int
	done    func(error)
	err     error
}

// Publish hands a message over: an event to the log and from there to each service that subscribed to its topic, a
// command to the queue of its service. It waits while one of these queues, or the window of unconfirmed messages, is
// full.
func (b *Broker) Publish(ctx context.Context, m broker.Outgoing, done func(error)) error {
	p := &publication{message: &m.Message, command: m.Service != "", size: overhead + len(m.Data), done: done}
	p.message.Time = m.Time.Round(0).UTC() // as it would come off a wire
	if n := len(m.Data); n > maxMessage {
		return fmt.Errorf("publish %s: %w: it has %d bytes, %d are allowed", m.ID, broker.ErrNacked, n, maxMessage)
	}
	for {
		room, err := b.accept(p, m.Service)
		if err != nil {
			return fmt.Errorf("publish %s: %w", m.ID, err)
		}
		if room == nil {
			ring(b.arrived)
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return fmt.Errorf("publish %s: %w", m.ID, ctx.Err())
		}
	}
}

// accept takes a message for the log and its queues. When there is no room, it returns a channel that is closed when
// there may be.
func (b *Broker) accept(p *publication, service string) (room <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return nil, broker.ErrClosed
	}
	if !b.fits(p, service) {
		if b.room == nil {
			b.room = make(chan struct{})
		}
		return b.room, nil
	}
	b.inFlight.add(p.size)
	for _, q := range p.targets {
		q.load.add(p.size)
	}
	b.pending = append(b.pending, p)
	return nil, nil
}

// fits sets where a message goes, and reports whether there is room for it. The lock is held.
func (b *Broker) fits(p *publication, service string) bool {
	p.targets, p.err = nil, nil
	switch _, declared := b.services[service]; {
	case !p.command:
		p.targets = b.bound[p.message.Type]
	case declared:
		p.targets = []*queue{b.queue(service, broker.Commands)}
	default:
		p.err = fmt.Errorf("%w: service %s", broker.ErrUnroutable, service)
	}
	if !b.inFlight.fits(p.size, flightMessages, flightBytes) {
		return false
	}
	for _, q := range p.targets {
		if !q.load.fits(p.size, queueMessages, queueBytes) {
			return false
		}
	}
	return true
}

// write brings messages through the log to their queues, in the order in which they were published, and keeps the file
// within its bounds and in use, until the broker closes.
func (b *Broker) write() {
	defer b.tasks.Done()
	defer close(b.completed)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	pruned := time.Time{}
	for b.ctx.Err() == nil {
		select {
		case <-b.arrived:
			b.writeGroups()
		case <-b.damaged:
			b.replace()
		case <-look.C:
			if b.failing() {
				b.record(b.file.Load().probe())
			}
		case <-b.ctx.Done():
		}
		if now := b.now(); now.Sub(pruned) > pruneEvery || b.file.Load().due() {
			pruned = now
			b.record(b.file.Load().prune(now, logBytes))
		}
	}
	b.mu.Lock()
	rest := b.pending
	b.pending = nil
	b.mu.Unlock()
	for _, p := range rest {
		p.err = broker.ErrUnknown
	}
	b.enqueue(rest)
}

// writeGroups writes what is pending, a transaction for each group.
func (b *Broker) writeGroups() {
	for b.ctx.Err() == nil {
		group := b.group()
		if len(group) == 0 {
			return
		}
		b.store(group)
		b.enqueue(group)
	}
}

// group takes the messages that are stored next.
func (b *Broker) group() []*publication {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.pending), groupEntries)
	group := b.pending[:n:n]
	b.pending = b.pending[n:]
	return group
}

// store stores the events of a group in the log.
func (b *Broker) store(group []*publication) {
	entries := make([]*events.Message, 0, len(group))
	for _, p := range group {
		if !p.command {
			entries = append(entries, p.message)
		}
	}
	if len(entries) == 0 {
		return
	}
	err := b.file.Load().append(entries, b.now())
	b.record(err)
	if err == nil {
		return
	}
	for _, p := range group {
		if !p.command {
			p.err = fmt.Errorf("%w: store it in the event log: %w", broker.ErrNacked, err)
		}
	}
}

// enqueue puts the messages that the log took into their queues.
func (b *Broker) enqueue(group []*publication) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range group {
		b.inFlight.sub(p.size)
		before := b.deliveriesBefore(p.message.Time)
		for _, q := range p.targets {
			if p.err != nil {
				q.load.sub(p.size)
				continue
			}
			q.put(&item{message: p.message, size: p.size, copies: 1, attempts: before, redelivered: before > 0})
		}
		if p.err == nil {
			b.handled.add(p.message.ID, len(p.targets)+1) // the one more is the confirmation, which comes first
		}
	}
	b.answered = append(b.answered, group...)
	ring(b.completed)
	b.wake()
	if b.closing {
		return
	}
	for _, p := range group {
		for _, q := range p.targets {
			q.serve()
		}
	}
}

// confirm calls publishers back. It has a goroutine of its own, so that a publisher may publish again from there and
// wait for room.
func (b *Broker) confirm() {
	defer b.tasks.Done()
	for open := true; open; {
		_, open = <-b.completed
		b.mu.Lock()
		group := b.answered
		b.answered = nil
		b.mu.Unlock()
		for _, p := range group {
			p.done(p.err)
		}
		b.confirmed(group)
	}
}

// record stores the outcome of a write, logs a change of it, and has a damaged file replaced.
func (b *Broker) record(err error) {
	b.mu.Lock()
	before := b.failure
	b.failure = err
	b.mu.Unlock()
	switch {
	case err != nil && before == nil:
		b.log.Warn("the event log cannot be written; it is tried again", "error", err)
	case err == nil && before != nil:
		b.log.Info("the event log can be written again")
	}
	if errors.Is(err, errDamaged) {
		ring(b.damaged)
	}
}

func (b *Broker) failing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failure != nil
}

// replace makes a new file in place of a damaged one. Unhandled messages, dead ones included, come again at the next
// start, or stay in memory until then.
func (b *Broker) replace() {
	old := b.file.Load()
	if err := old.close(); err != nil {
		b.log.Debug("a damaged event log could not be closed", "error", err)
	}
	f, err := replaceFile(b.ctx, b.dir, b.now(), b.log, errDamaged)
	if err != nil {
		b.record(fmt.Errorf("%w: %w", errDamaged, err))
		return
	}
	_, err = f.beginRun(b.ctx, b.now())
	b.file.Store(f)
	b.record(err)
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}
