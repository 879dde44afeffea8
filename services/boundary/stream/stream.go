// Package stream pushes what happens to clients, over WebSocket or as server-sent events.
//
// A Hub follows the retained log of all events (broker.Log), decodes each entry once, keeps the last ones in memory,
// and hands each to those who subscribed to it: to an operation ("operation:<id>"), to a subject
// ("subject:<subject>"), or to topics ("portfolio.created", "portfolio.*", "*.created", "#"). A frame is serialized
// once for all who receive the same.
//
// Every push carries its position in the log. A client that comes back names the position that it has seen last for a
// channel, and gets all that came since, complete and in order, before anything newer of that channel: from memory as
// a rule, from the log when it is older. When that cannot be, because the log does not reach back so far
// (position_expired) or is another one (position_unknown), the subscription is refused; what is delivered is never
// partial. That it is the same log is proven by the id of the event at the position.
//
// A client that does not read is closed rather than waited for: its queue is bounded in bytes (queue.go), and the
// code tells it to come back and resume. Idle connections are cheap: one goroutine that reads, none that writes, no
// timers (sweep.go), and buffers of a few hundred bytes (websocket.go).
package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stega/broker"
	"stega/events"
)

// Options of a hub. What is zero gets the default that stands beside it.
type Options struct {
	// Operation returns an operation as JSON; a fault of the kind not found when there is none.
	Operation func(ctx context.Context, id string) (json.RawMessage, error)
	// Authorize returns an error when a token may not read the stream; "" is no token. Without it every token may.
	Authorize func(token string) error
	// Watch calls ended once a token, or for "" what the request of ctx came in with, is revoked or expires; stop ends
	// the watch. Without it nothing does.
	Watch func(ctx context.Context, token string, ended func(error)) (stop func())
	// Trusted reports whether a request without a token was let in for another reason, such as its origin.
	Trusted func(r *http.Request) bool
	// Caller returns the sender of a request that has no token in its header; nil: they all count as one.
	Caller func(r *http.Request) string
	// Origins are hosts besides the server's own whose pages may connect, such as "app.example.com" or
	// "https://*.example.com".
	Origins []string
	Version string // of the server, for the hello

	Window        int           // bytes of recent events in memory; 32 MiB
	Prefill       int           // entries that are read back into the window at the start; 16,384
	Message       int64         // bytes of a client's message; 64 KiB
	Subscriptions int           // of a connection; 128
	Queue         int           // bytes that wait for a client; 1 MiB
	Connections   int           // in all; 50,000
	PerAddress    int           // connections of one remote address; 1,000. A proxy in front is one address
	PerToken      int           // connections of one token; 256
	Rate          float64       // commands a second, of a connection; 50
	Burst         int           // commands at once; 300
	Ping          time.Duration // between pings; 25 s
	Pong          time.Duration // until the answer to a ping; 10 s
	Auth          time.Duration // until the first token; 10 s
	Read          time.Duration // for a message that has begun; 10 s
	Write         time.Duration // for one write to a client; 10 s
	Ahead         time.Duration // how long a position that this process has not seen yet is waited for; 2 s
	Drain         time.Duration // over how long Drain spreads its farewells; 2 s

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

func (o *Options) complete() {
	o.Version = cmp.Or(o.Version, "dev")
	o.Window = cmp.Or(o.Window, 32<<20)
	o.Prefill = cmp.Or(o.Prefill, 16<<10)
	o.Message = cmp.Or(o.Message, 64<<10)
	o.Subscriptions = cmp.Or(o.Subscriptions, 128)
	o.Queue = cmp.Or(o.Queue, 1<<20)
	o.Connections = cmp.Or(o.Connections, 50_000)
	o.PerAddress = cmp.Or(o.PerAddress, 1000)
	o.PerToken = cmp.Or(o.PerToken, 256)
	o.Rate = cmp.Or(o.Rate, 50)
	o.Burst = cmp.Or(o.Burst, 300)
	o.Ping = cmp.Or(o.Ping, 25*time.Second)
	o.Pong = cmp.Or(o.Pong, 10*time.Second)
	o.Auth = cmp.Or(o.Auth, 10*time.Second)
	o.Read = cmp.Or(o.Read, 10*time.Second)
	o.Write = cmp.Or(o.Write, 10*time.Second)
	o.Ahead = cmp.Or(o.Ahead, 2*time.Second)
	o.Drain = cmp.Or(o.Drain, 2*time.Second)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
}

// Hub pushes events to its clients. It serves while Run runs.
type Hub struct {
	log      broker.Log
	o        Options
	internal map[string]bool // topics that the bus itself publishes
	metrics  *metrics

	life    context.Context // of clients; ends with Run
	end     context.CancelFunc
	work    sync.WaitGroup // goroutines of clients
	lookups chan struct{}  // bounds lookups of operations
	reads   chan struct{}  // bounds readers of the log besides the hub's own

	mu       sync.Mutex // guards all that follows, and the subscriptions of clients
	running  bool
	trouble  error // why the log is not followed; nil while it is
	draining bool
	window   window
	origin   uint64        // where the log began
	moved    chan struct{} // closed when the tail has moved; nil when none waits
	index    index
	clients  map[*client]struct{}
	taken    int // places for clients, of those that still shake hands, too
	remotes  map[string]int
	callers  map[string]int
	hit      []*client // by the entry in hand
}

// Bounds of the work for clients that subscribe.
const (
	maxLookups   = 32
	readsAtATime = 16
)

// New makes a hub over a log.
func New(log broker.Log, o Options) *Hub {
	o.complete()
	h := &Hub{
		log: log, o: o, internal: map[string]bool{}, metrics: newMetrics(o.Registerer),
		lookups: make(chan struct{}, maxLookups), reads: make(chan struct{}, readsAtATime),
		clients: map[*client]struct{}{}, remotes: map[string]int{}, callers: map[string]int{},
	}
	h.trouble = errNotYet
	h.life, h.end = context.WithCancel(context.Background())
	h.window.limit = o.Window
	for _, t := range events.Catalogue() {
		h.internal[t.Topic] = t.Internal()
	}
	return h
}

// Position is the end of the log as far as this process has read it.
func (h *Hub) Position() Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.window.tail
}
