package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stega/internal/backoff"
	"stega/store"
)

// pauses holds why parts of a consumer wait.
type pauses struct {
	mu  sync.Mutex
	why map[string]string // by worker
}

func (p *pauses) set(worker, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why == nil {
		p.why = map[string]string{}
	}
	p.why[worker] = why
}

func (p *pauses) clear(worker string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.why, worker)
}

func (p *pauses) reason() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.why) == 0 {
		return ""
	}
	return p.why[slices.Min(slices.Collect(maps.Keys(p.why)))]
}

// breaker notices when everything fails: then something that the handlers depend on is away, and no message is to
// blame.
type breaker struct {
	limit  int
	pauses *pauses
	gauge  prometheus.Gauge

	mu       sync.Mutex
	subjects map[string]struct{} // that failed since the last success
	closed   chan struct{}       // non-nil while open; closed by the next success
	probers  int                 // lanes that hold messages and try them while it is open
}

func newBreaker(limit int, p *pauses, gauge prometheus.Gauge) *breaker {
	return &breaker{limit: limit, pauses: p, gauge: gauge, subjects: map[string]struct{}{}}
}

// failed counts a message that failed again and again, and reports whether the breaker is open: the
// message must not be parked then.
func (b *breaker) failed(subject string, err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed != nil {
		return true
	}
	b.subjects[subject] = struct{}{}
	if len(b.subjects) < b.limit {
		return false
	}
	b.closed = make(chan struct{})
	b.gauge.Set(1)
	b.pauses.set("breaker", fmt.Sprintf("%d subjects failed in a row, the last with: %s", len(b.subjects),
		shape(err.Error())))
	return true
}

// succeeded closes the breaker.
func (b *breaker) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.close()
}

func (b *breaker) close() {
	clear(b.subjects)
	if b.closed == nil {
		return
	}
	close(b.closed)
	b.closed = nil
	b.gauge.Set(0)
	b.pauses.clear("breaker")
}

// probing counts the lanes that try what they hold: +1 begins, -1 ends. When no lane holds anything any more, the
// breaker closes, for nothing else could close it.
func (b *breaker) probing(change int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.probers += change; b.probers == 0 {
		b.close()
	}
}

// open is nil while the breaker is closed, else it is closed when the breaker is.
func (b *breaker) open() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// outage is how one worker waits for its database.
type outage struct {
	loop   *loop
	worker string // names the worker
	rounds int    // failures in a row that looked like an outage
	up     int    // of these, how often the database answered at once
	logged bool   // the pause was logged
}

// maxUp is how often in a row a unit may fail as if the database were away, although it answers, until the
// failure is held against the message.
const maxUp = 3

// verdict is what to do after a unit of work failed.
type verdict int

const (
	blame verdict = iota // the database is there: the failure is the message's own
	again                // the database was away and answers again: try the same once more
	stop                 // the consumer is to end
)

// over forgets the failures, after a success.
func (o *outage) over() {
	if o.rounds > 0 || o.logged {
		o.loop.pauses.clear(o.worker)
	}
	o.rounds, o.up, o.logged = 0, 0, false
}

// pause reports why the worker waits.
func (o *outage) pause(why string, err error) {
	o.loop.pauses.set(o.worker, why)
	o.loop.hands.free(o.worker)
	if !o.logged {
		o.logged = true
		o.loop.log.Warn(why+": waiting for it", "worker", o.worker, "error", err)
	}
}

// assess returns what a failure means. When the database is away, it first waits until it answers. A database that
// takes no writes is away, however often it answers.
func (o *outage) assess(ctx context.Context, err error) verdict {
	if ctx.Err() != nil {
		return stop
	}
	refuses := store.Refuses(err)
	if !refuses && (!away(err) && !hung(err) || o.up >= maxUp) {
		return blame
	}
	if refuses {
		o.pause("the database takes no writes", err)
	}
	for first := true; ; first = false {
		delay := backoff.Half(backoff.Exponential(o.loop.opts.ProbeBase, o.loop.opts.ProbeMax, o.rounds))
		o.rounds++
		if !o.loop.sleep(ctx, delay) {
			o.loop.pauses.clear(o.worker)
			return stop
		}
		ping, cancel := context.WithTimeout(ctx, 5*time.Second)
		gone := o.loop.db.Ping(ping)
		cancel()
		switch {
		case gone != nil && store.Refuses(gone):
			o.pause("the database takes no writes", gone)
		case gone != nil:
			o.pause("the database is away", gone)
		case refuses: // the next unit shows whether it takes writes
			return again
		case first:
			o.up++
			return again
		default:
			o.up, o.logged = 0, false
			o.loop.pauses.clear(o.worker)
			o.loop.log.Info("the database answers again", "worker", o.worker)
			return again
		}
	}
}

// persist runs a unit of work that has no handler in it until it is committed. It returns errStopped when the
// consumer ends before, and the error when the database answers and refuses the unit itself.
func (o *outage) persist(ctx context.Context, unit func(ctx context.Context, tx *store.Tx) error) error {
	for {
		limited, cancel := context.WithTimeoutCause(ctx, unitLimit, errHung)
		err := o.loop.db.Do(limited, unit)
		cancel()
		if err == nil {
			o.over()
			return nil
		}
		switch o.assess(ctx, err) {
		case again:
		case stop:
			return errStopped
		case blame:
			o.over()
			return err
		}
	}
}

// insist is persist for what must be written: a message that was taken can neither be given up nor given back because
// the database does not take it. It returns errStopped when the consumer ends before. what names the act.
func (o *outage) insist(ctx context.Context, what string, unit func(ctx context.Context, tx *store.Tx) error) error {
	for round := 0; ; round++ {
		err := o.persist(ctx, unit)
		if err == nil || errors.Is(err, errStopped) {
			return err
		}
		if round&(round-1) == 0 {
			o.loop.log.Error("the database refuses to "+what+", trying on", "worker", o.worker, "error", err)
		}
		o.logged = true
		o.loop.pauses.set(o.worker, "the database refuses to "+what+": "+shape(err.Error()))
		if !o.loop.sleep(ctx, backoff.Half(backoff.Exponential(o.loop.opts.ProbeBase, o.loop.opts.ProbeMax, round))) {
			return errStopped
		}
	}
}

// errHung is the cause of a context that unitLimit ended.
var errHung = errors.New("the unit of work took too long")

// hung reports whether a unit ended because the database did not answer in time.
func hung(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
