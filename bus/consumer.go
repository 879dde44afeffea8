package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun/dialect"

	"stega/broker"
	"stega/internal/backoff"
	"stega/store"
)

// Consumer is the event loop and the job runner of one service: it takes events and deferred commands from
// the broker and dispatches them through the same dispatcher as the command bus.
type Consumer struct {
	Dispatcher *Dispatcher
	DB         *store.DB
	Broker     Source
	Log        *slog.Logger
	Options    ConsumerOptions

	pauses pauses
	hands  hands
	lacks  atomic.Pointer[[]broker.Lack]
}

// Source is the part of a broker that a Consumer uses. When it is a broker.Inspector too, the consumer watches over
// its queues and bindings.
type Source interface {
	broker.Subscriber
	broker.Log
}

// ConsumerOptions has what can be set; zero values mean the defaults.
type ConsumerOptions struct {
	// subjects are spread over them; one for each processor from 2 to 4, and 1 on SQLite, which has one writer
	Lanes      int
	Prefetch   int // events taken from the broker and not settled yet, 1024
	Batch      int // events in one unit of work at most, 128
	BatchBytes int // their data at most, 4 MiB
	Jobs       int // deferred commands at a time, 2

	QuickRetries int           // tries in place before a message is parked, 3
	QuickDelay   time.Duration // before the first of them, doubling, 20 ms
	RetryBase    time.Duration // a parked message's first delay, doubling, 1 s
	RetryMax     time.Duration // and its longest, 5 min
	MaxAttempts  int           // until a message is dead, 10

	BreakAfter int           // subjects that fail in a row until nothing more is parked, 5
	ProbeBase  time.Duration // between tries while something is away, doubling, 100 ms
	ProbeMax   time.Duration // and the longest, 5 s
	// between looks for messages that another process has parked or revived, 5 s; 10 s on SQLite, which has one
	Poll time.Duration

	Inspect time.Duration // between checks that queues and bindings exist, 3 s
	Verify  time.Duration // between comparisons of the log with the inbox, 30 s

	JobLease time.Duration // how long a job that was tried again is left alone; longer than any job may run, 20 min
	Grace    time.Duration // for finishing what is in flight when it ends, 20 s
	Metrics  *Metrics
}

func (o ConsumerOptions) withDefaults(db *store.DB) ConsumerOptions {
	lanes, poll := 1, 10*time.Second
	if db.Read().Dialect().Name() == dialect.PG {
		// one waits for its commit while another works; more only make the units smaller
		lanes, poll = min(max(runtime.GOMAXPROCS(0), 2), 4), 5*time.Second
	}
	o.Lanes = cmp.Or(o.Lanes, lanes)
	o.Prefetch = cmp.Or(o.Prefetch, 1024)
	o.Batch = cmp.Or(o.Batch, 128)
	o.BatchBytes = cmp.Or(o.BatchBytes, 4<<20)
	o.Jobs = cmp.Or(o.Jobs, 2)
	o.QuickRetries = cmp.Or(o.QuickRetries, 3)
	o.QuickDelay = cmp.Or(o.QuickDelay, 20*time.Millisecond)
	o.RetryBase = cmp.Or(o.RetryBase, time.Second)
	o.RetryMax = cmp.Or(o.RetryMax, 5*time.Minute)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, 10)
	o.BreakAfter = cmp.Or(o.BreakAfter, 5)
	o.ProbeBase = cmp.Or(o.ProbeBase, 100*time.Millisecond)
	o.ProbeMax = cmp.Or(o.ProbeMax, 5*time.Second)
	o.Poll = cmp.Or(o.Poll, poll)
	o.Inspect = cmp.Or(o.Inspect, 3*time.Second)
	o.Verify = cmp.Or(o.Verify, 30*time.Second)
	o.JobLease = cmp.Or(o.JobLease, JobTimeout+5*time.Minute)
	o.Grace = cmp.Or(o.Grace, 20*time.Second)
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	return o
}

// Paused returns why the consumer takes no messages at present; empty when it takes them.
func (c *Consumer) Paused() string { return c.pauses.reason() }

// Hung returns the handler that has run for longer than any should, and its message; empty when none has.
func (c *Consumer) Hung() string { return c.hands.hung() }

// errEnded is the error of a consumer whose subscription ended before the consumer was stopped.
var errEnded = errors.New("the broker ended a subscription")

// unitLimit bounds a unit of work of the event loop, so that a database that hangs is noticed. It is more than a
// handler has.
const unitLimit = 2 * HandlerTimeout

// Run consumes until ctx ends, and then finishes what is in flight. It calls ready once it has subscribed.
func (c *Consumer) Run(ctx context.Context, ready func()) error {
	if err := c.Dispatcher.Seal(); err != nil {
		return fmt.Errorf("service %s: %w", c.Dispatcher.service, err)
	}
	l := newLoop(c)
	queues := []struct {
		queue    broker.Queue
		prefetch int
		take     func(context.Context, <-chan broker.Delivery)
	}{
		{broker.Dead, deadPrefetch, l.dead}, // first: what is there holds what comes after it
		{broker.Events, l.opts.Prefetch, l.events},
		{broker.Commands, l.opts.Jobs, l.jobs},
	}
	// Handlers outlive ctx: they have the grace period to finish.
	working, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	var subs []broker.Consumer
	var err error
	ended := make(chan struct{}, len(queues))
	var takers, workers sync.WaitGroup
	for _, q := range queues {
		var sub broker.Consumer
		if sub, err = c.Broker.Subscribe(ctx, l.service, q.queue, q.prefetch); err != nil {
			err = fmt.Errorf("subscribe to the %s of %s: %w", q.queue, l.service, err)
			if ctx.Err() != nil {
				err = nil // it ends before the broker was there
			}
			break
		}
		subs = append(subs, sub)
		takers.Go(func() {
			q.take(working, sub.Deliveries())
			ended <- struct{}{}
		})
		if q.queue == broker.Dead {
			l.awaitDeadQueue(ctx)
		}
	}
	if err == nil && ctx.Err() == nil {
		workers.Go(func() { l.redrive(working) })
		if l.watcher != nil {
			workers.Go(func() { l.watcher.watch(working) })
		}
		ready()
		select {
		case <-ctx.Done():
		case <-ended:
			err = errEnded
		}
	}
	return errors.Join(err, l.drain(ctx, abort, subs, func() { takers.Wait(); workers.Wait() }))
}

// awaitDeadQueue blocks until the dead queue is empty, for a limited time.
func (l *loop) awaitDeadQueue(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, deadFirst)
	defer cancel()
	for round := 0; ; round++ {
		n, err := l.broker.Depth(ctx, l.service, broker.Dead)
		if err != nil || n == 0 || !l.sleep(ctx, backoff.Exponential(time.Millisecond, 100*time.Millisecond, round)) {
			return
		}
	}
}

// drain takes no more messages, lets what runs finish, gives back the rest, and closes the subscriptions.
func (l *loop) drain(ctx context.Context, abort func(), subs []broker.Consumer, wait func()) error {
	close(l.draining)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.opts.Grace)
	defer cancel()
	var errs []error
	for _, sub := range subs {
		if err := sub.Stop(grace); err != nil && !errors.Is(err, broker.ErrClosed) {
			errs = append(errs, fmt.Errorf("stop a subscription: %w", err))
		}
	}
	idle := make(chan struct{})
	go func() {
		wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-grace.Done():
		l.log.Warn("the grace period is over: what still runs is given up, and will be delivered again")
		abort()
		select {
		case <-idle:
		case <-time.After(l.opts.Grace/10 + 100*time.Millisecond):
			errs = append(errs, errors.New("a handler did not end although its time was up"))
		}
	}
	for _, sub := range subs {
		if err := sub.Close(); err != nil && !errors.Is(err, broker.ErrClosed) {
			errs = append(errs, fmt.Errorf("close a subscription: %w", err))
		}
	}
	return errors.Join(errs...)
}

// loop is what the parts of a running consumer share.
type loop struct {
	service  string
	d        *Dispatcher
	db       *store.DB
	broker   Source
	watcher  *watcher // nil for a broker whose parts cannot vanish
	log      *slog.Logger
	opts     ConsumerOptions
	breaker  *breaker
	pauses   *pauses
	hands    *hands
	inHand   atomic.Int64  // deliveries of commands that are not settled
	draining chan struct{} // closed when nothing new is to begin
	due      chan struct{} // wakes the redriver
}

func newLoop(c *Consumer) *loop {
	opts := c.Options.withDefaults(c.DB)
	service := c.Dispatcher.service
	l := &loop{
		service: service, d: c.Dispatcher, db: c.DB, broker: c.Broker, log: c.Log, opts: opts,
		breaker: newBreaker(opts.BreakAfter, &c.pauses, opts.Metrics.breaker.WithLabelValues(service)),
		pauses:  &c.pauses, hands: &c.hands, draining: make(chan struct{}), due: make(chan struct{}, 1),
	}
	if inspector, ok := c.Broker.(broker.Inspector); ok {
		l.watcher = &watcher{loop: l, inspector: inspector, lacks: &c.lacks, held: make(chan broker.Delivery),
			turn: make(chan struct{}, 1)}
	}
	return l
}

// sleep waits; false means that the consumer is to end.
func (l *loop) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.draining:
		return false
	case <-ctx.Done():
		return false
	}
}

func (l *loop) isDraining() bool {
	select {
	case <-l.draining:
		return true
	default:
		return false
	}
}

// wake makes the redriver look for parked messages.
func (l *loop) wake() {
	select {
	case l.due <- struct{}{}:
	default:
	}
}

// settled counts an outcome of a message for a handler.
func (l *loop) settled(handler, outcome string) {
	l.opts.Metrics.settled.WithLabelValues(l.service, handler, outcome).Inc()
}

// logSettling logs an error of settling a delivery. The broker delivers it again, and the inbox drops the duplicate.
func (l *loop) logSettling(err error) {
	if err != nil {
		l.log.Debug("a delivery could not be settled", "error", err)
	}
}
