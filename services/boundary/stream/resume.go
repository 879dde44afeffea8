package stream

import (
	"context"
	"errors"
	"time"

	"stega/broker"
	"stega/fault"
)

// How a client that catches up is fed: little at a time, as it reads.
const (
	stepEntries = 512
	stepBytes   = 32 << 10
	proveWithin = 10 * time.Second
)

// next is the first position after p.
func (p Position) next() uint64 {
	if p.ID == "" && p.Position == 0 {
		return 0
	}
	return p.Position + 1
}

// standing is where a position lies, as far as the window has it.
type standing int

const (
	here    standing = iota // it is proven, and all that came since is in memory
	older                   // it is before the window: the log is read
	ahead                   // this process has not read so far
	strange                 // another event stands there
)

// classify looks a position up in the window. The lock is held.
func (h *Hub) classify(p Position) standing {
	w := &h.window
	if p == (Position{}) {
		if w.whole {
			return here
		}
		return older
	}
	if p.Position > w.tail.Position || w.tail.ID == "" {
		return ahead
	}
	id, inside := w.at(p.Position)
	switch {
	case !inside:
		return older
	case id != p.ID || id == "":
		return strange
	}
	return here
}

var (
	errUnknown = fault.Conflict("position_unknown",
		"the event log has another event at this position, or none: it is another log").
		WithHint("read the state anew, and subscribe from the position that comes with it")
	errExpired = fault.Conflict("position_expired", "the event log does not reach back to this position any more").
			WithHint("read the state anew, and subscribe from the position that comes with it")
)

// prove makes sure that a position is one of this log, and that all that came since can still be read; else it says
// why not.
func (h *Hub) prove(ctx context.Context, p Position) error {
	err := h.proven(ctx, p)
	result := "log"
	switch {
	case errors.Is(err, errUnknown):
		result = "unknown"
	case errors.Is(err, errExpired):
		result = "expired"
	case err != nil:
		result = "failed"
	}
	h.metrics.resumes.WithLabelValues(result).Inc()
	return err
}

func (h *Hub) proven(ctx context.Context, p Position) error {
	late := time.NewTimer(h.o.Ahead)
	defer late.Stop()
	for {
		h.mu.Lock()
		verdict := h.classify(p)
		if h.moved == nil {
			h.moved = make(chan struct{})
		}
		moved := h.moved
		h.mu.Unlock()
		switch verdict {
		case here:
			return nil
		case strange:
			return errUnknown
		case older:
			return h.proveByLog(ctx, p)
		case ahead:
		}
		select { // another process may have read further than this one
		case <-moved:
		case <-late.C:
			return errUnknown
		case <-ctx.Done():
			return fault.Unavailable("log_unavailable", "the connection is being closed").Because(ctx.Err())
		}
	}
}

// proveByLog reads the event at a position that is no longer in memory from the log.
func (h *Hub) proveByLog(ctx context.Context, p Position) error {
	ctx, cancel := context.WithTimeout(ctx, proveWithin)
	defer cancel()
	away := func(err error) error {
		return fault.Unavailable("log_unavailable",
			"the event log does not answer").WithHint("try again shortly").Because(err)
	}
	bounds, err := h.log.LogBounds(ctx)
	if err != nil {
		return away(err)
	}
	switch {
	case p == (Position{}) && bounds.First == bounds.Origin:
		return nil
	case p == (Position{}):
		return errExpired
	case p.Position < bounds.Origin:
		return errUnknown
	case bounds.Empty || p.Position < bounds.First:
		return errExpired
	}
	entries, err := h.entries(ctx, p.Position)
	if err != nil {
		return away(err)
	}
	select {
	case e, open := <-entries:
		switch {
		case !open:
			return away(ctx.Err())
		case e.Position != p.Position && h.lost(ctx, p.Position):
			return errExpired
		case e.Position != p.Position || e.ID != p.ID:
			return errUnknown
		}
		return nil
	case <-ctx.Done():
		return away(ctx.Err())
	}
}

// entries reads the log beside the hub's own reader. ctx must end.
func (h *Hub) entries(ctx context.Context, from uint64) (<-chan broker.LogEntry, error) {
	select {
	case h.reads <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	entries, err := h.log.Log(ctx, from)
	if err != nil {
		<-h.reads
		return nil, err
	}
	h.metrics.reads.Inc()
	context.AfterFunc(ctx, func() { <-h.reads })
	return entries, nil
}

// resume brings subscriptions of a client from a position to the end, where they go live, all at once.
type resume struct {
	c    *client
	subs []*subscription
	next uint64 // the first position that they have not got
}

// run catches up. It is a task of the client.
func (r *resume) run(ctx context.Context) {
	h := r.c.h
	for {
		if !r.room(ctx) {
			return
		}
		h.mu.Lock()
		covered := h.window.covers(r.next)
		done := covered && r.step()
		h.mu.Unlock()
		if done {
			return
		}
		if !covered {
			if err := r.readLog(ctx); err != nil {
				if ctx.Err() == nil {
					h.o.Log.Warn("a client cannot catch up from the event log", "from", r.next, "error", err)
					r.c.close(codeAgain, "the event log cannot be read", false)
				}
				return
			}
		}
	}
}

// room waits until the client has read enough of what waits for it.
func (r *resume) room(ctx context.Context) bool {
	for {
		full := r.c.queue.spacious(r.c.h.o.Queue / 4)
		if full == nil {
			return ctx.Err() == nil
		}
		select {
		case <-full:
		case <-ctx.Done():
			return false
		}
	}
}

// step pushes some of the window. At its end the subscriptions go live, and it returns true. The lock is held.
func (r *resume) step() (done bool) {
	bytes, scanned := 0, 0
	for _, e := range r.c.h.window.from(r.next) {
		if scanned == stepEntries || bytes >= stepBytes {
			return false
		}
		n, fits := r.push(e)
		if !fits {
			return false
		}
		bytes += n
		scanned++
	}
	for _, s := range r.subs {
		if !s.gone {
			s.live = true
			r.c.resuming--
		}
	}
	return true
}

// push queues an entry when one of the subscriptions takes it and there is room. The lock is held.
func (r *resume) push(e *entry) (bytes int, fits bool) {
	c := r.c
	var mask uint64
	var channels []*channel
	firm := false
	for _, s := range r.subs {
		if !s.gone && len(channels) < maskBits && s.channel.takes(e) {
			mask |= 1 << len(channels)
			channels = append(channels, s.channel)
			firm = firm || !s.coalesce
		}
	}
	if mask != 0 {
		bytes = e.size()
		if c.queue.waiting() > c.h.o.Queue/2 {
			return 0, false
		}
		c.push(e, mask, firm, channels, nil)
	}
	r.next = e.Position + 1
	return bytes, true
}

// seenMost bounds the event ids that a reader of the log keeps, to drop duplicates.
const seenMost = 1 << 14

// readLog pushes from the log until the window goes on.
func (r *resume) readLog(ctx context.Context) error {
	h := r.c.h
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	entries, err := h.entries(ctx, r.next)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for l := range entries {
		if l.Position > r.next && r.next > 0 && h.lost(ctx, r.next) {
			return errReset
		}
		e := newEntry(l, h.internal)
		if e.again = seen[l.ID]; len(seen) == seenMost {
			clear(seen)
		}
		seen[l.ID] = true
		covered, err := r.pass(ctx, e)
		if err != nil || covered {
			return err
		}
	}
	return errEnded
}

// pass pushes an entry of the log, unless the window has it.
func (r *resume) pass(ctx context.Context, e *entry) (covered bool, err error) {
	h := r.c.h
	for {
		if !r.room(ctx) {
			return false, ctx.Err()
		}
		h.mu.Lock()
		covered = h.window.covers(r.next)
		fits := covered
		if !covered {
			_, fits = r.push(e)
		}
		h.mu.Unlock()
		if fits {
			return covered, nil
		}
	}
}
