package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"stega/internal/backoff"
	"stega/store"
)

// redriver tries parked messages again when they are due.
type redriver struct {
	*loop
	outage outage
	slots  chan struct{} // jobs that it runs at a time
	first  int           // how many of the first retries are left
	jobs   sync.WaitGroup
}

// redrive works until the consumer ends. It wakes when a message is due, was parked or was revived, and looks now and
// then besides, since another process may have parked or revived one.
func (l *loop) redrive(ctx context.Context) {
	r := &redriver{loop: l, outage: outage{loop: l, worker: "redrive"}, slots: make(chan struct{}, l.opts.Jobs),
		first: firstRetries}
	defer r.jobs.Wait()
	for !l.isDraining() && ctx.Err() == nil {
		t, err := r.next(ctx)
		r.hands.free(r.outage.worker)
		if err == nil {
			r.outage.over()
			if t == nil && !r.rest(ctx) {
				return
			}
			continue
		}
		switch r.outage.assess(ctx, err) {
		case again:
			continue
		case stop:
			return
		case blame:
			r.outage.over()
		}
		if t != nil {
			if t.counted {
				t.m.Attempts--
			}
			err = r.repark(ctx, t.m, err)
		}
		if err != nil && !errors.Is(err, errStopped) {
			r.log.Error("parked messages cannot be tried again at present", "error", err)
			r.sleep(ctx, r.opts.ProbeMax)
		}
	}
}

// rest waits until something may be due; false means that the consumer is to end.
func (r *redriver) rest(ctx context.Context) bool {
	for {
		wait, due := r.opts.Poll, false
		switch at, ok, err := r.db.DueAt(ctx); {
		case err != nil:
			due = true // the next look shows what is wrong
		case ok && time.Until(at) < wait:
			wait, due = max(time.Millisecond, time.Until(at)), true
		}
		select {
		case <-time.After(wait):
			if due {
				return true
			}
		case <-r.due:
			return true
		case <-r.db.Revived():
			return true
		case <-r.draining:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// retry is one parked message that is tried again.
type retry struct {
	m       store.ParkedMessage
	job     *job // to be run outside of the unit that took it
	alone   bool // to be handled in a unit of its own, as it may end the process
	counted bool // as an attempt, before it is handled
	dead    bool // it was given up
}

// next takes the next due message and tries it again in the same unit of work; there was none when it returns neither a
// message nor an error. With an error, the message is the one that failed.
func (r *redriver) next(ctx context.Context) (t *retry, err error) {
	limited, cancel := context.WithTimeoutCause(ctx, unitLimit, errHung)
	defer cancel()
	slow := false
	err = runUnit(limited, r.db, func(ctx context.Context, tx *store.Tx) error {
		t, slow = nil, false
		m, ok, err := store.InboxOf(tx).NextDue(ctx)
		if err != nil {
			return fmt.Errorf("take a parked message: %w", err)
		}
		if !ok {
			return nil
		}
		t = &retry{m: m}
		if m.State == store.Suspect {
			return r.suspect(ctx, tx, t)
		}
		routes := r.routes(m)
		if len(routes) == 1 && routes[0].Command {
			return r.lease(ctx, tx, t, routes[0])
		}
		if r.first > 0 {
			return r.count(ctx, tx, t)
		}
		if err := r.handleAgain(ctx, tx, m, routes); err != nil {
			slow = hung(err)
			return err
		}
		return store.InboxOf(tx).Unpark(ctx, m.ID)
	})
	switch {
	case err != nil && slow:
		return t, &timedOut{limit: unitLimit, err: err}
	case err != nil || t == nil:
		return t, err
	case t.dead:
		r.report(t.m, errors.New(t.m.LastError))
	case t.alone:
		return r.alone(ctx, t)
	case t.job != nil:
		r.start(ctx, t.job)
	default:
		r.settled(t.m.Handler, outcomeHandled)
		r.breaker.succeeded()
	}
	return t, nil
}

// isolatedTries is how often a message may end its process while it is the only one in hand, until it is dead.
const isolatedTries = 3

// suspect notes, before a message is handled alone, that it is: whether the process survives that shows whether it is
// to blame.
func (r *redriver) suspect(ctx context.Context, tx *store.Tx, t *retry) error {
	m := &t.m
	if m.Attempts >= isolatedTries {
		return r.giveUp(ctx, tx, t,
			fmt.Errorf("its consumer ended %d times while it handled this message and nothing else",
				m.Attempts))
	}
	t.alone = true
	m.Attempts++
	// others first, when the process begins again
	m.DueAt = tx.Now().Add(backoff.Exponential(r.opts.RetryBase, r.opts.RetryMax, m.Attempts))
	return store.InboxOf(tx).Repark(ctx, *m)
}

// firstRetries is how many retries of a consumer that has begun count as attempts before they are made: if one ended
// the last consumer, it is among them, for it is still due.
const firstRetries = 16

// count counts an attempt before it is made.
func (r *redriver) count(ctx context.Context, tx *store.Tx, t *retry) error {
	m := &t.m
	if m.Attempts >= r.opts.MaxAttempts {
		return r.giveUp(ctx, tx, t,
			fmt.Errorf("its consumer ended in the last of %d attempts to handle it; an earlier failure: %s", m.Attempts,
				m.LastError))
	}
	t.alone, t.counted = true, true
	m.Attempts++
	// others first
	m.State, m.DueAt = store.Parked, tx.Now().Add(backoff.Exponential(r.opts.RetryBase, r.opts.RetryMax, m.Attempts))
	return store.InboxOf(tx).Repark(ctx, *m)
}

func (r *redriver) giveUp(ctx context.Context, tx *store.Tx, t *retry, failure error) error {
	t.dead = true
	r.schedule(&t.m, tx.Now(), r.failed(&t.m, Permanent(failure)))
	store.ReceiptsOf(tx).Add(r.d.parkedReceipt(t.m))
	return store.InboxOf(tx).Repark(ctx, t.m)
}

// alone handles a message in a unit of its own. Whatever comes of it but the end of the process, it is a suspect no
// more.
func (r *redriver) alone(ctx context.Context, t *retry) (*retry, error) {
	if r.first > 0 {
		r.first--
	}
	limited, cancel := context.WithTimeoutCause(ctx, unitLimit, errHung)
	defer cancel()
	slow, gone := false, false
	err := runUnit(limited, r.db, func(ctx context.Context, tx *store.Tx) error {
		slow = false
		m, ok, err := store.InboxOf(tx).Take(ctx, t.m.ID)
		if gone = err == nil && (!ok || m.State != t.m.State); gone || err != nil {
			return err
		}
		if err := r.handleAgain(ctx, tx, m, r.routes(m)); err != nil {
			slow = hung(err)
			return err
		}
		return store.InboxOf(tx).Unpark(ctx, m.ID)
	})
	switch {
	case err == nil && gone:
	case err == nil:
		r.settled(t.m.Handler, outcomeHandled)
		r.breaker.succeeded()
	case slow:
		err = &timedOut{limit: unitLimit, err: err}
	case away(err) || ctx.Err() != nil: // it was not tried
		restore, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = r.db.Do(restore, func(ctx context.Context, tx *store.Tx) error {
			m := t.m
			m.Attempts, m.DueAt = m.Attempts-1, tx.Now()
			return store.InboxOf(tx).Repark(ctx, m)
		})
	}
	return t, err
}

// routes are the handlers that a parked message is for: one, or all of its topic when it never reached any.
func (l *loop) routes(m store.ParkedMessage) []*Route {
	if m.Handler != "" {
		if r := l.d.find(m.Handler, m.Message.Type); r != nil {
			return []*Route{r}
		}
		return nil
	}
	if r := l.d.commands[m.Message.Type]; r != nil {
		return []*Route{r}
	}
	return l.d.events[m.Message.Type]
}

// handleAgain runs the handlers of a parked event. One that never reached its handlers has no inbox rows yet.
func (r *redriver) handleAgain(ctx context.Context, tx *store.Tx, m store.ParkedMessage, routes []*Route) error {
	if len(routes) == 0 {
		return Permanent(fmt.Errorf("nobody named %q handles %s in %s any more", m.Handler, m.Message.Type, r.service))
	}
	value, err := routes[0].decode(m.Message.Data)
	if err != nil {
		return Permanent(err)
	}
	for _, route := range routes {
		if m.Handler == "" {
			isNew, err := store.InboxOf(tx).Claim(ctx, []store.Claim{{MessageID: m.Message.ID, Handler: route.Handler}})
			if err != nil {
				return fmt.Errorf("write the inbox: %w", err)
			}
			if !isNew[0] {
				continue
			}
		}
		overtaken, err := r.overtaken(ctx, tx, route, m.Message.Envelope)
		if err != nil {
			return err
		}
		if !overtaken {
			r.hands.take(r.outage.worker, route.Handler, m.Message.ID, hungAfter)
			if err := r.d.Dispatch(ctx, route, m.Message.Envelope, value, in(tx)); err != nil {
				return err
			}
		}
		r.handled(tx, route, m.Message.Envelope)
	}
	return nil
}

// repark notes another failure. While everything fails, it is not held against the message.
func (r *redriver) repark(ctx context.Context, m store.ParkedMessage, failure error) error {
	if r.breaker.open() == nil || IsPermanent(failure) {
		m.Attempts++
	}
	dead := r.failed(&m, failure)
	err := r.outage.persist(ctx, func(ctx context.Context, tx *store.Tx) error {
		r.schedule(&m, tx.Now(), dead)
		store.ReceiptsOf(tx).Add(r.d.parkedReceipt(m))
		return store.InboxOf(tx).Repark(ctx, m)
	})
	if err != nil {
		return fmt.Errorf("park message %s again: %w", m.Message.ID, err)
	}
	r.report(m, failure)
	return nil
}

// lease sets a parked job aside for the time that it may run, in the unit of work that took it, for no unit waits for
// things outside.
func (r *redriver) lease(ctx context.Context, tx *store.Tx, t *retry, route *Route) error {
	m := t.m
	j := &job{
		loop: r.loop, route: route, message: m.Message, parked: &m, outage: &outage{loop: r.loop, worker: "job " +
			m.Message.ID},
	}
	var err error
	if j.value, err = route.decode(m.Message.Data); err != nil {
		j.failure = Permanent(err)
	} else if m.Attempts >= r.opts.MaxAttempts {
		j.failure = Permanent(fmt.Errorf("the job did not end in any of %d attempts; the last failure: %s", m.Attempts,
			m.LastError))
	}
	t.job = j
	if j.busy = len(r.slots) == cap(r.slots); j.busy { // only this goroutine takes slots
		m.DueAt, m.State = tx.Now().Add(r.opts.RetryBase), store.Parked
	} else {
		m.DueAt, m.State = tx.Now().Add(r.opts.JobLease), store.Leased
		if j.failure == nil {
			m.Attempts++
		}
	}
	return store.InboxOf(tx).Repark(ctx, m)
}

// start runs a leased job beside the redriver.
func (r *redriver) start(ctx context.Context, j *job) {
	if j.busy {
		return
	}
	r.slots <- struct{}{}
	r.jobs.Go(func() {
		defer func() { <-r.slots }()
		if err := j.execute(ctx); err != nil {
			j.giveBack(ctx)
		}
	})
}
