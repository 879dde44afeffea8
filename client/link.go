package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"stega/fault"
)

// The bounds of one connection.
const (
	maxFrame     = 16 << 20
	writeTimeout = 10 * time.Second
	helloTimeout = 15 * time.Second
	pongMargin   = 10 * time.Second // for how late a ping may be
	pingSeconds  = 25               // between two pings, when the server does not say
)

// link is one WebSocket connection.
type link struct {
	ws       *websocket.Conn
	hello    Hello
	silence  time.Duration // after which the connection is dead
	watchdog *time.Timer
	dead     atomic.Bool

	mu      sync.Mutex
	last    uint64 // id of a command
	waiting map[uint64]*Subscription
	newest  Position // of the log, as far as the server told
}

// connect makes a connection and waits for the server's hello.
func (c *Client) connect(ctx context.Context) (*link, error) {
	l := &link{waiting: map[uint64]*Subscription{}, silence: helloTimeout}
	dialing, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	header := http.Header{}
	c.introduce(header)
	options := &websocket.DialOptions{
		HTTPClient: c.http, HTTPHeader: header, Subprotocols: []string{"stega.v1"},
		OnPingReceived: func(context.Context, []byte) bool { l.alive(); return true },
		OnPongReceived: func(context.Context, []byte) { l.alive() },
	}
	ws, answer, err := websocket.Dial(dialing, c.locate("/v1/stream", nil), options) //nolint:bodyclose // Dial does
	if err != nil {
		return nil, c.refusedStream(dialing, answer, err)
	}
	c.reached.Store(true)
	ws.SetReadLimit(maxFrame)
	l.ws = ws
	l.watchdog = time.AfterFunc(l.silence, l.expire)
	f, err := l.next(ctx)
	if err == nil && f.Hello == nil {
		err = fault.Unavailable("stream_strange", "the stream of %s begins with no hello", c.options.URL)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	l.hello = *f.Hello
	l.sees(l.hello.Position)
	if l.hello.PingSeconds <= 0 {
		l.hello.PingSeconds = pingSeconds
	}
	l.silence = time.Duration(l.hello.PingSeconds)*time.Second + c.margin
	l.alive()
	return l, nil
}

// refusedStream is why there is no WebSocket.
func (c *Client) refusedStream(ctx context.Context, answer *http.Response, err error) error {
	if answer == nil || answer.StatusCode == http.StatusSwitchingProtocols {
		return c.unanswered(ctx, err)
	}
	if answer.StatusCode < http.StatusBadRequest {
		return fault.Unavailable(CodeStreamMissing, "%s has no stream", c.options.URL).Because(err)
	}
	f := problem(answer, c.options.URL)
	if f.Code == CodeServerUnavailable {
		c.relayed.Store(true)
	}
	if f.Kind == fault.KindNotFound {
		return fault.NotFound(CodeStreamMissing, "%s has no stream", c.options.URL).
			WithHint("the stream is served by the boundary, and by stega up").Because(f)
	}
	return f
}

// alive notes a sign of life.
func (l *link) alive() {
	if l.watchdog != nil {
		l.watchdog.Reset(l.silence)
	}
}

func (l *link) expire() {
	l.dead.Store(true)
	_ = l.ws.CloseNow()
}

func (l *link) close() {
	l.watchdog.Stop()
	_ = l.ws.CloseNow()
}

// next reads a frame.
func (l *link) next(ctx context.Context) (f frame, err error) {
	_, b, err := l.ws.Read(ctx)
	if err != nil {
		if l.dead.Load() {
			err = fault.Unavailable("connection_silent", "nothing came for %s", l.silence).Because(err)
		}
		return f, err
	}
	l.alive()
	if f, err = read(b); err != nil {
		return f, fault.New(fault.KindInternal, "stream_strange", "a frame of the stream is not understood").
			Because(err)
	}
	return f, nil
}

// ask sends a command; its answer is for the subscription.
func (l *link) ask(ctx context.Context, sub *Subscription, c command) error {
	l.mu.Lock()
	l.last++
	c.ID = l.last
	if sub != nil {
		l.waiting[c.ID] = sub
	}
	l.mu.Unlock()
	b, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("write a command: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return l.ws.Write(ctx, websocket.MessageText, b)
}

// sees notes a position that the server told of.
func (l *link) sees(p Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.ID != "" && p.Position > l.newest.Position {
		l.newest = p
	}
}

// seen is how far the log was at least when this was asked; nil when that is not known.
func (l *link) seen() *Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest.known()
}

// answered is the subscription that an answer is for.
func (l *link) answered(id uint64) *Subscription {
	l.mu.Lock()
	defer l.mu.Unlock()
	sub := l.waiting[id]
	delete(l.waiting, id)
	return sub
}

// The close codes of stega. Below 4500, and for whatever else can happen to a connection, it is made again.
const (
	closeUnauthorized = 4500
	closeMalformed    = 4501
	closeForbidden    = 4502
	closeFinal        = 4500 // from here to 4999 it is of no use to connect again
)

// verdict is the fault that ends a stream for good; nil when it is to be tried again.
func verdict(err error) error {
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		if f.Kind.Permanent() || f.Code == CodeStreamMissing {
			return f
		}
		return nil
	}
	closed, ok := errors.AsType[websocket.CloseError](err)
	if !ok {
		return nil
	}
	why := func(kind fault.Kind, code, otherwise string) error {
		if closed.Reason != "" {
			otherwise = closed.Reason
		}
		return fault.New(kind, code, "the stream was ended: %s", otherwise).Because(err)
	}
	switch {
	case closed.Code == closeUnauthorized:
		return why(fault.KindUnauthorized, "token_invalid", "the token is missing, wrong or revoked")
	case closed.Code == closeForbidden:
		return why(fault.KindForbidden, "token_forbidden", "the token does not cover it")
	case closed.Code == closeMalformed:
		return why(fault.KindMalformed, "stream_refused", "what was sent was not understood")
	case closed.Code == websocket.StatusMessageTooBig:
		return why(fault.KindTooLarge, "message_too_large", "a message was too large")
	case closed.Code >= closeFinal && closed.Code <= 4999:
		return why(fault.KindForbidden, "stream_refused", "the server does not want this client")
	}
	return nil
}
