package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"stega/broker"
	"stega/store"
)

// A queue, or one of its bindings, can vanish: what is published meanwhile reaches the log alone. And a version of
// the service that takes a new topic can be bound to it while an older one still runs, which has no handler for it.
// So the consumer keeps, for each topic, how far the log is known to be handled (store.LogMark), and compares the log
// with its inbox from there: when it begins, when something was missing, and now and then. What the inbox lacks is
// taken from the log, through the same lanes.

const (
	// catchUpAge bounds what is taken from the log. It is less than the inbox remembers.
	catchUpAge = 5 * 24 * time.Hour
	// catchUpBytes bounds what is taken from the log at a time.
	catchUpBytes = 32 << 20
	// catchUpRows is how many entries are looked up in the inbox at a time.
	catchUpRows = 256
	// catchUpEntry is how long one entry of the log is waited for.
	catchUpEntry = 10 * time.Second
	// catchUpIdle is how long nothing comes at the end of the log.
	catchUpIdle = 500 * time.Millisecond
	// catchUpAgain is how long what seems to be missing is waited for, as another process may have it in hand.
	catchUpAgain = 2 * time.Second
)

// catchUp brings what the inbox lacks from the log; done is false when it was not the time to look. Unless something
// is known to be missing (sure), what is on its way through the queue is waited for first.
func (w *watcher) catchUp(
	ctx context.Context, sure bool, hand func(context.Context, broker.Delivery) error,
) (done bool, err error) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return w.compare(ctx, sure, hand)
}

func (w *watcher) compare(
	ctx context.Context, sure bool, hand func(context.Context, broker.Delivery) error,
) (done bool, err error) {
	for {
		if !sure && !w.quiet(ctx) {
			return false, nil
		}
		bounds, err := w.bounds(ctx)
		if err != nil || bounds.Empty {
			return err == nil, err
		}
		if !sure && w.end.ID != "" && w.end.ID == bounds.Recent.ID && w.end.Position == bounds.Recent.Position {
			return true, nil
		}
		if !sure && !w.quiet(ctx) { // what stands in the log by now has gone through the queue
			return false, nil
		}
		p := pass{watcher: w, bounds: bounds}
		if err := p.read(ctx); err != nil {
			return false, err
		}
		if !sure && len(p.lost) > 0 {
			if !w.sleep(ctx, catchUpAgain) {
				return false, ctx.Err()
			}
			if err := p.sift(ctx); err != nil {
				return false, err
			}
		}
		if err := p.replay(ctx, hand); err != nil {
			return false, err
		}
		if err := p.save(ctx); err != nil {
			return false, err
		}
		if !p.more {
			w.end = broker.LogEntry{Position: bounds.Recent.Position}
			w.end.ID = bounds.Recent.ID
			return true, nil
		}
	}
}

// pass is one comparison of the log with the inbox.
type pass struct {
	*watcher
	bounds broker.LogBounds

	marks map[string]store.LogMark // of the topics that are handled
	lost  []broker.LogEntry        // in order
	bytes int
	upto  store.LogMark // the last entry that was read
	more  bool          // it ended before the end, as there was enough to take
}

// read finds what the inbox lacks.
func (p *pass) read(ctx context.Context) error {
	marks, err := p.db.LogMarks(ctx)
	if err != nil {
		return err
	}
	p.marks = map[string]store.LogMark{}
	var from *store.LogMark
	for _, topic := range p.d.Topics() {
		m, ok := marks[topic]
		if !ok { // since another version deleted it, or by hand
			here := p.mark.Load()
			m = store.LogMark{Topic: topic, Position: here.Position, MessageID: here.MessageID}
		}
		p.marks[topic] = m
		if from == nil || m.Before(*from) {
			from = &m
		}
	}
	if from == nil {
		return nil
	}
	start := from.Position
	if from.MessageID != "" && start < p.bounds.First {
		p.log.Warn("the broker's log does not reach back to the last event that was handled. "+
			"If a view lacks something, run: stega rebuild --service "+p.service, "position", start, "oldest",
			p.bounds.First)
		from.MessageID, start = "", p.bounds.First
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	entries, err := p.broker.Log(ctx, start)
	if err != nil {
		return err
	}
	timer := time.NewTimer(catchUpEntry)
	defer timer.Stop()
	var batch []broker.LogEntry
	reached := from.MessageID != "" && from.Position >= p.bounds.Recent.Position
	for first := true; ; first = false {
		wait := catchUpEntry
		if reached && !first {
			wait = catchUpIdle
		}
		timer.Reset(wait)
		var e broker.LogEntry
		over := false
		select {
		case next, open := <-entries:
			if !open {
				return errors.New("the log ended while it was read")
			}
			e = next
		case <-timer.C:
			over = true
		case <-ctx.Done():
			return ctx.Err()
		}
		switch {
		case over && first && from.MessageID != "", !over && first && from.MessageID != "" &&
			(e.Position != from.Position || e.ID != from.MessageID):
			return p.anew(from)
		case over && !reached:
			return fmt.Errorf("the log gives nothing after position %d", p.upto.Position)
		case !over:
			p.upto = store.LogMark{Position: e.Position, MessageID: e.ID}
			reached = reached || e.Position >= p.bounds.Recent.Position
			over = reached && e.Time.After(began) // what is newer has its time later
			if m, ok := p.marks[e.Type]; ok && (m.MessageID == "" || e.Position > m.Position) &&
				time.Since(e.Time) < catchUpAge {
				batch = append(batch, e)
				p.bytes += len(e.Data)
			}
		}
		if len(batch) == catchUpRows || over || p.bytes > catchUpBytes {
			lost, err := p.lacking(ctx, batch)
			if err != nil {
				return err
			}
			p.lost = append(p.lost, lost...)
			batch, p.bytes = nil, size(p.lost)
		}
		if over || p.bytes > catchUpBytes {
			p.more = !over
			return nil
		}
	}
}

func size(entries []broker.LogEntry) (n int) {
	for _, e := range entries {
		n += len(e.Data)
	}
	return n
}

// anew makes the next pass begin at the beginning, as another event stands where a mark is.
func (p *pass) anew(from *store.LogMark) error {
	p.log.Warn(
		"the broker's log is another one than before: it lacks what was published to the old one and not handled. "+
			"If a view lacks something, run: stega rebuild --service "+p.service, "position", from.Position)
	p.upto, p.more = store.LogMark{}, true
	return nil
}

// sift keeps of what was lost what still is.
func (p *pass) sift(ctx context.Context) error {
	var still []broker.LogEntry
	for chunk := range slices.Chunk(p.lost, catchUpRows) {
		lost, err := p.lacking(ctx, chunk)
		if err != nil {
			return err
		}
		still = append(still, lost...)
	}
	p.lost = still
	return nil
}

// lacking are those entries that one of their handlers has not handled.
func (p *pass) lacking(ctx context.Context, entries []broker.LogEntry) (lost []broker.LogEntry, err error) {
	if len(entries) == 0 {
		return nil, nil
	}
	var claims []store.Claim
	for _, e := range entries {
		for _, r := range p.d.events[e.Type] {
			claims = append(claims, store.Claim{MessageID: e.ID, Handler: r.Handler})
		}
	}
	handled, err := p.db.Handled(ctx, claims, collected)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	at := 0
	for _, e := range entries {
		missing := false
		for range p.d.events[e.Type] {
			missing = missing || !handled[at]
			at++
		}
		if missing && !seen[e.ID] {
			seen[e.ID] = true
			lost = append(lost, e)
		}
	}
	return lost, nil
}

// replay hands what was lost to the lanes, and waits until it is settled.
func (p *pass) replay(ctx context.Context, hand func(context.Context, broker.Delivery) error) error {
	if len(p.lost) == 0 {
		return nil
	}
	topics := map[string]int{}
	for _, e := range p.lost {
		topics[e.Type]++
	}
	p.log.Warn("events did not come from the queue and are taken from the log", "events", len(p.lost), "topics", topics)
	p.opts.Metrics.recovered.WithLabelValues(p.service).Add(float64(len(p.lost)))
	settled := make(chan bool, len(p.lost))
	for _, e := range p.lost {
		d := broker.Delivery{Message: e.Message, Service: p.service, Queue: broker.Events, Redelivered: true}
		d.Settler = &taken{loop: p.loop, message: d, settled: settled}
		if err := hand(ctx, d); err != nil {
			return err
		}
	}
	kept := true
	for range p.lost {
		select {
		case handled := <-settled:
			kept = kept && handled
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !kept {
		return errStopped
	}
	return nil
}

// save moves the marks.
func (p *pass) save(ctx context.Context) error {
	var moved []store.LogMark
	for topic, m := range p.marks {
		if m.Position != p.upto.Position || m.MessageID != p.upto.MessageID {
			moved = append(moved, store.LogMark{Topic: topic, Position: p.upto.Position, MessageID: p.upto.MessageID})
		}
	}
	if len(moved) == 0 {
		return nil
	}
	slices.SortFunc(moved, func(a, b store.LogMark) int { return cmp.Compare(a.Topic, b.Topic) })
	err := p.db.Do(ctx, func(_ context.Context, tx *store.Tx) error {
		store.InboxOf(tx).SetLogMarks(moved)
		return nil
	})
	if upto := p.upto; err == nil {
		p.mark.Store(&upto)
	}
	return err
}

// taken settles a delivery that was taken from the log.
type taken struct {
	loop    *loop
	message broker.Delivery
	settled chan<- bool
}

func (t *taken) Ack() error {
	t.settled <- true
	return nil
}

func (t *taken) Release() error {
	t.settled <- false
	return nil
}

// Reject stores the message as a dead letter: there is no queue that it could be moved from.
func (t *taken) Reject(reason string) error {
	d := t.message
	d.Reason, d.At = reason, time.Now()
	err := t.loop.storeDead(context.Background(), &outage{loop: t.loop, worker: "dead letters of the log"}, d)
	t.settled <- err == nil
	return err
}
