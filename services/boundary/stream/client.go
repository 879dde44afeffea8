package stream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stega/fault"
)

// The verdict that a connection ends with: 4000 to 4499 ask the client to come back, 4500 to 4999 not to.
const (
	codeAgain     = 4000 // the server has a problem of its own
	codeShutdown  = 4001
	codeSlow      = 4002
	codeNoPong    = 4003
	codeCrowded   = 4004
	codeReset     = 4005
	codeToken     = 4500
	codeBad       = 4501
	codeForbidden = 4502
)

// maxReason is how long the reason of a close can be on the wire.
const maxReason = 120

// hurryFor bounds what is left to write to a client that is being closed.
const hurryFor = 5 * time.Second

// link is the connection of a client.
type link interface {
	write()                     // begins to write what is queued; it is called when no writer runs
	hurry(within time.Duration) // lets a write that is under way fail after a while
	cut()                       // breaks off
}

// client is one connection.
type client struct {
	h      *Hub
	form   form
	remote string
	link   link
	queue  queue
	life   context.Context
	end    context.CancelFunc

	open    atomic.Bool            // it was authorized
	unwatch atomic.Pointer[func()] // ends the watch of what it came in with
	closing atomic.Bool
	code    int // of the close; written before the queue ends
	reason  string

	// When something falls due, in unix nanoseconds; 0: never. The sweep looks at them.
	authBy, readBy, writeBy, pongBy atomicTime

	tasks tasks

	// Guarded by the hub's lock.
	caller       string // that the connection counts for; empty: none yet
	subs         map[string]*subscription
	resuming     int    // subscriptions that are not live yet
	sentPosition uint64 // the latest position that was sent
	pingAt       int64
	mask         uint64 // by the entry in hand
	firm         bool

	// Used by the reader only.
	requested bool      // it has sent a token
	renewed   time.Time // when it last sent a newer one
	tokens    float64   // of the command rate
	refilled  time.Time
}

// atomicTime is an instant in unix nanoseconds.
type atomicTime = atomic.Int64

// subscription is a client's interest in a channel.
type subscription struct {
	client   *client
	channel  *channel
	at       int  // in the channel's list
	live     bool // it gets what comes; one that is not is still catching up
	gone     bool
	coalesce bool
}

// join makes a client, unless there are too many.
func (h *Hub) join(f form, remote string) (*client, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.running || h.draining || h.life.Err() != nil {
		return nil, fault.Unavailable("stream_unavailable",
			"the stream is starting or shutting down").WithHint("try again shortly")
	}
	if h.taken >= h.o.Connections || h.remotes[remote] >= h.o.PerAddress {
		return nil, fault.Unavailable("too_many_connections", "there are too many connections, in all or from %s",
			remote).
			WithHint("one connection can carry %d subscriptions", h.o.Subscriptions)
	}
	c := &client{h: h, form: f, remote: remote, pingAt: h.firstPing(), tokens: float64(h.o.Burst), refilled: time.Now()}
	c.life, c.end = context.WithCancel(h.life)
	h.remotes[remote]++
	h.taken++
	h.work.Add(1)
	return c, nil
}

// occupy takes one of a caller's places for a client; a client that had one of another caller gives that back.
func (h *Hub) occupy(c *client, caller string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.caller == caller {
		return nil
	}
	if h.callers[caller] >= h.o.PerToken {
		return fault.New(fault.KindRateLimited, "too_many_streams", "this token has %d streams", h.o.PerToken).
			WithHint("close some; one connection can carry %d subscriptions", h.o.Subscriptions)
	}
	h.vacate(c)
	c.caller = caller
	h.callers[caller]++
	return nil
}

// vacate gives back the place of a client. The lock is held.
func (h *Hub) vacate(c *client) {
	if c.caller == "" {
		return
	}
	if h.callers[c.caller]--; h.callers[c.caller] <= 0 {
		delete(h.callers, c.caller)
	}
	c.caller = ""
}

// holder names the caller with a token. It does not have the token.
func holder(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "token " + hex.EncodeToString(sum[:16])
}

// holderOf names the caller of a request that was let in.
func (h *Hub) holderOf(r *http.Request, token string) string {
	switch {
	case token != "":
		return holder(token)
	case h.o.Caller != nil:
		return "caller " + h.o.Caller(r)
	}
	return "caller"
}

// start makes a client known, once it has its link.
func (c *client) start(l link) {
	h := c.h
	c.link = l
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients[c] = struct{}{}
	h.metrics.connections.WithLabelValues(c.form.String()).Inc()
	if h.draining || h.life.Err() != nil {
		c.close(codeShutdown, "the server is shutting down", false)
	}
}

// leave ends what a client had, once nothing is read from it any more.
func (c *client) leave() {
	h := c.h
	c.end()
	if stop := c.unwatch.Swap(nil); stop != nil {
		(*stop)()
	}
	c.queue.end(true)
	h.mu.Lock()
	for _, s := range c.subs {
		h.drop(s)
	}
	h.vacate(c)
	h.taken--
	if h.remotes[c.remote]--; h.remotes[c.remote] <= 0 {
		delete(h.remotes, c.remote)
	}
	if _, in := h.clients[c]; in {
		delete(h.clients, c)
		h.metrics.connections.WithLabelValues(c.form.String()).Dec()
	}
	h.mu.Unlock()
	h.work.Done()
}

// watch closes the client once what it came in with is revoked or expires. A newer token takes the place of the one
// before.
func (c *client) watch(ctx context.Context, token string) {
	if c.h.o.Watch == nil {
		return
	}
	stop := c.h.o.Watch(ctx, token, func(err error) { c.close(verdict(err), fault.Of(err).Detail, false) })
	if before := c.unwatch.Swap(&stop); before != nil {
		(*before)()
	}
	if c.life.Err() != nil { // it left meanwhile
		stop()
	}
}

// welcome sends the first message to a client that may read.
func (c *client) welcome() {
	h := c.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.open.Swap(true) {
		return
	}
	c.authBy.Store(0)
	if s, ok := c.link.(*socket); ok {
		s.keep()
	}
	c.sentPosition = h.window.tail.Position
	c.enqueue("hello", nil, helloMessage{hello{h.o.Version, h.window.tail, int(h.o.Ping.Seconds())}})
}

// enqueue queues a message that is no push.
func (c *client) enqueue(name string, at *Position, v any) {
	c.send(item{frame: frame(c.form, name, at, v)})
}

// send queues a frame. A client that does not read fast enough is closed.
func (c *client) send(it item) {
	switch c.queue.push(it, c.h.o.Queue) {
	case pushedFirst:
		c.link.write()
	case pushedTooMuch:
		c.close(codeSlow, "too much waits to be read", true)
	case pushedQuietly, pushedNowhere:
	}
}

// close ends a connection with a verdict, after what is queued or instead of it.
func (c *client) close(code int, reason string, drop bool) {
	if c.closing.Swap(true) {
		return
	}
	c.code, c.reason = code, strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
	c.end()
	c.h.metrics.closed(code)
	c.link.hurry(hurryFor)
	if c.queue.end(drop) {
		c.link.write()
	}
}

// writing notes that a batch is about to be written. The answer to a ping can come before the write is known to have
// ended.
func (c *client) writing(batch []item) {
	until := time.Now().Add(c.h.o.Write)
	c.writeBy.Store(until.UnixNano())
	for _, it := range batch {
		if it.ping {
			c.pongBy.Store(until.Add(c.h.o.Pong).UnixNano())
		}
	}
}

// wrote accounts for a batch that was written.
func (c *client) wrote(batch []item) {
	now := time.Now()
	c.writeBy.Store(0)
	expected := c.pongBy.Load()
	bytes, cost, first := 0, 0, int64(0)
	for _, it := range batch {
		bytes += len(it.frame)
		cost += it.cost
		if it.ping && expected != 0 {
			c.pongBy.CompareAndSwap(expected, now.Add(c.h.o.Pong).UnixNano()) // unless the answer is there
		}
		if first == 0 {
			first = it.read
		}
	}
	if first > 0 {
		c.h.metrics.delivery.Observe(now.Sub(time.Unix(0, first)).Seconds())
	}
	c.h.metrics.bytes.Add(float64(bytes))
	c.queue.wrote(cost, c.h.o.Queue/4)
}

// tasks are the commands of a client that run beside its reader, one after the other.
type tasks struct {
	mu    sync.Mutex
	queue []func(ctx context.Context)
	busy  bool
}

// later runs something beside the reader.
func (c *client) later(task func(ctx context.Context)) {
	t := &c.tasks
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = append(t.queue, task)
	if t.busy {
		return
	}
	t.busy = true
	c.h.work.Go(c.work)
}

func (c *client) work() {
	for {
		t := &c.tasks
		t.mu.Lock()
		if len(t.queue) == 0 {
			t.queue, t.busy = nil, false
			t.mu.Unlock()
			return
		}
		task := t.queue[0]
		t.queue = t.queue[1:]
		t.mu.Unlock()
		task(c.life)
	}
}
