package rabbitmq

import (
	"context"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
)

// publisher publishes on one channel and keeps track of what is not confirmed. Confirmations are pipelined: many messages are on their way at
// a time, and nobody waits for one of them alone.
type publisher struct {
	session *session
	ch      *amqp.Channel
	timeout time.Duration

	mu      sync.Mutex
	ended   bool
	next    uint64
	pending map[uint64]*pending // by delivery tag
	byID    map[string]*pending // for what is returned
	oldest  uint64
}

type pending struct {
	id       string
	done     func(error)
	at       time.Time
	returned bool
}

func newPublisher(s *session, cfg Config) (*publisher, error) {
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, err
	}
	if err := ch.Confirm(false); err != nil {
		return nil, err
	}
	p := &publisher{session: s, ch: ch, timeout: cfg.ConfirmTimeout, next: 1, oldest: 1, pending: map[uint64]*pending{}, byID: map[string]*pending{}}
	// Without room in these channels, the library hands over what the broker sent one by one and in order: a return before the confirmation
	// of the same message.
	returns := ch.NotifyReturn(make(chan amqp.Return))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation))
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	go p.listen(returns, confirms, closed)
	return p, nil
}

// listen settles what the broker answers, until the channel ends.
func (p *publisher) listen(returns <-chan amqp.Return, confirms <-chan amqp.Confirmation, closed <-chan *amqp.Error) {
	tick := time.NewTicker(p.timeout / 10)
	defer tick.Stop()
	for returns != nil || confirms != nil || closed != nil {
		select {
		case r, ok := <-returns:
			if !ok {
				returns = nil
				continue
			}
			p.mu.Lock()
			if m := p.byID[r.MessageId]; m != nil {
				m.returned = true
			}
			p.mu.Unlock()
		case c, ok := <-confirms:
			if !ok {
				confirms = nil
				continue
			}
			p.confirmed(c)
		case <-closed:
			closed = nil
			// A channel that ends takes its connection with it: a session is whole or over.
			go func() { _ = p.session.conn.Close() }()
		case <-tick.C:
			if p.overdue() {
				go func() { _ = p.session.conn.Close() }()
			}
		}
	}
	p.end()
}

func (p *publisher) confirmed(c amqp.Confirmation) {
	p.mu.Lock()
	m := p.pending[c.DeliveryTag]
	if m != nil {
		delete(p.pending, c.DeliveryTag)
		if p.byID[m.id] == m {
			delete(p.byID, m.id)
		}
	}
	p.mu.Unlock()
	switch {
	case m == nil:
	case !c.Ack:
		m.done(broker.ErrNacked)
	case m.returned:
		m.done(broker.ErrUnroutable)
	default:
		m.done(nil)
	}
}

// overdue reports whether a confirmation does not come.
func (p *publisher) overdue() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.oldest < p.next && p.pending[p.oldest] == nil {
		p.oldest++
	}
	m := p.pending[p.oldest]
	return m != nil && time.Since(m.at) > p.timeout
}

// end answers what will never be confirmed.
func (p *publisher) end() {
	p.mu.Lock()
	left := p.pending
	p.pending, p.byID, p.ended = map[uint64]*pending{}, map[string]*pending{}, true
	p.mu.Unlock()
	for _, m := range left {
		m.done(broker.ErrUnknown)
	}
}

// send publishes one message; false means that the session is over and the message was not sent.
func (p *publisher) send(exchange, key string, m amqp.Publishing, done func(error)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	entry := &pending{id: m.MessageId, done: done, at: time.Now()}
	tag := p.next
	p.next++
	p.pending[tag] = entry
	p.byID[m.MessageId] = entry
	if err := p.ch.PublishWithContext(context.Background(), exchange, key, true, false, m); err != nil {
		// Some of it may have left: the session's end answers it.
		go func() { _ = p.session.conn.Close() }()
	}
	return true
}

// Publish hands a message to the broker; see broker.Broker.
func (b *Broker) Publish(ctx context.Context, m broker.Outgoing, done func(error)) error {
	exchange, key := eventsExchange, m.Type
	if m.Service != "" {
		exchange, key = commandsExchange, m.Service
	}
	return b.to(ctx, exchange, key, publishing(m.Message), done)
}

func (b *Broker) to(ctx context.Context, exchange, key string, m amqp.Publishing, done func(error)) error {
	if b.ctx.Err() != nil {
		return broker.ErrClosed
	}
	select {
	case b.window <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-b.ctx.Done():
		return broker.ErrClosed
	}
	answered := func(err error) {
		<-b.window
		done(err)
	}
	for {
		s, err := b.publish.get(ctx)
		if err != nil {
			<-b.window
			return err
		}
		if s.out.send(exchange, key, m, answered) {
			return nil
		}
		select {
		case <-s.done:
		case <-ctx.Done():
			<-b.window
			return ctx.Err()
		}
	}
}
