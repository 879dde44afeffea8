package bus

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"stega/broker"
	"stega/store"
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
	report := broker.LackLog{Log: w.log}
	var verified time.Time
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
			continue // readiness reports the connection
		}
		report.Report(lacks)
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

// begin marks topics that have no mark yet at the mark of the others, up to which an earlier version compared the
// log. In a service without marks it begins at the start of the log, where the inbox has what was handled.
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
			store.InboxOf(tx).BeginLogMark(store.LogMark{
				Topic:     topic,
				Position:  here.Position,
				MessageID: here.MessageID,
			})
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

// gap catches up before the first delivery of a queue that was gone, so that what came meanwhile keeps its order.
// What cannot be taken now is taken later.
func (w *watcher) gap(ctx context.Context, hand func(context.Context, broker.Delivery) error) {
	ctx, cancel := context.WithTimeout(ctx, unitLimit)
	defer cancel()
	if err := w.begin(ctx); err != nil {
		w.log.Warn("the queue was gone, and what came meanwhile cannot be taken from the log yet", "error", err)
		return
	}
	// for the one that catches up already: the event loop, which waits here, takes what it brings
	for waiting := true; waiting; {
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
		store.InboxOf(tx).BeginLogMark(store.LogMark{Topic: topic, Position: here.Position, MessageID: here.MessageID})
		return nil
	})
}
