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

// publisher sends messages over one channel after another. The window is one semaphore. Each message weighs its
// bytes, and at least its share of the window, so that the window limits both number and bytes.
type publisher struct {
	b        *Broker
	window   *semaphore.Weighted
	full     int64
	share    int64
	outcomes *outcomes

	refusals refusals

	mu      sync.Mutex
	channel *confirmChannel
	changed chan struct{} // closed and replaced at every change of channel
	err     error         // why the last channel ended
}

func newPublisher(b *Broker) *publisher {
	share := max(b.cfg.WindowBytes/int64(b.cfg.Window), 1)
	full := share * int64(b.cfg.Window)
	return &publisher{
		b: b, window: semaphore.NewWeighted(full), full: full, share: share,
		outcomes: newOutcomes(), changed: make(chan struct{}),
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

// send waits for space in the window and for a channel.
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
	if err := p.refusals.pending(exchange, key); err != nil {
		p.outcomes.add([]outcome{{done, err}})
		return nil //nolint:nilerr // done receives it
	}
	if !p.window.TryAcquire(e.weight) {
		untilClosed, cancel := p.b.untilClosed(ctx)
		err := p.window.Acquire(untilClosed, e.weight)
		if err != nil {
			err = context.Cause(untilClosed)
		}
		cancel()
		if err != nil {
			return err
		}
	}
	for {
		o, err := p.awaitChannel(ctx)
		if err == nil {
			err = o.publish(e, m)
			if err == nil {
				return nil
			}
			if o.ending(err) {
				p.drop(o) // nothing was sent, so the next channel sends it
				continue
			}
		}
		p.window.Release(e.weight)
		return err
	}
}

// awaitChannel waits for an unblocked channel.
func (p *publisher) awaitChannel(ctx context.Context) (*confirmChannel, error) {
	p.mu.Lock()
	o := p.channel
	p.mu.Unlock()
	if blocked, _ := p.b.out.block(); o != nil && blocked == "" && p.b.open.Err() == nil {
		return o, nil
	}
	ctx, cancel := p.b.untilClosed(ctx)
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

func (p *publisher) set(o *confirmChannel, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.channel, p.err = o, err
	close(p.changed)
	p.changed = make(chan struct{})
}

// drop removes an ended channel.
func (p *publisher) drop(o *confirmChannel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.channel == o {
		p.channel = nil
	}
}

// lastError returns why the last channel ended, while there is no other.
func (p *publisher) lastError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// settle waits until all messages are confirmed.
func (p *publisher) settle(timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if p.window.Acquire(ctx, p.full) == nil {
		p.window.Release(p.full)
	}
}

// run maintains a channel for publishing.
func (p *publisher) run() {
	defer p.outcomes.end()
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
		o, err := p.newConfirmChannel(conn)
		if err == nil {
			p.set(o, nil)
			err = o.settleConfirms()
			p.refusals.add(p.b, err)
		}
		if err != nil && p.b.life.Err() == nil {
			p.b.log.Warn("the publishing channel ended, opening another", "error", err)
		}
		if time.Since(began) > p.b.cfg.MaxBackoff {
			pause.Reset()
		} else if !pause.Sleep(p.b.life) {
			return
		}
	}
}

func (p *publisher) newConfirmChannel(conn *connection) (*confirmChannel, error) {
	ch, err := conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	if err := ch.Confirm(false); err != nil {
		return nil, fmt.Errorf("enable confirms: %w", errors.Join(err, ch.Close()))
	}
	return &confirmChannel{
		p: p, ch: ch, wake: make(chan struct{}, 1), ended: make(chan struct{}),
		closed:  ch.NotifyClose(make(chan *amqp.Error, 1)),
		returns: ch.NotifyReturn(make(chan amqp.Return)), // unbuffered: see settleConfirms
	}, nil
}
