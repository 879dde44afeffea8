package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
	"stega/internal/backoff"
)

// connection is one connection, which ends and is never restored.
type connection struct {
	*amqp.Connection
	url  *url.URL
	over chan struct{} // closed when it has ended
}

// connector makes one connection after another.
type connector struct {
	b    *Broker
	role string
	node atomic.Uint32 // index of the URL to try first

	mu        sync.Mutex
	conn      *connection
	err       error
	blocked   string
	unblocked time.Time     // when the last block ended
	changed   chan struct{} // closed and replaced at every change
}

func newConnector(b *Broker, role string) *connector {
	return &connector{b: b, role: role, changed: make(chan struct{})}
}

func (l *connector) update(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *connector) state() broker.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return broker.State{Connected: l.conn != nil, Blocked: l.blocked, Err: l.err}
}

// block returns why the server blocks publishers; if it does not, since when.
func (l *connector) block() (reason string, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.blocked, l.unblocked
}

// get waits for a connection.
func (l *connector) get(ctx context.Context) (*connection, error) {
	for {
		l.mu.Lock()
		conn, changed, err := l.conn, l.changed, l.err
		l.mu.Unlock()
		if cause := context.Cause(ctx); cause != nil {
			if err != nil && !errors.Is(cause, broker.ErrClosed) {
				return nil, l.b.unreachable(err)
			}
			return nil, cause
		}
		if conn != nil {
			return conn, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// run maintains a connection until the broker ends.
func (l *connector) run(conn *connection) {
	log := l.b.log.With("broker", l.b.redacted, "connection", l.role)
	pause := backoff.Backoff{Base: backoffBase, Max: l.b.cfg.MaxBackoff}
	for lastError := ""; ; {
		if conn == nil {
			var err error
			if conn, err = l.dial(l.b.life); err != nil {
				if l.b.life.Err() != nil {
					return
				}
				l.update(func() { l.err = err })
				if err.Error() != lastError {
					lastError = err.Error()
					log.Warn("the broker is unreachable, retrying", "error", err)
				}
				if !pause.Sleep(l.b.life) {
					return
				}
				continue
			}
		}
		began := time.Now()
		err := l.serve(conn)
		conn = nil
		if l.b.life.Err() != nil {
			return
		}
		lastError = ""
		log.Warn("the connection to the broker ended, connecting again", "error", err)
		if time.Since(began) > l.b.cfg.MaxBackoff {
			pause.Reset()
		} else if !pause.Sleep(l.b.life) {
			return
		}
	}
}

// serve provides a connection to callers of get until it ends.
func (l *connector) serve(conn *connection) (err error) {
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	blocks := conn.NotifyBlocked(make(chan amqp.Blocking, 8))
	l.update(func() { l.conn, l.err, l.blocked = conn, nil, "" })
	l.b.log.Info("connected to the broker", "broker", l.b.redacted, "connection", l.role)
	ending := l.b.life.Done()
	for alive := true; alive; {
		select {
		case e := <-closed:
			if alive = false; e != nil {
				err = e
			}
		case s, open := <-blocks:
			if !open {
				blocks = nil
				continue
			}
			l.update(func() {
				l.blocked = ""
				if s.Active {
					l.blocked = cmp.Or(s.Reason, "no reason given")
				} else {
					l.unblocked = time.Now()
				}
			})
			if l.blocked != "" {
				l.b.log.Warn("the broker blocks publishing", "reason", s.Reason)
			} else {
				l.b.log.Info("the broker accepts messages again")
			}
		case <-ending:
			ending = nil
			// The library closes the socket anyway; an error only means that the server did not answer in time.
			_ = conn.CloseDeadline(time.Now().Add(l.b.cfg.CloseTimeout))
		}
	}
	l.update(func() { l.conn, l.err, l.blocked = nil, err, "" })
	close(conn.over)
	return err
}

// dial makes one connection, to the first node that accepts it.
func (l *connector) dial(ctx context.Context) (conn *connection, err error) {
	var errs []error
	for range l.b.urls {
		at := l.node.Load()
		if conn, err = l.b.dial(ctx, l.b.urls[int(at)%len(l.b.urls)], l.role); err == nil {
			return conn, nil
		}
		errs = append(errs, err)
		l.node.CompareAndSwap(at, at+1)
	}
	return nil, errors.Join(errs...)
}

// switchNode ends a connection to an unsuitable node, so that the next one is to another node; false if there is
// none.
func (l *connector) switchNode(conn *connection) bool {
	if len(l.b.urls) < 2 {
		return false
	}
	l.node.Add(1)
	_ = conn.CloseDeadline(time.Now().Add(l.b.cfg.CloseTimeout))
	return true
}

// dial makes one connection. Recovery stays unset: see the package comment.
func (b *Broker) dial(ctx context.Context, to *url.URL, role string) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.DialTimeout)
	defer cancel()
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(b.cfg.Name + " " + role)
	var socket net.Conn
	handshake := func() bool { return false }
	conn, err := amqp.DialConfig(to.String(), amqp.Config{
		Heartbeat: b.cfg.Heartbeat, Properties: properties, TLSClientConfig: b.cfg.TLS.Clone(), Locale: "en_US",
		Dial: func(network, address string) (net.Conn, error) {
			raw, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			deadline, _ := ctx.Deadline()
			if err := raw.SetDeadline(deadline); err != nil { // for the handshake; the library resets it
				return nil, errors.Join(err, raw.Close())
			}
			handshake = context.AfterFunc(ctx, func() { _ = raw.Close() })
			socket = newBufferedConn(raw)
			return socket, nil
		},
	})
	handshake()
	if err != nil {
		if socket != nil {
			_ = socket.Close()
		}
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &connection{Connection: conn, url: to, over: make(chan struct{})}, nil
}
