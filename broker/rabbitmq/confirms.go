package rabbitmq

import (
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
)

// sweepEvery is the interval at which all unconfirmed messages are checked, because the oldest may block the others.
const sweepEvery = 50 * time.Millisecond

// entry is a published message without a confirmation yet.
type entry struct {
	exchange, key, id string
	weight            int64
	done              func(error)
	sent              time.Time
	confirmation      *amqp.DeferredConfirmation
}

// confirmChannel is a channel in confirm mode.
type confirmChannel struct {
	p       *publisher
	ch      *amqp.Channel
	closed  chan *amqp.Error
	returns chan amqp.Return
	wake    chan struct{}
	ended   chan struct{}

	mu   sync.Mutex
	sent []entry // not yet taken by settleConfirms
	over bool
}

// publish sends a message. After an error it was not sent.
func (o *confirmChannel) publish(e entry, m amqp.Publishing) (err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return amqp.ErrClosed
	}
	e.sent = time.Now()
	if e.confirmation, err = o.ch.PublishWithDeferredConfirm(e.exchange, e.key, true, false, m); err != nil {
		return err
	}
	o.sent = append(o.sent, e)
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return nil
}

// ending reports whether a publish failed because the channel ends.
func (o *confirmChannel) ending(err error) bool {
	if errors.Is(err, amqp.ErrClosed) {
		return true
	}
	select { // a failed write ends the connection in the background
	case <-o.ended:
		return true
	case <-time.After(time.Second):
		return false
	}
}

// take moves the newly sent entries to the end of queue.
func (o *confirmChannel) take(queue []entry) []entry {
	o.mu.Lock()
	defer o.mu.Unlock()
	queue = append(queue, o.sent...)
	clear(o.sent)
	o.sent = o.sent[:0]
	return queue
}

// settleConfirms reports the outcome of each message, until the channel ends.
//
// A returned message is confirmed right after its return, like any other. The library's reader delivers a return, to
// this goroutine and unbuffered, before it reads the confirmation. So a return is received here before its
// confirmation.
func (o *confirmChannel) settleConfirms() error {
	var (
		queue    []entry
		returned = map[[3]string]int{}
		returns  = o.returns
		sweep    = time.NewTicker(sweepEvery)
		reason   error
	)
	defer sweep.Stop()
	for ended := false; !ended; {
		queue = o.take(queue)
		n := 0
		for n < len(queue) && isDone(queue[n].confirmation) {
			n++
		}
		o.finish(queue[:n], returned)
		queue = queue[n:]
		if n > 0 {
			continue // more may be confirmed meanwhile
		}
		var first <-chan struct{}
		if len(queue) > 0 {
			first = queue[0].confirmation.Done()
		}
		select {
		case <-first:
		case <-o.wake:
		case r, open := <-returns:
			if !open {
				returns = nil
				continue
			}
			returned[[3]string{r.Exchange, r.RoutingKey, r.MessageId}]++
		case <-sweep.C:
			queue = o.sweep(queue, returned)
		case e := <-o.closed:
			ended = true
			if e != nil {
				reason = e
			}
		}
	}
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
	close(o.ended)
	queue = o.take(queue)
	o.p.set(nil, reason)
	results := make([]outcome, 0, len(queue))
	var weight int64
	for _, e := range queue {
		weight += e.weight
		results = append(results, outcome{e.done, o.outcomeOf(e, returned, reason)})
	}
	o.p.window.Release(weight)
	o.p.outcomes.add(results)
	return reason
}

func isDone(c *amqp.DeferredConfirmation) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

// finish reports the outcomes of finished entries.
func (o *confirmChannel) finish(entries []entry, returned map[[3]string]int) {
	if len(entries) == 0 {
		return
	}
	var weight int64
	results := make([]outcome, len(entries))
	for i, e := range entries {
		weight += e.weight
		results[i] = outcome{e.done, o.outcomeOf(e, returned, nil)}
		if results[i].err == nil {
			o.p.refusals.allowed(o.p.b, e.exchange, e.key)
		}
	}
	clear(entries)
	o.p.window.Release(weight)
	o.p.outcomes.add(results)
}

func (o *confirmChannel) outcomeOf(e entry, returned map[[3]string]int, reason error) error {
	key := [3]string{e.exchange, e.key, e.id}
	switch {
	case isDone(e.confirmation) && e.confirmation.Acked():
		if len(returned) > 0 && returned[key] > 0 {
			if returned[key]--; returned[key] == 0 {
				delete(returned, key)
			}
			return fmt.Errorf("%w: %s with routing key %s", broker.ErrUnroutable, e.exchange, e.key)
		}
		return nil
	case o.ch.IsClosed() || !isDone(e.confirmation): // the library reports the end of the channel as a nack
		var e *amqp.Error
		if errors.As(reason, &e) && offending(e) {
			return fmt.Errorf("%w: %w (%w)", broker.ErrUnknown, broker.ErrInvalid, reason)
		}
		if reason != nil {
			return fmt.Errorf("%w (%w)", broker.ErrUnknown, reason)
		}
		return broker.ErrUnknown
	}
	return broker.ErrNacked
}

// offending reports whether the server ended a channel or connection because of a message on it, such as one that is
// too large.
func offending(e *amqp.Error) bool {
	switch e.Code {
	case amqp.PreconditionFailed, amqp.ContentTooLarge, amqp.FrameError, amqp.SyntaxError:
		return e.Server
	}
	return false
}

// sweep finishes entries that were confirmed out of order or waited too long. While the server blocks publishers, and
// for one timeout afterwards, none has waited too long.
func (o *confirmChannel) sweep(queue []entry, returned map[[3]string]int) []entry {
	blocked, unblocked := o.p.b.out.block()
	timeout := o.p.b.cfg.ConfirmTimeout
	now := time.Now()
	var late []entry
	left := queue[:0]
	for _, e := range queue {
		since := e.sent
		if unblocked.After(since) {
			since = unblocked
		}
		if isDone(e.confirmation) || blocked == "" && now.Sub(since) > timeout {
			late = append(late, e)
		} else {
			left = append(left, e)
		}
	}
	clear(queue[len(left):])
	o.finish(late, returned)
	return left
}

// outcome is the error, or nil, for a done function.
type outcome struct {
	done func(error)
	err  error
}

// outcomes calls the done functions one after the other. They may publish, and so wait for settleConfirms; so they
// run on another goroutine.
type outcomes struct {
	mu     sync.Mutex
	queue  []outcome
	wake   chan struct{}
	ending chan struct{}
}

func newOutcomes() *outcomes {
	return &outcomes{wake: make(chan struct{}, 1), ending: make(chan struct{})}
}

func (a *outcomes) add(results []outcome) {
	a.mu.Lock()
	a.queue = append(a.queue, results...)
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// end is called after the last add.
func (a *outcomes) end() { close(a.ending) }

func (a *outcomes) run() {
	for {
		a.mu.Lock()
		batch := a.queue
		a.queue = nil
		a.mu.Unlock()
		for _, r := range batch {
			r.done(r.err)
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-a.wake:
		case <-a.ending:
			a.mu.Lock()
			rest := len(a.queue)
			a.mu.Unlock()
			if rest == 0 {
				return
			}
		}
	}
}
