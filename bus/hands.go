package bus

import (
	"fmt"
	"sync"
	"time"
)

// hungAfter is how long the handler of an event may run until it is called hung. It gets more time, and more tries;
// then its message is parked.
const hungAfter = HandlerTimeout / 3

// hands holds what the workers of a consumer have in hand.
type hands struct {
	mu   sync.Mutex
	busy map[string]hand // by worker
}

// hand is one handling of a message.
type hand struct {
	handler, message string
	since            time.Time
	limit            time.Duration
}

// take notes what a worker handles; a further try of the same message is the same handling.
func (h *hands) take(worker, handler, message string, limit time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if was, ok := h.busy[worker]; ok && was.handler == handler && was.message == message {
		return
	}
	if h.busy == nil {
		h.busy = map[string]hand{}
	}
	h.busy[worker] = hand{handler, message, time.Now(), limit}
}

func (h *hands) free(worker string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.busy, worker)
}

// hung names the handler that is over its limit for the longest time.
func (h *hands) hung() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	worst, why := time.Duration(0), ""
	for _, b := range h.busy {
		if took := time.Since(b.since); took >= b.limit && took > worst {
			worst, why = took, fmt.Sprintf("%s has handled message %s for %s", b.handler, b.message,
				took.Truncate(time.Second))
		}
	}
	return why
}
