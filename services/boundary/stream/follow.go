package stream

import (
	"context"
	"errors"
	"time"

	"stega/broker"
	"stega/internal/backoff"
)

// How the log is followed.
const (
	checkEvery = 30 * time.Second // whether it is still the same log
	againAfter = 100 * time.Millisecond
	againMost  = 5 * time.Second
)

var (
	errReset    = errors.New("the event log is another one, or lost entries before they were read")
	errEnded    = errors.New("the event log ended")
	errUnproven = errors.New("the event log may be another one")
	errNotYet   = errors.New("the event log was not reached yet")
)

// Run follows the log and serves clients until ctx ends; ready is called once the end of the log was reached. Then
// every client that Drain has not closed yet is cut off.
func (h *Hub) Run(ctx context.Context, ready func()) error {
	swept := make(chan struct{})
	sweeping, stop := context.WithCancel(ctx)
	go func() {
		defer close(swept)
		h.sweep(sweeping)
	}()
	pause := backoff.Backoff{Base: againAfter, Max: againMost}
	var logged repeated
	for ctx.Err() == nil {
		began := time.Now()
		err := h.follow(ctx, &ready)
		if ctx.Err() != nil {
			break
		}
		h.adrift(err)
		if errors.Is(err, errReset) {
			h.o.Log.Warn("the event log does not continue where it was; clients must resume", "cause", err)
			h.reset()
		} else if logged.due(err) {
			h.o.Log.Warn("the event log cannot be followed, trying on", "cause", err)
		}
		if time.Since(began) > againMost {
			pause.Reset()
		}
		pause.Sleep(ctx)
	}
	stop()
	<-swept
	h.finish()
	return nil //nolint:nilerr // that of following was told, and the end of ctx is no fault
}

// logAgain is how often a trouble that lasts is logged.
const logAgain = time.Minute

// repeated is an error that was logged, and may come again soon.
type repeated struct {
	text string
	at   time.Time
}

// due reports whether an error is to be logged: it is another one than before, or time has passed.
func (r *repeated) due(err error) bool {
	if r.text == err.Error() && time.Since(r.at) < logAgain {
		return false
	}
	r.text, r.at = err.Error(), time.Now()
	return true
}

// adrift records that the log cannot be followed. Watchers are woken, and look for themselves.
func (h *Hub) adrift(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trouble = err
	h.closeWatchers()
}

// Trouble is why the hub does not follow the log at present; nil when it does.
func (h *Hub) Trouble() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.trouble
}

// closeWatchers ends what Watch has given out. The lock is held.
func (h *Hub) closeWatchers() {
	for _, c := range h.index.channels {
		for _, w := range c.watchers {
			w.close()
		}
	}
}

// follow reads the log until it ends or turns out to be another one.
func (h *Hub) follow(ctx context.Context, ready *func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bounds, err := h.log.LogBounds(ctx)
	if err != nil {
		return err
	}
	from, prove, err := h.begin(bounds)
	if err != nil {
		return err
	}
	entries, err := h.log.Log(ctx, from)
	if err != nil {
		return err
	}
	unproven := time.NewTimer(prove)
	defer unproven.Stop()
	if prove == 0 {
		unproven.Stop()
		h.readyAt(bounds, ready)
	}
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for {
		select {
		case e, open := <-entries:
			if !open {
				return errEnded
			}
			if err := h.take(ctx, e); err != nil {
				return err
			}
			unproven.Stop()
			h.readyAt(bounds, ready)
		case <-unproven.C: // the entry that was read last does not come again
			return errReset
		case <-check.C:
			if bounds, err = h.log.LogBounds(ctx); err != nil {
				continue // it is away; the reader goes on by itself
			}
			if same, known := h.same(bounds); known && !same {
				return errReset
			} else if !known {
				return errUnproven
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// How long the entry that was read last may take to come again: on a log that seems to be another one, and on any.
const (
	proveDoubted = 3 * time.Second
	proveKnown   = 10 * time.Second
)

// begin says where to read from: from the last entry that was read, which must come again within prove, or at first
// from a while before the end, where there is nothing to prove.
func (h *Hub) begin(bounds broker.LogBounds) (from uint64, prove time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if tail := h.window.tail; tail.ID != "" {
		same, known := h.sameLocked(bounds)
		switch {
		case known && !same, bounds.First > tail.Position:
			return 0, 0, errReset
		case known:
			return tail.Position, proveKnown, nil
		}
		return tail.Position, proveDoubted, nil
	}
	h.origin = bounds.Origin
	if bounds.Empty {
		h.window.begin(bounds.First == bounds.Origin, bounds.Origin)
		return 0, 0, nil
	}
	back := min(uint64(h.o.Prefill), bounds.Recent.Position-bounds.First)
	from = bounds.Recent.Position - back
	h.window.begin(from == bounds.Origin, bounds.Origin)
	return from, 0, nil
}

// readyAt calls ready once, when the end of the log was reached.
func (h *Hub) readyAt(bounds broker.LogBounds, ready *func()) {
	h.mu.Lock()
	reached := bounds.Empty || h.window.tail.ID != "" && h.window.tail.Position >= bounds.Recent.Position
	h.running = h.running || reached
	if reached {
		h.trouble = nil
	}
	h.mu.Unlock()
	if reached && *ready != nil {
		(*ready)()
		*ready = nil
	}
}

// same reports whether the log can be the one that was read so far, and whether its bounds say so much.
func (h *Hub) same(bounds broker.LogBounds) (same, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sameLocked(bounds)
}

func (h *Hub) sameLocked(bounds broker.LogBounds) (same, known bool) {
	tail := h.window.tail
	switch {
	case tail.ID == "":
		return true, true
	case bounds.Empty: // all of it may have expired
		return bounds.Origin == h.origin && bounds.First > tail.Position, true
	case bounds.Recent.Position > tail.Position:
		return bounds.Origin <= tail.Position, true
	}
	// The recent entry is at the end or shortly before it: in the window, unless that is very small, or the log another
	// one.
	id, inside := h.window.at(bounds.Recent.Position)
	return inside && id == bounds.Recent.ID, inside
}

// take hands an entry on.
func (h *Hub) take(ctx context.Context, l broker.LogEntry) error {
	tail := h.Position()
	if tail.ID != "" {
		switch {
		case l.Position == tail.Position && l.ID == tail.ID:
			return nil // where the reader began again
		case l.Position <= tail.Position:
			return errReset
		case l.Position > tail.Position+1 && h.lost(ctx, tail.Position+1):
			return errReset
		}
	}
	e := newEntry(l, h.internal)
	h.metrics.lag.Set(max(0, e.read.Sub(l.Time).Seconds()))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.window.add(e)
	h.deliver(e)
	if h.moved != nil {
		close(h.moved)
		h.moved = nil
	}
	h.metrics.fanOut.Observe(time.Since(e.read).Seconds())
	return nil
}

// lost reports whether the log has dropped the entry of a position that a reader was about to get; a gap can also be
// an entry that cannot be read.
func (h *Hub) lost(ctx context.Context, position uint64) bool {
	bounds, err := h.log.LogBounds(ctx)
	return err != nil || bounds.First > position
}

// reset begins again on another log. Positions of the old one are void.
func (h *Hub) reset() {
	h.mu.Lock()
	h.window.begin(false, 0)
	h.closeWatchers()
	clients := h.all()
	h.mu.Unlock()
	for _, c := range clients {
		c.close(codeReset, "the event log begins anew", false)
	}
}

// all lists the clients. The lock is held.
func (h *Hub) all() []*client {
	list := make([]*client, 0, len(h.clients))
	for c := range h.clients {
		list = append(list, c)
	}
	return list
}
