package rabbitmq

import (
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
)

// sweepEvery is how often all that is unconfirmed is looked at, when the oldest makes the others wait.
const sweepEvery = 50 * time.Millisecond

// entry is one message on its way.
type entry struct {
	exchange, key, id string
	weight            int64
	done              func(error)
	sent              time.Time
	confirmation      *amqp.DeferredConfirmation
}

// outlet is one channel in confirm mode.
type outlet struct {
	p       *publisher
	ch      *amqp.Channel
	closed  chan *amqp.Error
	returns chan amqp.Return
	wake    chan struct{}
	ended   chan struct{}

	mu   sync.Mutex
	sent []entry // and not yet seen by judge
	over bool
}

// publish sends a message. An error says that it was not sent.
func (o *outlet) publish(e entry, m amqp.Publishing) (err error) {
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
func (o *outlet) ending(err error) bool {
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

// take moves what was sent since to the end of queue.
func (o *outlet) take(queue []entry) []entry {
	o.mu.Lock()
	defer o.mu.Unlock()
	queue = append(queue, o.sent...)
	clear(o.sent)
	o.sent = o.sent[:0]
	return queue
}

// judge decides what became of each message, until the channel ends.
//
// A message that was returned is confirmed right after, as if all were well. The library's reader hands over a return,
// to this goroutine and unbuffered, before it reads the confirmation: so when a confirmation is seen here, the
// return before it was seen here too.
func (o *outlet) judge() error {
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
		o.answer(queue[:n], returned)
		queue = queue[n:]
		if n > 0 {
			continue // more may have come meanwhile
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
	results := make([]answer, 0, len(queue))
	var weight int64
	for _, e := range queue {
		weight += e.weight
		results = append(results, answer{e.done, o.verdict(e, returned, reason)})
	}
	o.p.window.Release(weight)
	o.p.answers.add(results)
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

// answer tells the senders of entries that are done.
func (o *outlet) answer(entries []entry, returned map[[3]string]int) {
	if len(entries) == 0 {
		return
	}
	var weight int64
	results := make([]answer, len(entries))
	for i, e := range entries {
		weight += e.weight
		results[i] = answer{e.done, o.verdict(e, returned, nil)}
		if results[i].err == nil {
			o.p.refusals.allowed(o.p.b, e.exchange, e.key)
		}
	}
	clear(entries)
	o.p.window.Release(weight)
	o.p.answers.add(results)
}

func (o *outlet) verdict(e entry, returned map[[3]string]int, reason error) error {
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
	case o.ch.IsClosed() || !isDone(e.confirmation): // the library takes an end of the channel for a refusal
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

// offending reports whether the server ended a channel or connection because of what was sent on it, such as a
// message that is too large.
func offending(e *amqp.Error) bool {
	switch e.Code {
	case amqp.PreconditionFailed, amqp.ContentTooLarge, amqp.FrameError, amqp.SyntaxError:
		return e.Server
	}
	return false
}

// sweep answers what was confirmed out of order, and what has waited too long; while the server takes no messages,
// and until it has had its time afterwards, nothing has.
func (o *outlet) sweep(queue []entry, returned map[[3]string]int) []entry {
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
	o.answer(late, returned)
	return left
}

// answer is what a done function is to be told.
type answer struct {
	done func(error)
	err  error
}

// answers calls the done functions, one after the other: apart from judge, as they may publish, and so wait for judge.
type answers struct {
	mu     sync.Mutex
	queue  []answer
	wake   chan struct{}
	ending chan struct{}
}

func newAnswers() *answers {
	return &answers{wake: make(chan struct{}, 1), ending: make(chan struct{})}
}

func (a *answers) add(results []answer) {
	a.mu.Lock()
	a.queue = append(a.queue, results...)
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// end is called when no more are added.
func (a *answers) end() { close(a.ending) }

func (a *answers) run() {
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
