package stream

import "sync"

// item is one frame on its way to a client.
type item struct {
	frame []byte
	key   string // a later item with the same key takes its place; empty for one that nothing replaces
	read  int64  // when its event was read from the log, in unix nanoseconds; 0 for what is no push
	ping  bool   // an answer is due once it is written
	cost  int    // what the queue counts it for
}

// queue is what waits to be written to one client, bounded in bytes. A frame counts for a quarter of the bound at
// most, so that one that is larger than the bound can be sent at all; its bytes are shared with all who get it.
type queue struct {
	mu    sync.Mutex
	items []item
	keys  map[string]int // where the items with keys are, counted from the first ever
	taken int            // how many were taken, ever
	bytes int
	busy  bool          // a writer runs
	ended bool          // nothing more is taken in
	room  chan struct{} // closed when there is room again; nil when none waits
}

// What became of a push.
type pushed int

const (
	pushedQuietly pushed = iota
	pushedFirst          // and a writer must begin
	pushedTooMuch        // it does not fit
	pushedNowhere        // the queue has ended
)

// push takes an item in.
func (q *queue) push(it item, limit int) pushed {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return pushedNowhere
	}
	if it.key != "" {
		q.replace(it.key)
	}
	if it.cost = min(len(it.frame), limit/4); q.bytes+it.cost > limit {
		return pushedTooMuch
	}
	if it.key != "" {
		if q.keys == nil {
			q.keys = map[string]int{}
		}
		q.keys[it.key] = q.taken + len(q.items)
	}
	q.items = append(q.items, it)
	q.bytes += it.cost
	if q.busy {
		return pushedQuietly
	}
	q.busy = true
	return pushedFirst
}

// replace drops what waits under a key. The lock is held.
func (q *queue) replace(key string) {
	at, waits := q.keys[key]
	if !waits {
		return
	}
	old := &q.items[at-q.taken]
	q.bytes -= old.cost
	*old = item{}
	delete(q.keys, key)
}

// take appends the next frames to an empty batch, up to about size bytes. When there are none nobody is busy any
// more; but when the queue has ended, the writer is to finish.
func (q *queue) take(batch []item, size int) (taken []item, finish bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	bytes, n := 0, 0
	for n < len(q.items) && (bytes == 0 || bytes+len(q.items[n].frame) <= size) {
		it := q.items[n]
		n++
		if it.frame == nil {
			continue // another took its place
		}
		if it.key != "" {
			delete(q.keys, it.key)
		}
		bytes += len(it.frame)
		batch = append(batch, it)
	}
	q.taken += n
	if n == len(q.items) {
		q.items = nil // an idle client keeps no memory for it
	} else {
		q.items = q.items[n:]
	}
	finish = len(batch) == 0 && q.ended
	q.busy = len(batch) > 0 || finish
	return batch, finish
}

// wrote gives back the room of what was taken.
func (q *queue) wrote(cost, limit int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= cost
	if q.room != nil && q.bytes <= limit {
		close(q.room)
		q.room = nil
	}
}

// spacious returns nil when at most so many bytes wait, else a channel that is closed when that is so.
func (q *queue) spacious(limit int) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes <= limit || q.ended {
		return nil
	}
	if q.room == nil {
		q.room = make(chan struct{})
	}
	return q.room
}

// end takes nothing more in, and drops what waits when asked to. It says whether somebody must begin to write, to
// finish.
func (q *queue) end(drop bool) (first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	if drop {
		for _, it := range q.items {
			q.bytes -= it.cost
		}
		q.taken += len(q.items)
		q.items, q.keys = nil, nil
	}
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
	first = !q.busy
	q.busy = true
	return first
}

// waiting is how many bytes wait.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
