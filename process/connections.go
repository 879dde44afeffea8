package process

import (
	"cmp"
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stega/fault"
	"stega/internal/backoff"
	"stega/rest"
)

// Connections bounds the HTTP connections of a process. What is zero gets the default beside it.
type Connections struct {
	// in all; three quarters of the descriptors that the process may have, at most 16,384. The rest is for databases,
	// broker and files
	Total      int
	PerAddress int // of one address; half of all, so that another one always gets in
	// Shared are addresses that many clients come from, such as those of proxies: for them PerAddress does not hold.
	Shared []netip.Prefix
}

const (
	maxConnections = 16 << 10
	minConnections = 16

	// stallAfter is how long a client may take none of an answer. It holds for each piece.
	stallAfter = 30 * time.Second
	writePiece = 64 << 10
)

func (c Connections) filled() Connections {
	c.Total = cmp.Or(c.Total, min(maxConnections, max(minConnections, descriptors()/4*3)))
	c.PerAddress = min(cmp.Or(c.PerAddress, max(1, c.Total/2)), c.Total)
	return c
}

// listener accepts connections within bounds. One that waits (for its first request, for the end of a header, for the
// next request, or for an answer to a request that was not let in) makes room for a new one, the longest waiting
// first; one with a request that was let in keeps its place. When all are at work, a new one is refused at once.
type listener struct {
	net.Listener
	bounds Connections
	plain  bool // without TLS, so that a refusal can be read
	log    *slog.Logger
	stall  time.Duration // for which a client may take none of an answer

	mu      sync.Mutex
	open    int
	of      map[netip.Addr]*address
	waiting list.List // of *connection, the longest waiting first
	closed  chan struct{}

	refused *prometheus.CounterVec
}

// address has the connections of one remote address.
type address struct {
	open    int
	waiting list.List // of *connection
}

// newListener bounds a listener, and registers its metrics.
func newListener(
	l net.Listener, bounds Connections, plain bool, log *slog.Logger, metrics prometheus.Registerer,
) *listener {
	b := &listener{
		Listener: l, bounds: bounds.filled(), plain: plain, log: log, stall: stallAfter, of: map[netip.Addr]*address{},
		closed: make(chan struct{}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stega_http_connections_refused_total",
			Help: "Connections that found no room (full), made room while they waited (evicted), " +
				"or could not be accepted (failed).",
		}, []string{"reason"}),
	}
	for _, reason := range []string{"full", "evicted", "failed"} {
		b.refused.WithLabelValues(reason)
	}
	gauge := func(name, help string, value func() int) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(value()) })
	}
	metrics.MustRegister(b.refused,
		gauge("stega_http_connections", "HTTP connections that are open.", func() int {
			open, _ := b.count()
			return open
		}),
		gauge("stega_http_connections_waiting", "HTTP connections without a request that was let in.",
			func() int { _, waiting := b.count(); return waiting }),
		gauge("stega_http_connections_limit", "HTTP connections that there may be.", func() int {
			return b.bounds.Total
		}),
	)
	return b
}

func (l *listener) count() (open, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.waiting.Len()
}

// Accept returns the next connection that there is room for. An error that passes, such as a lack of descriptors,
// never ends it.
func (l *listener) Accept() (net.Conn, error) {
	pause := backoff.Backoff{Base: 5 * time.Millisecond, Max: time.Second}
	for {
		conn, err := l.Listener.Accept()
		if err == nil {
			pause.Reset()
			if c := l.admit(conn); c != nil {
				return c, nil
			}
			continue
		}
		if !passes(err) {
			return nil, err
		}
		l.refused.WithLabelValues("failed").Inc()
		wait := pause.Next()
		if wait > 100*time.Millisecond {
			l.log.Warn("no connection can be accepted at present", "error", err)
		}
		l.evict(&l.waiting) // its descriptor is free
		select {
		case <-time.After(wait):
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

// passes reports whether accepting can succeed later.
func passes(err error) bool {
	for _, e := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.ECONNRESET,
		syscall.EINTR, syscall.EPERM,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Close ends accepting. It is called once, or more often.
func (l *listener) Close() error {
	l.mu.Lock()
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	l.mu.Unlock()
	return l.Listener.Close()
}

// admit takes a connection in, makes room for it first when that is needed, or refuses it.
func (l *listener) admit(conn net.Conn) net.Conn {
	from := addressOf(conn)
	limit := l.bounds.PerAddress
	for _, shared := range l.bounds.Shared {
		if shared.Contains(from) {
			limit = l.bounds.Total
		}
	}
	from = network(from)
	l.mu.Lock()
	a := l.of[from]
	if a == nil {
		a = &address{}
		l.of[from] = a
	}
	var evicted *connection
	switch {
	case a.open >= limit:
		evicted = l.longest(&a.waiting)
	case l.open >= l.bounds.Total:
		evicted = l.longest(&l.waiting)
	}
	if evicted != nil {
		l.remove(evicted)
	}
	if a.open >= limit || l.open >= l.bounds.Total {
		if a.open == 0 {
			delete(l.of, from)
		}
		l.mu.Unlock()
		l.refused.WithLabelValues("full").Inc()
		l.refuse(conn)
		return nil
	}
	l.of[from] = a // it may have gone with the one that made room
	c := &connection{Conn: conn, l: l, from: from, at: a}
	a.open++
	l.open++
	c.wait()
	l.mu.Unlock()
	if evicted != nil {
		l.refused.WithLabelValues("evicted").Inc()
		_ = evicted.Conn.Close() // its requests, if any, end
	}
	return c
}

func (l *listener) longest(waiting *list.List) *connection {
	if e := waiting.Front(); e != nil {
		return e.Value.(*connection)
	}
	return nil
}

// evict closes the connection that waits longest.
func (l *listener) evict(waiting *list.List) {
	l.mu.Lock()
	c := l.longest(waiting)
	if c != nil {
		l.remove(c)
	}
	l.mu.Unlock()
	if c != nil {
		l.refused.WithLabelValues("evicted").Inc()
		_ = c.Conn.Close()
	}
}

// remove forgets a connection. The lock is held.
func (l *listener) remove(c *connection) {
	if c.gone {
		return
	}
	c.gone = true
	c.unwait()
	l.open--
	if c.at.open--; c.at.open == 0 && l.of[c.from] == c.at {
		delete(l.of, c.from)
	}
}

// fullBody is the answer on a connection that there is no room for.
const fullBody = `{"type":"about:blank","title":"Service Unavailable","status":503,"kind":"unavailable",` +
	`"code":"too_many_connections",` +
	`"detail":"there are too many connections, in all or from this address","hint":"close some, or try again soon"}` +
	"\n"

// refuse closes a connection, with a word where it can be read.
func (l *listener) refuse(conn net.Conn) {
	if l.plain && conn.SetWriteDeadline(time.Now().Add(100*time.Millisecond)) == nil {
		_, _ = fmt.Fprintf(conn, // it fits into the buffer of the socket
			"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n"+
				"Connection: close\r\nContent-Length: %d\r\n\r\n%s", len(fullBody), fullBody)
	}
	_ = conn.Close()
}

func addressOf(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// network is what is bounded together: an IPv4 address, or the /64 that one holder of IPv6 addresses usually has.
func network(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// connection is one connection of the listener. What is written must be taken at a pace.
type connection struct {
	net.Conn
	l    *listener
	from netip.Addr
	at   *address

	// Guarded by the listener's lock.
	working     int // requests that were let in, or 1 for good once it is a WebSocket
	gone        bool
	inAll, inAt *list.Element // where it waits

	mu       sync.Mutex
	deadline time.Time // of writes, as somebody has set it
}

// wait queues a connection with those that wait. The lock of the listener is held.
func (c *connection) wait() {
	if c.inAll == nil && !c.gone {
		c.inAll, c.inAt = c.l.waiting.PushBack(c), c.at.waiting.PushBack(c)
	}
}

func (c *connection) unwait() {
	if c.inAll != nil {
		c.l.waiting.Remove(c.inAll)
		c.at.waiting.Remove(c.inAt)
		c.inAll, c.inAt = nil, nil
	}
}

// work notes that a request was let in; done notes that it was answered.
func (c *connection) work() (done func()) {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	c.working++
	c.unwait()
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if c.working--; c.working == 0 {
			c.wait()
		}
	}
}

// Close closes the connection, and makes room.
func (c *connection) Close() error {
	c.l.mu.Lock()
	c.l.remove(c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

// Write writes pieces, each of which must be taken in time.
func (c *connection) Write(p []byte) (n int, err error) {
	for {
		by := time.Now().Add(c.l.stall)
		c.mu.Lock()
		if !c.deadline.IsZero() && c.deadline.Before(by) {
			by = c.deadline
		}
		err := c.Conn.SetWriteDeadline(by)
		c.mu.Unlock()
		if err != nil {
			return n, err
		}
		m, err := c.Conn.Write(p[:min(len(p), writePiece)])
		n += m
		if p = p[m:]; err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// SetWriteDeadline bounds writes, which end sooner when they stall. A write that is under way has the new bound.
func (c *connection) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline bounds reads and writes.
func (c *connection) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// CloseWrite ends what is sent, so that the client reads the last answer before it sees the end.
func (c *connection) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return nil
}

type connectionKey struct{}

// withConnection keeps the connection of a request in its context.
func withConnection(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return context.WithValue(ctx, connectionKey{}, conn)
}

// Keep keeps the place of a connection for good, once a client was let in over it that has no more requests: a
// WebSocket.
func (c *connection) Keep() { c.work() }

// atOnce bounds the requests of one caller that are handled at the same time, streams included.
const atOnce = 256

// admitted handles requests that were let in, and stands behind the access control: their connections keep their
// place, and one caller has a bounded number at a time.
func (p *Process) admitted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := rest.Caller(r.Context())
		if caller == "" {
			next.ServeHTTP(w, r)
			return
		}
		release := p.requests.take(caller)
		if release == nil {
			w.Header().Set("Retry-After", "1")
			rest.Refuse(w, r,
				fault.New(fault.KindRateLimited, "too_many_at_once", "this token has %d requests under way",
					p.requests.each).
					WithHint("wait for some of them to be answered"))
			return
		}
		defer release()
		if c, ok := r.Context().Value(connectionKey{}).(*connection); ok {
			defer c.work()()
		}
		next.ServeHTTP(w, r)
	})
}
