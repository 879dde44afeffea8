package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/semaphore"

	"stega/broker"
	"stega/internal/backoff"
)

// publisher sends messages over one channel after another. The window is one semaphore: each message weighs its
// bytes, and at least its share of the window, so that it bounds both number and bytes.
type publisher struct {
	b       *Broker
	window  *semaphore.Weighted
	full    int64
	share   int64
	answers *answers

	refusals refusals

	mu      sync.Mutex
	channel *outlet
	changed chan struct{} // closed at every change of channel, and replaced
	err     error         // why the last channel ended
}

func newPublisher(b *Broker) *publisher {
	share := max(b.cfg.WindowBytes/int64(b.cfg.Window), 1)
	full := share * int64(b.cfg.Window)
	return &publisher{
		b: b, window: semaphore.NewWeighted(full), full: full, share: share,
		answers: newAnswers(), changed: make(chan struct{}),
	}
}

// Publish implements broker.Broker.
func (b *Broker) Publish(ctx context.Context, m broker.Outgoing, done func(error)) error {
	if b.open.Err() != nil {
		return broker.ErrClosed
	}
	p, err := encode(m.Message)
	if err != nil {
		return fmt.Errorf("publish %s: %w", m.Type, err)
	}
	if m.Service == "" {
		return b.pub.send(ctx, b.names.events(), m.Type, p, done)
	}
	return b.pub.send(ctx, b.names.commands(), m.Service, p, done)
}

// send waits for room in the window and for a channel.
func (p *publisher) send(ctx context.Context, exchange, key string, m amqp.Publishing, done func(error)) error {
	if len(key) > maxShort {
		return fmt.Errorf("the routing key is longer than %d bytes", maxShort)
	}
	e := entry{
		exchange: exchange, key: key, id: m.MessageId, done: done,
		weight: min(max(int64(len(m.Body)), p.share), p.full),
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.refusals.holds(exchange, key); err != nil {
		p.answers.add([]answer{{done, err}})
		return nil //nolint:nilerr // the answer carries it
	}
	if !p.window.TryAcquire(e.weight) {
		either, cancel := p.b.either(ctx)
		err := p.window.Acquire(either, e.weight)
		if err != nil {
			err = context.Cause(either)
		}
		cancel()
		if err != nil {
			return err
		}
	}
	for {
		o, err := p.outlet(ctx)
		if err == nil {
			err = o.publish(e, m)
			if err == nil {
				return nil
			}
			if o.ending(err) {
				p.drop(o) // nothing of the message was sent, so the next channel takes it
				continue
			}
		}
		p.window.Release(e.weight)
		return err
	}
}

// outlet waits for a channel that takes messages.
func (p *publisher) outlet(ctx context.Context) (*outlet, error) {
	p.mu.Lock()
	o := p.channel
	p.mu.Unlock()
	if blocked, _ := p.b.out.block(); o != nil && blocked == "" && p.b.open.Err() == nil {
		return o, nil
	}
	ctx, cancel := p.b.either(ctx)
	defer cancel()
	for {
		p.b.out.mu.Lock()
		blocked, moved := p.b.out.blocked, p.b.out.changed
		p.b.out.mu.Unlock()
		p.mu.Lock()
		var changed chan struct{}
		o, changed = p.channel, p.changed
		p.mu.Unlock()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if o != nil && blocked == "" {
			return o, nil
		}
		select {
		case <-changed:
		case <-moved:
		case <-ctx.Done():
		}
	}
}

func (p *publisher) set(o *outlet, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.channel, p.err = o, err
	close(p.changed)
	p.changed = make(chan struct{})
}

// drop forgets a channel that was found to have ended.
func (p *publisher) drop(o *outlet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.channel == o {
		p.channel = nil
	}
}

// trouble is why the channel to publish on ended, while there is no other.
func (p *publisher) trouble() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// settle waits until nothing is unconfirmed.
func (p *publisher) settle(timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if p.window.Acquire(ctx, p.full) == nil {
		p.window.Release(p.full)
	}
}

// run keeps a channel to publish on.
func (p *publisher) run() {
	defer p.answers.end()
	pause := backoff.Backoff{Base: backoffBase, Max: p.b.cfg.MaxBackoff}
	for {
		conn, err := p.b.out.get(p.b.life)
		if err != nil {
			if p.b.life.Err() != nil {
				return
			}
			continue
		}
		began := time.Now()
		o, err := p.newOutlet(conn)
		if err == nil {
			p.set(o, nil)
			err = o.judge()
			p.refusals.add(p.b, err)
		}
		if err != nil && p.b.life.Err() == nil {
			p.b.log.Warn("the channel to publish on ended, opening another", "error", err)
		}
		if time.Since(began) > p.b.cfg.MaxBackoff {
			pause.Reset()
		} else if !pause.Sleep(p.b.life) {
			return
		}
	}
}

func (p *publisher) newOutlet(conn *connection) (*outlet, error) {
	ch, err := conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	if err := ch.Confirm(false); err != nil {
		return nil, fmt.Errorf("ask for confirmations: %w", errors.Join(err, ch.Close()))
	}
	return &outlet{
		p: p, ch: ch, wake: make(chan struct{}, 1), ended: make(chan struct{}),
		closed:  ch.NotifyClose(make(chan *amqp.Error, 1)),
		returns: ch.NotifyReturn(make(chan amqp.Return)), // unbuffered: see judge
	}, nil
}
