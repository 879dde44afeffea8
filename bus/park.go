package bus

import (
	"context"
	"fmt"
	"time"

	"stega/events"
	"stega/internal/backoff"
	"stega/store"
)

// message is the message of a task as it came.
func (t *task) message() events.Message { return t.item.deliveries[0].Message }

// waiting is the task's message lined up behind an earlier one.
func (t *task) waiting(now time.Time) store.ParkedMessage {
	return store.ParkedMessage{
		Handler:  t.route.Handler,
		Message:  t.message(),
		State:    store.Waiting,
		ParkedAt: now,
		DueAt:    now,
		Holds:    t.route.Hold,
	}
}

// alone retries the first task, which failed although it ran alone, and then parks it. A task that was probed while
// everything failed has had its tries, and others succeed by now: it is parked at once.
func (l *lane) alone(ctx context.Context, err error) error {
	t := l.todo[0]
	for try := 0; try < l.opts.QuickRetries && t.probes == 0 && !IsPermanent(err); {
		if !l.sleep(ctx, backoff.Half(backoff.Exponential(l.opts.QuickDelay, l.opts.RetryMax, try))) {
			return errStopped
		}
		if _, err = l.unit(ctx, l.todo[:1]); err == nil {
			l.done(1)
			return nil
		}
		switch l.outage.assess(ctx, err) {
		case again:
		case stop:
			return errStopped
		case blame:
			l.outage.over()
			try++
		}
	}
	if !IsPermanent(err) && t.probes == 0 && l.breaker.failed(t.lane.Subject, err) {
		return nil // it is probed from now on
	}
	return l.park(ctx, t, err)
}

// park sets the message of a task aside, in the unit of work that settles its delivery, and settles the task. An
// error that is permanent makes it dead at once.
func (l *lane) park(ctx context.Context, t *task, failure error) error {
	m := store.ParkedMessage{Handler: t.route.Handler, Message: t.message(), Holds: t.route.Hold, Attempts: 1}
	dead := l.failed(&m, failure)
	err := l.outage.insist(ctx, "park a message", func(ctx context.Context, tx *store.Tx) error {
		isNew, err := store.InboxOf(tx).Claim(ctx,
			[]store.Claim{{MessageID: t.item.envelope.ID, Handler: t.route.Handler}})
		if err != nil || !isNew[0] {
			return err
		}
		m.ParkedAt = tx.Now()
		l.schedule(&m, tx.Now(), dead)
		store.ReceiptsOf(tx).Add(l.d.parkedReceipt(m))
		return store.InboxOf(tx).Park(ctx, m)
	})
	if err != nil {
		return err
	}
	l.wake()
	l.report(m, failure)
	l.remove(t)
	return nil
}

// remove settles a task that need not be the first.
func (l *lane) remove(t *task) {
	l.hands.free(l.outage.worker)
	for i, held := range l.todo {
		if held == t {
			l.todo = append(l.todo[:i], l.todo[i+1:]...)
			break
		}
	}
	l.release(t)
}

// failed notes a failure in a parked message, and reports whether it was the last attempt.
func (l *loop) failed(m *store.ParkedMessage, err error) (dead bool) {
	m.LastError, m.Cause = text(err), cause(err)
	return IsPermanent(err) || m.Attempts >= l.opts.MaxAttempts
}

// schedule sets when a parked message is tried again, or marks it dead.
func (l *loop) schedule(m *store.ParkedMessage, now time.Time, dead bool) {
	if dead {
		m.State, m.DiedAt = store.Dead, now
		return
	}
	m.State = store.Parked
	m.DueAt = now.Add(backoff.Full(backoff.Exponential(l.opts.RetryBase, l.opts.RetryMax, max(0, m.Attempts-1))))
}

// report logs what became of a message that failed.
func (l *loop) report(m store.ParkedMessage, err error) {
	attrs := []any{
		"handler", m.Handler, "topic", m.Message.Type, "message", m.Message.ID, "subject", m.Message.Subject,
		"attempts", m.Attempts, "error", err,
	}
	if m.State == store.Dead {
		l.settled(m.Handler, outcomeDead)
		l.log.Error("a message is dead", attrs...)
		return
	}
	l.settled(m.Handler, outcomeParked)
	l.log.Warn("a message is parked", append(attrs, "due", m.DueAt)...)
}

// probe is what a lane does while everything fails. It parks nothing, for the messages are not to blame; it tries
// what it holds, one subject after the other, with growing pauses, until anything succeeds anywhere. So a run of
// messages that really are poisonous cannot stop it as long as one that is good is within reach; and one that has
// failed as often as a parked message may is parked after all, so that in the end nothing blocks.
func (l *lane) probe(ctx context.Context) error {
	for round := 0; ; round++ {
		closed := l.breaker.open()
		if closed == nil {
			return nil
		}
		l.fill(ctx, l.opts.Prefetch, l.opts.BatchBytes)
		timer := time.NewTimer(backoff.Half(backoff.Exponential(l.opts.ProbeBase, l.opts.ProbeMax, round)))
		select {
		case <-timer.C:
		case <-closed:
		case <-l.draining:
		case <-ctx.Done():
		}
		timer.Stop()
		if l.isDraining() || ctx.Err() != nil {
			return errStopped
		}
		if l.breaker.open() == nil || len(l.todo) == 0 {
			return nil
		}
		if err := l.tryOne(ctx); err != nil {
			return err
		}
	}
}

// tryOne tries the head of one of the held lines, the one that was tried least.
func (l *lane) tryOne(ctx context.Context) error {
	clear(l.seen)
	var t *task
	for _, head := range l.todo {
		if _, ok := l.seen[head.lane]; ok {
			continue
		}
		l.seen[head.lane] = struct{}{}
		if t == nil || head.probes < t.probes {
			t = head
		}
	}
	_, err := l.unit(ctx, []*task{t})
	if err == nil {
		l.outage.over()
		l.settled(t.route.Handler, t.outcome)
		l.remove(t)
		if t.outcome == outcomeHandled {
			l.breaker.succeeded()
		}
		return nil
	}
	switch l.outage.assess(ctx, err) {
	case again:
		return nil
	case stop:
		return errStopped
	case blame:
	}
	l.outage.over()
	if IsPermanent(err) {
		return l.park(ctx, t, err)
	}
	if t.probes++; t.probes >= l.opts.MaxAttempts {
		return l.park(ctx, t, fmt.Errorf("tried %d times while everything failed: %w", t.probes, err))
	}
	return nil
}
