package stream

import (
	"slices"

	"stega/broker"
)

// watchAhead is how many entries may wait for a watcher in the process.
const watchAhead = 64

// watcher watches one channel in the process.
type watcher struct {
	out    chan broker.LogEntry
	closed bool // guarded by the hub's lock
}

func (w *watcher) take(e *entry) {
	if w.closed {
		return
	}
	select {
	case w.out <- e.LogEntry:
	default:
		w.close() // a watcher that does not keep up is closed, and not given a part
	}
}

func (w *watcher) close() {
	if !w.closed {
		w.closed = true
		close(w.out)
	}
}

// Watch subscribes in the process: from now on every entry of the channel comes. events is closed after stop, when
// the hub ends or the log begins anew or cannot be followed, and when the receiver falls behind by 64 entries; one
// who waits for something then looks again. A name that is no channel has no events.
func (h *Hub) Watch(name string) (events <-chan broker.LogEntry, stop func()) {
	w := &watcher{out: make(chan broker.LogEntry, watchAhead)}
	parsed, err := parseChannel(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || h.life.Err() != nil || h.trouble != nil {
		w.close()
		return w.out, func() {}
	}
	c := h.index.open(parsed)
	c.watchers = append(c.watchers, w)
	return w.out, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		w.close()
		c.watchers = slices.DeleteFunc(c.watchers, func(other *watcher) bool { return other == w })
		h.index.release(c)
	}
}
