package stream

import (
	"context"
	"errors"
	"time"

	"stega/broker"
)

// How the log is followed.
const (
	checkEvery = 30 * time.Second // whether it is still the same log
	againAfter = 100 * time.Millisecond
	againMost  = 5 * time.Second
)

var (
	errReset = errors.New("the event log is another one, or lost entries before they were read")
	errEnded = errors.New("the event log ended")
)

// Run follows the log and serves clients until ctx ends; ready is called once the end of the log was reached. Then every client
// that Drain has not closed yet is cut off.
func (h *Hub) Run(ctx context.Context, ready func()) error {
	swept := make(chan struct{})
	sweeping, stop := context.WithCancel(ctx)
	go func() {
		defer close(swept)
		h.sweep(sweeping)
	}()
	pause := againAfter
	for ctx.Err() == nil {
		began := time.Now()
		err := h.follow(ctx, &ready)
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, errReset) {
			h.o.Log.Warn("the event log does not go on where it was; clients are told to come back", "cause", err)
			h.reset()
		} else {
			h.o.Log.Warn("the event log cannot be followed, trying on", "cause", err)
		}
		if time.Since(began) > againMost {
			pause = againAfter
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, againMost)
	}
	stop()
	<-swept
	h.finish()
	return nil //nolint:nilerr // that of following was told, and the end of ctx is no fault
}

// follow reads the log until it ends or turns out to be another one.
func (h *Hub) follow(ctx context.Context, ready *func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bounds, err := h.log.LogBounds(ctx)
	if err != nil {
		return err
	}
	from, err := h.begin(bounds)
	if err != nil {
		return err
	}
	entries, err := h.log.Log(ctx, from)
	if err != nil {
		return err
	}
	h.readyAt(bounds, ready)
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
			h.readyAt(bounds, ready)
		case <-check.C:
			if bounds, err = h.log.LogBounds(ctx); err != nil {
				continue // it is away; the reader goes on by itself
			}
			if !h.same(bounds) {
				return errReset
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin says where to read from: from the last entry that was read, which must come again, or at first from a while before the end.
func (h *Hub) begin(bounds broker.LogBounds) (from uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if tail := h.window.tail; tail.ID != "" {
		if !h.sameLocked(bounds) || bounds.First > tail.Position {
			return 0, errReset
		}
		return tail.Position, nil
	}
	h.origin = bounds.Origin
	if bounds.Empty {
		h.window.begin(bounds.First == bounds.Origin, bounds.Origin)
		return 0, nil
	}
	back := min(uint64(h.o.Prefill), bounds.Recent.Position-bounds.First)
	from = bounds.Recent.Position - back
	h.window.begin(from == bounds.Origin, bounds.Origin)
	return from, nil
}

// readyAt tells once that the end of the log was reached.
func (h *Hub) readyAt(bounds broker.LogBounds, ready *func()) {
	h.mu.Lock()
	reached := bounds.Empty || h.window.tail.ID != "" && h.window.tail.Position >= bounds.Recent.Position
	h.running = h.running || reached
	h.mu.Unlock()
	if reached && *ready != nil {
		(*ready)()
		*ready = nil
	}
}

// same reports whether the log can be the one that was read so far.
func (h *Hub) same(bounds broker.LogBounds) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sameLocked(bounds)
}

func (h *Hub) sameLocked(bounds broker.LogBounds) bool {
	tail := h.window.tail
	switch {
	case tail.ID == "":
		return true
	case bounds.Empty: // all of it may have expired
		return bounds.Origin == h.origin && bounds.First > tail.Position
	case bounds.Recent.Position > tail.Position:
		return bounds.Origin <= tail.Position
	}
	id, inside := h.window.at(bounds.Recent.Position)
	return !inside || id == bounds.Recent.ID
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

// lost reports whether the log has dropped the entry of a position that a reader was about to get; a gap can also be an entry that cannot be
// read.
func (h *Hub) lost(ctx context.Context, position uint64) bool {
	bounds, err := h.log.LogBounds(ctx)
	return err != nil || bounds.First > position
}

// reset begins again on another log. What clients know of the old one is of no use.
func (h *Hub) reset() {
	h.mu.Lock()
	h.window.begin(false, 0)
	for _, c := range h.index.channels {
		for _, w := range c.watchers {
			w.close()
		}
	}
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
