package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"stega/broker"
	"stega/events"
	"stega/store"
)

// errStopped ends a lane: the consumer is to end, and what the lane holds is given back.
var errStopped = errors.New("the consumer ends")

// item is a message that a lane holds.
type item struct {
	deliveries []broker.Delivery // one, unless the broker delivered it again meanwhile
	envelope   events.Envelope
	value      any   // decoded
	unreadable error // why it cannot be decoded: it is dead for all its handlers, in its place
	open       int   // tasks that are not settled yet
}

// suspectAfter is how often a message may come again unsettled until it is set aside and tried alone: it may be what
// ends its consumer, with all that was delivered beside it. It is far below the limit at which the broker gives a
// message up.
const suspectAfter = 12

func (i *item) suspect() bool { return i.deliveries[0].Attempts >= suspectAfter && i.unreadable == nil }

// task is one handling of a message.
type task struct {
	item    *item
	route   *Route
	lane    store.Lane
	probes  int    // failures while the breaker was open
	outcome string // of the last unit
}

// lane handles the messages of its share of the subjects, in order.
type lane struct {
	*loop
	in     chan broker.Delivery
	todo   []*task          // in order
	base   []*task          // the memory that todo starts in
	cuts   []int            // sizes of the parts of todo that are run as one unit, the first part last
	items  map[string]*item // held, by message id
	outage outage

	lanes  []store.Lane // of a unit
	seen   map[store.Lane]struct{}
	claims []store.Claim
}

// events spreads deliveries over the lanes by subject, until the subscription ends.
func (l *loop) events(ctx context.Context, deliveries <-chan broker.Delivery) {
	lanes := make([]*lane, l.opts.Lanes)
	done := make(chan struct{}, len(lanes))
	for i := range lanes {
		lanes[i] = &lane{
			loop:   l,
			in:     make(chan broker.Delivery, l.opts.Prefetch),
			items:  map[string]*item{},
			seen:   map[store.Lane]struct{}{},
			outage: outage{loop: l, worker: fmt.Sprintf("lane %d", i)},
		}
		go func() {
			lanes[i].run(ctx)
			done <- struct{}{}
		}()
	}
	hand := func(_ context.Context, d broker.Delivery) error {
		select {
		case lanes[hash(d.Subject)%uint32(len(lanes))].in <- d:
		case <-l.draining:
			l.logSettling(d.Release())
		}
		return nil
	}
	var held <-chan broker.Delivery
	if l.watcher != nil {
		held = l.watcher.held
	}
	for open := true; open; {
		var d broker.Delivery
		select {
		case d, open = <-deliveries:
			if !open {
				continue
			}
			if d.Gap && l.watcher != nil {
				l.watcher.gap(ctx, hand)
			}
		case d = <-held:
		}
		_ = hand(ctx, d) // it releases what it cannot hand on
	}
	for _, lane := range lanes {
		close(lane.in)
	}
	for range lanes {
		<-done
	}
}

// hash is FNV-1a.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

func (l *lane) run(ctx context.Context) {
	for l.collect(ctx) {
		if err := l.work(ctx); err != nil {
			break
		}
	}
	for _, it := range l.items {
		for _, d := range it.deliveries {
			l.logSettling(d.Release())
		}
	}
	for d := range l.in {
		l.logSettling(d.Release())
	}
}

// collect waits for a message and takes what else is there now; false means that the lane is to end.
func (l *lane) collect(ctx context.Context) bool {
	l.todo = l.base[:0]
	defer func() { l.base = l.todo }()
	for len(l.todo) == 0 {
		select {
		case <-l.draining:
			return false
		default:
		}
		select {
		case d, ok := <-l.in:
			if !ok {
				return false
			}
			l.take(ctx, d)
			l.fill(ctx, l.opts.Batch-1, l.opts.BatchBytes-len(d.Data))
		case <-l.draining:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// fill takes what is there now, up to a number of messages and bytes.
func (l *lane) fill(ctx context.Context, messages, size int) {
	for ; messages > 0 && size > 0; messages-- {
		select {
		case d, ok := <-l.in:
			if !ok {
				return
			}
			size -= len(d.Data)
			l.take(ctx, d)
		default:
			return
		}
	}
}

// take reads a delivery and adds its tasks; what has no envelope to go by leaves at once.
func (l *lane) take(ctx context.Context, d broker.Delivery) {
	if why := unreadable(d); why != "" {
		l.reject(d, why)
		return
	}
	if held := l.items[d.ID]; held != nil {
		held.deliveries = append(held.deliveries, d)
		return
	}
	routes := l.d.events[d.Type]
	if len(routes) == 0 {
		l.unhandled(ctx, d)
		return
	}
	it := &item{deliveries: []broker.Delivery{d}, envelope: d.Envelope, open: len(routes)}
	it.value, it.unreadable = routes[0].decode(d.Data)
	l.items[d.ID] = it
	for _, r := range routes {
		l.todo = append(l.todo, &task{item: it, route: r, lane: store.Lane{Handler: r.Handler, Subject: d.Subject}})
	}
}

// unhandled settles a message of a topic without a handler in this version of the service: an older version had one,
// or a newer one has. It publishes a receipt, and marks the log for the version that takes the topic from there.
func (l *lane) unhandled(ctx context.Context, d broker.Delivery) {
	l.log.Warn("this version of the service has no handler for a topic that its queue is bound to: "+
		"the event is left to a version that has one",
		"topic", d.Type, "message", d.ID)
	if err := l.unbound(ctx, d.Type); err != nil {
		l.logSettling(d.Release())
		return
	}
	err := l.outage.insist(ctx, "note a message that nobody handles", func(_ context.Context, tx *store.Tx) error {
		store.ReceiptsOf(tx).Add(l.d.receipt(d.Envelope, "", events.ReceiptUnhandled))
		return nil
	})
	if err != nil {
		l.logSettling(d.Release())
		return
	}
	l.settled("", outcomeUnhandled)
	l.logSettling(d.Ack())
}

// What an envelope may have at most, in bytes: these are keys of rows.
const (
	maxName    = 255 // an id or a type
	maxSubject = 1024
)

// unreadable returns why the envelope of a delivery cannot be worked with; empty when it can.
func unreadable(d broker.Delivery) string {
	switch {
	case d.Err != nil:
		return "the envelope cannot be read: " + d.Err.Error()
	case d.ID == "":
		return "the envelope has no id"
	}
	for _, part := range []struct {
		name, value string
		limit       int
	}{{"id", d.ID, maxName}, {"type", d.Type, maxName}, {"subject", d.Subject, maxSubject}} {
		switch {
		case !printable(part.value):
			return fmt.Sprintf("the %s %.300q of the envelope is not text: it has a NUL or is not UTF-8", part.name,
				part.value)
		case len(part.value) > part.limit:
			return fmt.Sprintf("the %s of the envelope has %d bytes, more than %d", part.name, len(part.value),
				part.limit)
		}
	}
	return ""
}

// printable reports whether every database takes a text as it is.
func printable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

func (l *loop) reject(d broker.Delivery, reason string) {
	l.settled("", outcomeRejected)
	l.log.Warn("a message cannot be read and goes to the dead queue", "topic", d.Type, "message", d.ID, "reason",
		reason)
	l.logSettling(d.Reject(reason))
}

// work settles all that the lane holds.
func (l *lane) work(ctx context.Context) error {
	l.cuts = append(l.cuts[:0], len(l.todo))
	for len(l.todo) > 0 {
		if l.breaker.open() != nil {
			l.breaker.probing(+1)
			err := l.probe(ctx)
			l.breaker.probing(-1)
			if err != nil {
				return err
			}
			l.cuts = l.cuts[:0]
		}
		if len(l.cuts) == 0 {
			l.cuts = append(l.cuts, min(len(l.todo), l.opts.Batch))
			continue
		}
		if err := l.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step runs the first part as one unit of work. When that fails, the part is cut: what stands before the task that
// failed, that task, and the rest. A task alone that fails is to blame.
func (l *lane) step(ctx context.Context) error {
	n := l.cuts[len(l.cuts)-1]
	if n = min(n, len(l.todo)); n == 0 {
		l.cuts = l.cuts[:len(l.cuts)-1]
		return nil
	}
	at, err := l.unit(ctx, l.todo[:n])
	if err == nil {
		l.cuts = l.cuts[:len(l.cuts)-1]
		l.done(n)
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
	l.cuts = l.cuts[:len(l.cuts)-1]
	if n == 1 {
		return l.alone(ctx, err)
	}
	if at < 0 { // the commit failed: any of them may be the reason
		at = n / 2
		l.cuts = append(l.cuts, n-at, at)
		return nil
	}
	if at < n-1 {
		l.cuts = append(l.cuts, n-at-1)
	}
	l.cuts = append(l.cuts, 1)
	if at > 0 {
		l.cuts = append(l.cuts, at)
	}
	return nil
}

// unit runs tasks as one unit of work. The inbox drops what was handled before, messages of a blocked subject wait in
// line, and the rest is handled. at is the task that failed, or -1.
func (l *lane) unit(ctx context.Context, tasks []*task) (at int, err error) {
	l.lanes, l.claims = l.lanes[:0], l.claims[:0]
	clear(l.seen)
	for _, t := range tasks {
		if _, ok := l.seen[t.lane]; !ok {
			l.seen[t.lane] = struct{}{}
			l.lanes = append(l.lanes, t.lane)
		}
		l.claims = append(l.claims, store.Claim{MessageID: t.item.envelope.ID, Handler: t.route.Handler})
	}
	ctx, cancel := context.WithTimeoutCause(ctx, unitLimit, errHung)
	defer cancel()
	parked := false
	err = runUnit(ctx, l.db, func(ctx context.Context, tx *store.Tx) error {
		at, parked = -1, false
		// The inbox first: it waits for a process that was cut off from the broker and still handles one of these, and
		// may park it.
		isNew, err := store.InboxOf(tx).Claim(ctx, l.claims)
		if err != nil {
			return fmt.Errorf("write the inbox: %w", err)
		}
		blocked, err := store.InboxOf(tx).Blocked(ctx, l.lanes)
		if err != nil {
			return fmt.Errorf("look for parked messages: %w", err)
		}
		var expected []any
		for i, t := range tasks {
			if isNew[i] && !blocked[t.lane] && t.item.unreadable == nil && !t.item.suspect() {
				expected = append(expected, t.item.value)
			}
		}
		store.InboxOf(tx).Expect(expected)
		for i, t := range tasks {
			switch {
			case !isNew[i]:
				t.outcome = outcomeDuplicate
			case blocked[t.lane], t.item.suspect():
				t.outcome, parked = outcomeWaiting, true
				m := t.waiting(tx.Now())
				if !blocked[t.lane] { // and what comes after it lines up behind it
					m.State, blocked[t.lane] = store.Suspect, true
					m.LastError = fmt.Sprintf("it was delivered %d times before, and not settled",
						t.item.deliveries[0].Attempts)
					m.Cause = "the consumer ended with it in hand"
				}
				if err := store.InboxOf(tx).Park(ctx, m); err != nil {
					return fmt.Errorf("line up a message: %w", err)
				}
				store.ReceiptsOf(tx).Add(l.d.parkedReceipt(m))
			default:
				t.outcome = outcomeHandled
				if t.item.unreadable != nil {
					at = i
					return Permanent(t.item.unreadable)
				}
				if t.item.deliveries[0].Redelivered { // or taken from the log
					overtaken, err := l.overtaken(ctx, tx, t.route, t.item.envelope)
					if err != nil {
						return err
					}
					if overtaken {
						l.handled(tx, t.route, t.item.envelope)
						continue
					}
				}
				l.hands.take(l.outage.worker, t.route.Handler, t.item.envelope.ID, hungAfter)
				if err := l.d.Dispatch(ctx, t.route, t.item.envelope, t.item.value, in(tx)); err != nil {
					at = i
					return err
				}
				l.handled(tx, t.route, t.item.envelope)
			}
		}
		return nil
	})
	switch {
	case err == nil && parked:
		l.wake()
	case at >= 0 && hung(err): // a handler was slow, the database is not
		err = &timedOut{limit: unitLimit, err: err}
	}
	return at, err
}

// done settles the first n tasks, whose unit is committed: what has no task left is acked.
func (l *lane) done(n int) {
	l.outage.over()
	l.hands.free(l.outage.worker)
	now, handled := time.Now(), false
	for _, t := range l.todo[:n] {
		l.settled(t.route.Handler, t.outcome)
		if t.outcome == outcomeHandled {
			handled = true
			l.opts.Metrics.lag.WithLabelValues(l.service).Observe(now.Sub(t.item.envelope.Time).Seconds())
		}
		l.release(t)
	}
	clear(l.todo[:n])
	l.todo = l.todo[n:]
	if handled {
		l.breaker.succeeded()
	}
}

// release acks the message of a settled task, when it was the last.
func (l *lane) release(t *task) {
	if t.item.open--; t.item.open > 0 {
		return
	}
	delete(l.items, t.item.envelope.ID)
	for _, d := range t.item.deliveries {
		l.logSettling(d.Ack())
	}
}
