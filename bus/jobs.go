package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"stega/broker"
	"stega/events"
	"stega/fault"
	"stega/internal/backoff"
	"stega/store"
)

// retriedSuffix names, in the inbox, the success of a job that was parked; the job's own row says that it left the
// queue.
const retriedSuffix = "#retried"

// job is one deferred command under way.
type job struct {
	*loop
	route     *Route
	message   events.Message
	value     any
	operation string               // to finish; empty when no client submitted it, or it is over
	parked    *store.ParkedMessage // what it is retried from
	failure   error                // why it must not run any more
	busy      bool                 // there is no slot to run it now
	suspect   bool                 // it came again and again: its tries are counted before they begin
	outage    *outage
}

// jobs runs deferred commands, a few at a time, until the subscription ends.
func (l *loop) jobs(ctx context.Context, deliveries <-chan broker.Delivery) {
	held := inFlight{deliveries: map[string][]broker.Delivery{}}
	var workers sync.WaitGroup
	for range l.opts.Jobs {
		workers.Go(func() {
			for d := range deliveries {
				if l.isDraining() {
					l.logSettling(d.Release())
					continue
				}
				l.jobDelivered(ctx, d, &held)
			}
		})
	}
	workers.Wait()
}

func (l *loop) jobDelivered(ctx context.Context, d broker.Delivery, held *inFlight) {
	if why := unreadable(d); why != "" {
		l.reject(d, why)
		return
	}
	route := l.d.commands[d.Type]
	if route == nil || !route.Deferred {
		l.reject(d, fmt.Sprintf("%s has no job %s", l.service, d.Type))
		return
	}
	value, err := route.decode(d.Data)
	if err != nil {
		l.reject(d, err.Error())
		return
	}
	l.inHand.Add(1)
	if !held.join(d) {
		return // it runs already, and was delivered again
	}
	j := &job{
		loop: l, route: route, message: d.Message, value: value, outage: &outage{loop: l, worker: "job " + d.ID},
		suspect: d.Attempts >= suspectAfter,
	}
	err = j.execute(ctx)
	for _, d := range held.leave(d.ID) {
		if err != nil {
			l.logSettling(d.Release())
		} else {
			l.logSettling(d.Ack())
		}
		l.inHand.Add(-1)
	}
}

// inFlight holds the deliveries of the jobs that run.
type inFlight struct {
	mu         sync.Mutex
	deliveries map[string][]broker.Delivery // by message id
}

// join reports whether the message is the first delivery of its id.
func (f *inFlight) join(d broker.Delivery) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deliveries[d.ID] = append(f.deliveries[d.ID], d)
	return len(f.deliveries[d.ID]) == 1
}

func (f *inFlight) leave(id string) []broker.Delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.deliveries[id]
	delete(f.deliveries, id)
	return all
}

// execute runs a job until it succeeded, failed for good, or is parked. It returns errStopped when the consumer ends
// before.
func (j *job) execute(ctx context.Context) error {
	defer j.outage.over()
	over, err := j.begin(ctx)
	switch {
	case errors.Is(err, errStopped):
		return err
	case err != nil:
		return j.fail(ctx, err)
	case over:
		return nil
	}
	if j.failure != nil {
		return j.fail(ctx, j.failure)
	}
	if j.suspect {
		return j.fail(ctx, fmt.Errorf("the job was delivered more than %d times without being settled: "+
			"its consumer ended each time", suspectAfter))
	}
	for try := 0; ; {
		err := j.watched(ctx)
		if err == nil {
			j.settled(j.route.Handler, outcomeHandled)
			return nil
		}
		if errors.Is(err, store.ErrOperationOver) {
			return j.overtaken(ctx)
		}
		switch j.outage.assess(ctx, err) {
		case again:
			continue
		case stop:
			return errStopped
		case blame:
			j.outage.over()
		}
		if IsPermanent(err) || try >= j.opts.QuickRetries {
			return j.fail(ctx, err)
		}
		if !j.sleep(ctx, backoff.Half(backoff.Exponential(j.opts.QuickDelay, j.opts.RetryMax, try))) {
			return errStopped
		}
		try++
	}
}

// watched runs the handler once, and ends its context when the cancellation of its operation is requested.
func (j *job) watched(ctx context.Context) error {
	if j.operation == "" {
		return j.attempt(ctx)
	}
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	var watcher sync.WaitGroup
	watcher.Go(func() { j.watch(running, end) })
	err := j.attempt(running)
	stopped := context.Cause(running)
	end(nil)
	watcher.Wait()
	if err != nil && errors.Is(stopped, errCancelled) {
		return cancelled()
	}
	return err
}

// cancelPoll is how often a running job looks whether its operation is to be cancelled.
const cancelPoll = 250 * time.Millisecond

// watch polls the operation's row, since another process may have received the request.
func (j *job) watch(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(cancelPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if requested, err := j.db.CancelRequested(ctx, j.operation); err == nil && requested {
			end(errCancelled)
			return
		}
	}
}

// errCancelled is the cause of the context of a job whose operation was cancelled.
var errCancelled = errors.New("the operation was cancelled")

// cancelled returns the outcome of a cancelled operation.
func cancelled() error {
	return fault.Conflict("operation_cancelled",
		"the operation was cancelled before it had any effect").Because(errCancelled)
}

// begin finds the job's operation and marks it as running; over means that the job was settled before.
func (j *job) begin(ctx context.Context) (over bool, err error) {
	accepted := false
	err = j.outage.persist(ctx, func(ctx context.Context, tx *store.Tx) error {
		over, accepted, j.operation = false, false, ""
		if j.parked == nil {
			isNew, err := store.InboxOf(tx).Claim(ctx, j.claim())
			if err != nil {
				return fmt.Errorf("look into the inbox: %w", err)
			}
			if over = !isNew[0]; over {
				store.InboxOf(tx).CommandSettled(j.message.ID)
				return nil
			}
		}
		op, err := operationOf(ctx, j.db, j.message.Envelope)
		if err != nil {
			return err
		}
		if over = op != nil && op.Done() && j.parked == nil; over { // it was given up, and comes once more
			store.InboxOf(tx).CommandSettled(j.message.ID)
			return nil
		}
		if op != nil && !op.Done() {
			j.operation, accepted = op.ID, op.Status == store.Accepted
			if requested, err := j.db.CancelRequested(ctx, op.ID); err != nil {
				return fmt.Errorf("look whether the operation was cancelled: %w", err)
			} else if requested {
				j.failure = cancelled()
			}
		}
		return errOnlyLooked
	})
	if err != nil && !errors.Is(err, errOnlyLooked) {
		return false, err
	}
	if over {
		j.settled(j.route.Handler, outcomeDuplicate)
		return true, nil
	}
	if !accepted && j.parked != nil {
		return false, nil
	}
	return false, j.outage.persist(ctx, func(ctx context.Context, tx *store.Tx) error {
		if j.parked == nil {
			store.InboxOf(tx).CommandBegun(j.message.ID, j.opts.JobLease)
		}
		if !accepted {
			return nil
		}
		return store.OperationsOf(tx).MarkRunning(ctx, j.operation)
	})
}

// errOnlyLooked rolls back a unit of work that wrote only to see whether it could.
var errOnlyLooked = errors.New("only looked")

// operationOf returns the operation of a deferred command; nil when a handler sent the command as a consequence of
// another one.
func operationOf(ctx context.Context, db *store.DB, e events.Envelope) (*store.Operation, error) {
	if e.Correlation == "" || e.Causation != e.Correlation {
		return nil, nil //nolint:nilnil // there is none
	}
	op, err := db.Operation(ctx, e.Correlation)
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Kind == fault.KindNotFound {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, fmt.Errorf("look up the operation: %w", err)
	}
	if op.Command != e.Type {
		return nil, nil //nolint:nilnil // it is another command's
	}
	return &op, nil
}

func (j *job) claim() []store.Claim {
	c := store.Claim{MessageID: j.message.ID, Handler: j.route.Handler}
	if j.parked != nil {
		c.Handler += retriedSuffix
	}
	return []store.Claim{c}
}

// attempt runs the handler once.
func (j *job) attempt(ctx context.Context) error {
	j.hands.take(j.outage.worker, j.route.Handler, j.message.ID, JobTimeout)
	defer j.hands.free(j.outage.worker)
	return j.d.Dispatch(ctx, j.route, j.message.Envelope, j.value, j.unit)
}

// unit is the unit of work of a job: opened for a handler that works in it, or by one that first waits for things
// outside, with Run.Commit.
func (j *job) unit(ctx context.Context, cause events.Envelope, handle func(ctx context.Context, w work) error) error {
	if !j.route.job {
		return j.commit(ctx, cause, func(ctx context.Context, tx *store.Tx) error { return handle(ctx, work{tx: tx}) })
	}
	run := &Run{job: j, cause: cause}
	err := handle(ctx, work{run: run})
	switch {
	case err == nil && !run.done:
		return run.Commit(ctx, nil)
	case err != nil && run.done: // its effect stands
		j.log.Error("a job failed after its commit", "handler", j.route.Handler, "message", j.message.ID, "error", err)
		return nil
	}
	return err
}

// commit is the unit of work of a job's effect: inbox, effect and outcome together. What was committed before stays
// as it is.
func (j *job) commit(
	ctx context.Context, cause events.Envelope, fn func(ctx context.Context, tx *store.Tx) error,
) error {
	for {
		err := runUnit(ctx, j.db, func(ctx context.Context, tx *store.Tx) error {
			isNew, err := store.InboxOf(tx).Claim(ctx, j.claim())
			if err != nil {
				return fmt.Errorf("write the inbox: %w", err)
			}
			if !isNew[0] {
				return nil
			}
			tx.SetCause(cause)
			if fn != nil {
				if err := fn(ctx, tx); err != nil {
					return err
				}
			}
			if j.parked != nil {
				if err := store.InboxOf(tx).Unpark(ctx, j.parked.ID); err != nil {
					return fmt.Errorf("take the job from the parked ones: %w", err)
				}
			}
			store.InboxOf(tx).CommandSettled(j.message.ID)
			store.ReceiptsOf(tx).Add(j.d.receipt(j.message.Envelope, j.route.Handler, events.ReceiptHandled))
			return j.finish(ctx, tx, nil)
		})
		if err == nil {
			j.outage.over()
			return nil
		}
		if !away(err) || j.outage.assess(ctx, err) != again {
			return err
		}
	}
}

func (j *job) finish(ctx context.Context, tx *store.Tx, f *fault.Fault) error {
	if j.operation == "" || f == nil && j.route.Continues {
		return nil
	}
	err := store.OperationsOf(tx).Finish(ctx, j.operation, f)
	if errors.Is(err, store.ErrCancelRequested) { // before the job looked again
		return cancelled()
	}
	if err != nil {
		return fmt.Errorf("record the outcome: %w", err)
	}
	return nil
}

// fail settles a job whose handler failed: parked while there are attempts left, else the operation has failed. One
// that failed for good is not kept as a dead message beside its failed operation; one that used up its attempts is,
// so that it can be retried.
func (j *job) fail(ctx context.Context, failure error) error {
	m := store.ParkedMessage{Handler: j.route.Handler, Message: j.message, Attempts: 1}
	// A job waits for no other: it is parked in a lane of its own.
	if m.Message.Subject = j.message.ID; j.operation != "" {
		m.Message.Subject = j.operation
	}
	if j.parked != nil {
		m = *j.parked
	}
	dead := j.failed(&m, failure)
	kept := !IsPermanent(failure) || j.operation == "" || j.failure != nil && !errors.Is(failure, errCancelled)
	err := j.outage.insist(ctx, "record a job", func(ctx context.Context, tx *store.Tx) error {
		j.schedule(&m, tx.Now(), dead)
		if j.parked == nil {
			isNew, err := store.InboxOf(tx).Claim(ctx, j.claim())
			if err != nil || !isNew[0] {
				return err
			}
		}
		if err := j.set(ctx, tx, m, kept); err != nil {
			return err
		}
		store.InboxOf(tx).CommandSettled(j.message.ID)
		tx.SetCause(j.message.Envelope)
		store.ReceiptsOf(tx).Add(j.receiptOf(m, kept))
		if !dead {
			return nil
		}
		err := j.finish(ctx, tx, fault.Of(failure))
		if errors.Is(err, store.ErrOperationOver) { // it has its outcome
			err = nil
		}
		return err
	})
	if err != nil {
		return err
	}
	if !kept {
		j.settled(j.route.Handler, outcomeRefused)
		return nil
	}
	j.wake()
	j.report(m, failure)
	return nil
}

// receiptOf returns the receipt of a job that failed. A job that is not kept has ended: its failure is its
// operation's outcome.
func (j *job) receiptOf(m store.ParkedMessage, kept bool) events.Receipt {
	if !kept {
		return j.d.receipt(j.message.Envelope, j.route.Handler, events.ReceiptHandled)
	}
	m.Message = j.message // under its own subject
	return j.d.parkedReceipt(m)
}

// overtaken settles a job whose operation ended while it ran: it has no effect.
func (j *job) overtaken(ctx context.Context) error {
	j.settled(j.route.Handler, outcomeDuplicate)
	return j.outage.insist(ctx, "remove a job", func(ctx context.Context, tx *store.Tx) error {
		store.InboxOf(tx).CommandSettled(j.message.ID)
		if j.parked == nil {
			return nil
		}
		return store.InboxOf(tx).Unpark(ctx, j.parked.ID)
	})
}

// set writes the parked row of a job that failed: a new one, an old one anew, or none any more.
func (j *job) set(ctx context.Context, tx *store.Tx, m store.ParkedMessage, kept bool) error {
	switch {
	case j.parked != nil && kept:
		return store.InboxOf(tx).Repark(ctx, m)
	case j.parked != nil:
		return store.InboxOf(tx).Unpark(ctx, m.ID)
	case kept:
		m.ParkedAt = tx.Now()
		return store.InboxOf(tx).Park(ctx, m)
	default:
		return nil
	}
}

// giveBack ends the lease of a retried job that the end of the consumer interrupted.
func (j *job) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	m := *j.parked
	m.Attempts--
	err := j.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
		m.State, m.DueAt = store.Parked, tx.Now()
		return store.InboxOf(tx).Repark(ctx, m)
	})
	if err != nil {
		j.log.Warn("an interrupted job is tried again when its lease is over", "message", j.message.ID, "error", err)
	}
}
