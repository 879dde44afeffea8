package embedded

import (
	"container/heap"
	"slices"
	"time"

	"stega/broker"
	"stega/events"
)

// Limits of a queue, and of the unconfirmed messages.
const (
	queueMessages  = 20_000
	queueBytes     = 64 << 20
	flightMessages = 4_096
	flightBytes    = 16 << 20

	overhead = 512 // bytes of a message besides its data, roughly
)

// load is a number of messages and their bytes.
type load struct{ messages, bytes int }

func (l *load) add(bytes int) {
	l.messages++
	l.bytes += bytes
}

func (l *load) sub(bytes int) {
	l.messages--
	l.bytes -= bytes
}

// fits reports whether another message fits within limits. The first one always does, whatever its size.
func (l load) fits(bytes, maxMessages, maxBytes int) bool {
	return l.messages == 0 || l.messages < maxMessages && l.bytes+bytes <= maxBytes
}

// item is one message in one queue.
type item struct {
	message     *events.Message // shared by all queues that it is in
	order       uint64          // its place in the queue
	size        int
	redelivered bool
	attempts    int
	copies      int // published copies that wait for it to be settled

	// Of dead letters.
	ids    []int64 // in the file, of it and of later copies of it
	reason string
	at     time.Time
	err    error
}

// queue holds the messages of one service of one kind, in memory. The lock of its broker guards it.
type queue struct {
	b    *Broker
	name name

	load      load // of the messages held, and of those still unconfirmed
	last      uint64
	arrived   fifo
	returned  byOrder // returned messages, which go before all that arrived
	consumers []*consumer
	dead      map[string]*item // the dead letters by message id, on the dead queue
}

func (q *queue) single() bool { return q.name.kind != broker.Commands }

func (q *queue) depth() int {
	n := q.arrived.len() + len(q.returned)
	for _, c := range q.consumers {
		n += c.out
	}
	return n
}

// put appends a message. Its load was added before.
func (q *queue) put(it *item) {
	q.last++
	it.order = q.last
	q.arrived.push(it)
}

// giveBack returns a message to its place.
func (q *queue) giveBack(it *item) { heap.Push(&q.returned, it) }

func (q *queue) next() *item {
	if len(q.returned) > 0 {
		return heap.Pop(&q.returned).(*item)
	}
	return q.arrived.pop()
}

func (q *queue) empty() bool { return len(q.returned) == 0 && q.arrived.len() == 0 }

// serve hands out waiting messages, as far as consumers may take them.
func (q *queue) serve() {
	for !q.empty() {
		c := q.taker()
		if c == nil {
			return
		}
		c.hand(q.next())
	}
}

// taker returns the consumer of the next message; nil when none may take it. Of an ordered queue it is the first
// consumer. The next one follows only when the first has settled its deliveries, which keeps the order.
func (q *queue) taker() *consumer {
	if len(q.consumers) == 0 {
		return nil
	}
	if q.single() {
		if c := q.consumers[0]; c.takes() {
			return c
		}
		return nil
	}
	best := -1
	for i, c := range q.consumers {
		if c.takes() && (best < 0 || c.out < q.consumers[best].out) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	return q.consumers[best]
}

// leave removes a consumer that has ended.
func (q *queue) leave(c *consumer) {
	if i := slices.Index(q.consumers, c); i >= 0 {
		q.consumers = slices.Delete(q.consumers, i, i+1)
	}
}

// free makes room for another message.
func (q *queue) free(it *item) {
	q.load.sub(it.size)
	q.b.wake()
}

// fifo keeps items in their order of arrival, in two alternating arrays.
type fifo struct {
	head, tail []*item
	next       int // index of the first item left in head
}

func (f *fifo) len() int { return len(f.head) - f.next + len(f.tail) }

func (f *fifo) push(it *item) { f.tail = append(f.tail, it) }

func (f *fifo) pop() *item {
	if f.next == len(f.head) {
		f.head, f.tail, f.next = f.tail, f.head[:0], 0
	}
	if f.next == len(f.head) {
		return nil
	}
	it := f.head[f.next]
	f.head[f.next] = nil
	f.next++
	return it
}

// byOrder is a heap of items by their place.
type byOrder []*item

func (h byOrder) Len() int           { return len(h) }
func (h byOrder) Less(i, j int) bool { return h[i].order < h[j].order }
func (h byOrder) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byOrder) Push(x any)        { *h = append(*h, x.(*item)) }
func (h *byOrder) Pop() any {
	last := len(*h) - 1
	it := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return it
}
