package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/embedded"
	"stega/events"
	"stega/internal/servers"
	"stega/internal/wait"
)

func TestMain(m *testing.M) { servers.Main(m) }

// publisher is what tests need of a broker.
type publisher interface {
	broker.Log
	Publish(ctx context.Context, m broker.Outgoing, done func(error)) error
}

func openLog(t testing.TB, dir string) *embedded.Broker {
	t.Helper()
	b, err := embedded.Open(t.Context(), dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// world is a hub over a log, and the server that it is reached by.
type world struct {
	t   testing.TB
	log publisher
	hub *Hub
	url string

	end   context.CancelFunc
	ended chan struct{}
}

func newWorld(t testing.TB, o Options) *world {
	t.Helper()
	return over(t, openLog(t, t.TempDir()), o)
}

// over runs a hub over a log.
func over(t testing.TB, log publisher, o Options) *world {
	t.Helper()
	w := &world{t: t, log: log, ended: make(chan struct{})}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	o.Ping = cmp.Or(o.Ping, time.Hour) // machines can be slow, and some tests do not read for a while
	o.Write = cmp.Or(o.Write, 2*wait.Patience)
	w.hub = New(log, o)
	var ctx context.Context
	ctx, w.end = context.WithCancel(context.WithoutCancel(t.Context()))
	ready := make(chan struct{})
	go func() {
		defer close(w.ended)
		if err := w.hub.Run(ctx, func() { close(ready) }); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	server := httptest.NewServer(w.hub)
	w.url = server.URL
	t.Cleanup(func() {
		w.stop()
		server.Close()
	})
	w.await("the hub is ready", ready)
	return w
}

func (w *world) stop() {
	w.end()
	<-w.ended
}

func (w *world) await(what string, done <-chan struct{}) {
	w.t.Helper()
	select {
	case <-done:
	case <-time.After(wait.Patience):
		w.t.Fatalf("waited in vain until %s", what)
	}
}

// message makes an event.
func message(topic, subject string, n int) events.Message {
	return events.Message{
		Envelope: events.Envelope{
			ID: events.NewID(), Source: events.Source("test"), Type: topic, Subject: subject, Time: time.Now().UTC(),
			Correlation: events.NewID(), Sequence: int64(n), ContentType: "application/json",
		},
		Data: fmt.Appendf(nil, `{"n": %d}`, n),
	}
}

// typed makes the message of an event of the catalogue.
func typed(v events.Typed) events.Message {
	m := message(v.Topic(), v.Subject(), 0)
	m.Data, _ = json.Marshal(v)
	return m
}

// publish publishes, and returns when the broker has all of it.
func (w *world) publish(messages ...events.Message) {
	w.t.Helper()
	publish(w.t, w.log, messages...)
}

func publish(t testing.TB, log publisher, messages ...events.Message) {
	t.Helper()
	var sentPosition sync.WaitGroup
	for _, m := range messages {
		sentPosition.Add(1)
		require.NoError(t,
			log.Publish(context.WithoutCancel(t.Context()), broker.Outgoing{Message: m}, func(err error) {
				if err != nil {
					t.Errorf("publish: %v", err)
				}
				sentPosition.Done()
			}))
	}
	sentPosition.Wait()
}

// read waits until the hub has read a message.
func (w *world) read(m events.Message) {
	w.t.Helper()
	wait.Until(w.t, "the hub has read the message", func() bool {
		w.hub.mu.Lock()
		defer w.hub.mu.Unlock()
		for _, e := range w.hub.window.from(0) {
			if e.ID == m.ID {
				return true
			}
		}
		return false
	})
}

// said is a message of the server.
type logged struct {
	ID     uint64 `json:"id"`
	Result *struct {
		Channel   string          `json:"channel"`
		Position  Position        `json:"position"`
		Resumed   bool            `json:"resumed"`
		Operation json.RawMessage `json:"operation"`
	} `json:"result"`
	Error *struct {
		Kind, Code, Detail, Hint string
	} `json:"error"`
	Push *struct {
		Channels  []string `json:"channels"`
		Position  uint64   `json:"position"`
		Operation *struct {
			ID, Status, Outcome string
			Settled             bool
			Error               json.RawMessage
		} `json:"operation"`
		Event struct {
			ID, Type, Subject string
			Sequence          int
			Data              json.RawMessage
		} `json:"event"`
	} `json:"push"`
	Position *Position `json:"position"`
	Hello    *hello    `json:"hello"`
}

// peer is a client over WebSocket.
type peer struct {
	t  testing.TB
	ws *websocket.Conn
	id uint64
}

func (w *world) dial(o *websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), wait.Patience)
	defer cancel()
	return websocket.Dial(ctx, "ws"+strings.TrimPrefix(w.url, "http"), o)
}

// connect connects without a word.
func (w *world) connect(header http.Header) *peer {
	w.t.Helper()
	ws, _, err := w.dial(&websocket.DialOptions{HTTPHeader: header, Subprotocols: []string{"stega.v1"}})
	require.NoError(w.t, err)
	ws.SetReadLimit(32 << 20)
	w.t.Cleanup(func() { _ = ws.CloseNow() })
	return &peer{t: w.t, ws: ws}
}

// client connects and hears the hello.
func (w *world) client() *peer {
	w.t.Helper()
	p := w.connect(nil)
	require.NotNil(w.t, p.next().Hello)
	return p
}

func (p *peer) write(text string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), wait.Patience)
	defer cancel()
	require.NoError(p.t, p.ws.Write(ctx, websocket.MessageText, []byte(text)))
}

// hear reads the next message, or says why there is none.
func (p *peer) hear() (logged, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), wait.Patience)
	defer cancel()
	var s logged
	_, data, err := p.ws.Read(ctx)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	return s, err
}

func (p *peer) next() logged {
	p.t.Helper()
	s, err := p.hear()
	require.NoError(p.t, err)
	return s
}

// push reads the next push.
func (p *peer) push() logged {
	p.t.Helper()
	for {
		if s := p.next(); s.Push != nil {
			return s
		}
	}
}

// ask sends a command and reads its answer; nothing else may come before.
func (p *peer) request(verb string, body any) logged {
	p.t.Helper()
	p.id++
	text, err := json.Marshal(map[string]any{"id": p.id, verb: body})
	require.NoError(p.t, err)
	p.write(string(text))
	s := p.next()
	require.Equal(p.t, p.id, s.ID)
	return s
}

func (p *peer) subscribe(channel string, from *Position) logged {
	p.t.Helper()
	body := map[string]any{"channel": channel}
	if from != nil {
		body["from"] = from
	}
	return p.request("subscribe", body)
}

// subscribed subscribes with success.
func (p *peer) subscribed(channel string, from *Position) logged {
	p.t.Helper()
	s := p.subscribe(channel, from)
	require.Nil(p.t, s.Error)
	require.Equal(p.t, channel, s.Result.Channel)
	return s
}

// closed reads until the connection ends, and returns the code.
func (p *peer) closed() int {
	p.t.Helper()
	for {
		if _, err := p.hear(); err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}
