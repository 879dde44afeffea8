package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
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
	// lackAgain is how often what is missing is logged.
	lackAgain = time.Minute
)

// watcher looks after the parts of the broker that the consumer needs.
type watcher struct {
	*loop
	inspector broker.Inspector
	lacks     *atomic.Pointer[[]broker.Lack]

	held chan broker.Delivery          // from the log, for the lanes
	mark atomic.Pointer[store.LogMark] // up to where all is handled for certain; nil until it was read
	turn chan struct{}                 // one catching up at a time
	end  broker.LogEntry               // an entry near the end of the log when it was last compared
}

// Lacks lists what the consumer misses of the broker's topology.
func (c *Consumer) Lacks() []broker.Lack {
	if lacks := c.lacks.Load(); lacks != nil {
		return *lacks
	}
	return nil
}

// watch works until the consumer ends.
func (w *watcher) watch(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-w.draining:
			cancel()
		case <-ctx.Done():
		}
	}()
	topology := broker.Topology{Services: []broker.ServiceTopology{{Service: w.service, Topics: w.d.Topics()}}}
	var said string
	var saidAt, verified time.Time
	began, lacked := false, false
	for tick := time.Duration(0); w.sleep(ctx, tick); tick = w.opts.Inspect {
		if !began {
			if err := w.begin(ctx); err != nil {
				w.log.Debug("how far the log is handled is not known yet", "error", err)
			} else {
				began = true
			}
		}
		lacks, err := w.inspect(ctx, topology)
		if err != nil {
			continue // the connection's own state tells
		}
		text := ""
		for _, l := range lacks {
			text += l.Err.Error() + "; "
		}
		switch {
		case text == "" && said != "":
			w.log.Info("the broker has all that was missing")
		case text != said || text != "" && time.Since(saidAt) > lackAgain:
			w.log.Error("the broker lacks what this service needs: run stega migrate", "missing", strings.TrimSuffix(text, "; "))
			saidAt = time.Now()
		}
		said = text
		if len(lacks) > 0 {
			lacked = true
			continue
		}
		if err := w.resend(ctx); err != nil && ctx.Err() == nil {
			w.log.Warn("whether commands were lost is not known at present", "error", err)
		}
		if !began || !lacked && time.Since(verified) < w.opts.Verify {
			continue
		}
		done, err := w.catchUp(ctx, lacked, w.hand)
		switch {
		case err != nil && ctx.Err() == nil:
			w.log.Warn("the log cannot be compared with what was handled, trying on", "error", err)
		case err == nil && done:
			verified, lacked = time.Now(), false
		}
	}
}

// resend sends commands again that the queue has lost: their jobs have not begun, they are not about to be sent, and
// nothing waits in the queue, at two looks.
func (w *watcher) resend(ctx context.Context) error {
	var before []string
	for {
		ids, err := w.db.LostCommands(ctx)
		if err != nil || len(ids) == 0 {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, catchUpEntry)
		depth, err := w.broker.Depth(limited, w.service, broker.Commands)
		cancel()
		if err != nil || depth > int(w.inHand.Load()) {
			return err
		}
		if before == nil {
			before = ids
			if !w.sleep(ctx, catchUpAgain) {
				return nil
			}
			continue
		}
		if ids = slices.DeleteFunc(ids, func(id string) bool { return !slices.Contains(before, id) }); len(ids) == 0 {
			return nil
		}
		n, err := w.db.SendCommandsAgain(ctx, ids)
		if n > 0 {
			w.log.Warn("commands were lost from the queue and are sent again", "commands", n)
		}
		return err
	}
}

func (w *watcher) inspect(ctx context.Context, t broker.Topology) ([]broker.Lack, error) {
	ctx, cancel := context.WithTimeout(ctx, catchUpEntry)
	defer cancel()
	lacks, err := w.inspector.Inspect(ctx, t)
	if err == nil {
		w.lacks.Store(&lacks)
	}
	return lacks, err
}

// hand passes a delivery to the event loop.
func (w *watcher) hand(ctx context.Context, d broker.Delivery) error {
	select {
	case w.held <- d:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin marks topics that have no mark yet: where the others stand, as an earlier version compared the log so far,
// and in a service without marks at the beginning, where the inbox tells what was handled.
func (w *watcher) begin(ctx context.Context) error {
	if w.mark.Load() != nil {
		return nil
	}
	marks, err := w.db.LogMarks(ctx)
	if err != nil {
		return err
	}
	var here *store.LogMark
	for _, topic := range w.d.Topics() {
		if m, ok := marks[topic]; ok && (here == nil || m.Before(*here)) {
			here = &m
		}
	}
	if here == nil {
		here = &store.LogMark{}
	}
	err = w.db.Do(ctx, func(_ context.Context, tx *store.Tx) error {
		for _, topic := range w.d.Topics() {
			tx.BeginLogMark(store.LogMark{Topic: topic, Position: here.Position, MessageID: here.MessageID})
		}
		return nil
	})
	if err == nil {
		w.mark.CompareAndSwap(nil, here)
	}
	return err
}

func (w *watcher) bounds(ctx context.Context) (broker.LogBounds, error) {
	ctx, cancel := context.WithTimeout(ctx, catchUpEntry)
	defer cancel()
	return w.broker.LogBounds(ctx)
}

// catchUp brings what the inbox lacks from the log; done is false when it was not the time to look. Unless something
// is known to be missing (sure), what is on its way through the queue is waited for first.
func (w *watcher) catchUp(ctx context.Context, sure bool, hand func(context.Context, broker.Delivery) error) (done bool, err error) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return w.compare(ctx, sure, hand)
}

func (w *watcher) compare(ctx context.Context, sure bool, hand func(context.Context, broker.Delivery) error) (done bool, err error) {
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

// gap catches up before the first delivery of a queue that was gone, so that what came meanwhile keeps its order.
// What cannot be taken now is taken later.
func (w *watcher) gap(ctx context.Context, hand func(context.Context, broker.Delivery) error) {
	ctx, cancel := context.WithTimeout(ctx, unitLimit)
	defer cancel()
	if err := w.begin(ctx); err != nil {
		w.log.Warn("the queue was gone, and what came meanwhile cannot be taken from the log yet", "error", err)
		return
	}
	for waiting := true; waiting; { // for the one that catches up already: the event loop, which waits here, takes what it brings
		select {
		case w.turn <- struct{}{}:
			waiting = false
		case d := <-w.held:
			_ = hand(ctx, d)
		case <-ctx.Done():
			return
		case <-w.draining:
			return
		}
	}
	defer func() { <-w.turn }()
	if _, err := w.compare(ctx, true, hand); err != nil && !w.isDraining() {
		w.log.Warn("the queue was gone, and what came meanwhile cannot be taken from the log yet", "error", err)
	}
}

// quiet reports whether nothing is on its way through the queue.
func (w *watcher) quiet(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, catchUpEntry)
	defer cancel()
	n, err := w.broker.Depth(ctx, w.service, broker.Events)
	return err == nil && n == 0
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
		p.log.Warn("the broker's log does not reach back to what was handled last. If a view lacks something, run: stega rebuild --service "+
			p.service, "position", start, "oldest", p.bounds.First)
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
		case over && first && from.MessageID != "", !over && first && from.MessageID != "" && (e.Position != from.Position || e.ID != from.MessageID):
			return p.anew(from)
		case over && !reached:
			return fmt.Errorf("the log gives nothing after position %d", p.upto.Position)
		case !over:
			p.upto = store.LogMark{Position: e.Position, MessageID: e.ID}
			reached = reached || e.Position >= p.bounds.Recent.Position
			over = reached && e.Time.After(began) // what is newer has its time later
			if m, ok := p.marks[e.Type]; ok && (m.MessageID == "" || e.Position > m.Position) && time.Since(e.Time) < catchUpAge {
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
	p.log.Warn("the broker's log is another one than before: what was published to the old one and not handled is not in it. "+
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
	upto := p.upto
	p.mark.Store(&upto)
	slices.SortFunc(moved, func(a, b store.LogMark) int { return cmp.Compare(a.Topic, b.Topic) })
	return p.db.Do(ctx, func(_ context.Context, tx *store.Tx) error {
		tx.SetLogMarks(moved)
		return nil
	})
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
	err := t.loop.bury(context.Background(), &outage{loop: t.loop, who: "dead letters of the log"}, d)
	t.settled <- err == nil
	return err
}

// unbound notes that the service is bound to a topic that this version has no handler for: another version, which has
// one, takes it from the log, from here on.
func (l *lane) unbound(ctx context.Context, topic string) error {
	w := l.watcher
	if w == nil {
		return nil
	}
	if err := w.begin(ctx); err != nil {
		return err
	}
	here := w.mark.Load()
	return l.outage.insist(ctx, "mark the log", func(_ context.Context, tx *store.Tx) error {
		tx.BeginLogMark(store.LogMark{Topic: topic, Position: here.Position, MessageID: here.MessageID})
		return nil
	})
}
