package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"stega/events"
	"stega/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server speaks the stream's protocol over a real WebSocket, and does to its clients what a test asks for.
type server struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	log      []Push // of all channels
	first    uint64 // the oldest position that is kept
	epoch    string
	ops      map[string]Operation
	conns    map[*websocket.Conn]map[string]bool
	asked    []string // what subscribe asked for: channel from position
	connects int
	hello    Hello
	greet    func(n int, w http.ResponseWriter) bool // false: the handshake was refused
	write    func(n int, w http.ResponseWriter, r *http.Request)
	writes   int
	busy     int // how many subscriptions are refused for a while
}

func newServer(t *testing.T) *server {
	s := &server{
		t:     t,
		first: 1,
		epoch: "a",
		ops:   map[string]Operation{},
		conns: map[*websocket.Conn]map[string]bool{},
		hello: Hello{PingSeconds: 25},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/stream", s.stream)
	mux.HandleFunc("GET /v1/operations/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		op, ok := s.ops[r.PathValue("id")]
		s.mu.Unlock()
		if !ok {
			refuse(w, fault.NotFound("operation_unknown", "there is no operation %s", r.PathValue("id")))
			return
		}
		_ = json.NewEncoder(w).Encode(op)
	})
	mux.HandleFunc("POST /v1/portfolios", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.writes++
		n := s.writes
		s.mu.Unlock()
		s.write(n, w, r)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() { s.cut(); s.Close() })
	return s
}

func (s *server) client(changes ...func(*Options)) *Client {
	o := Options{URL: s.URL, Token: "stega_test"}
	for _, change := range changes {
		change(&o)
	}
	c, err := New(o)
	require.NoError(s.t, err)
	c.pace = pace{first: time.Millisecond, most: 10 * time.Millisecond}
	s.t.Cleanup(c.Close)
	return c
}

func refuse(w http.ResponseWriter, f *fault.Fault) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(f.Kind.Status())
	_ = json.NewEncoder(w).Encode(f)
}

// eventID is the id of the event at a position of this log.
func (s *server) eventID(position uint64) string { return s.epoch + strconv.FormatUint(position, 10) }

func (s *server) tail() Position {
	n := uint64(len(s.log))
	return Position{n, s.eventID(n)}
}

func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.connects++
	n, greet := s.connects, s.greet
	s.mu.Unlock()
	if greet != nil && !greet(n, w) {
		return
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"stega.v1"}})
	if err != nil {
		return
	}
	defer func() { _ = ws.CloseNow() }()
	s.mu.Lock()
	s.conns[ws] = map[string]bool{}
	s.send(ws, map[string]any{"hello": s.hello})
	s.mu.Unlock()
	for {
		_, b, err := ws.Read(context.Background())
		if err != nil {
			s.mu.Lock()
			delete(s.conns, ws)
			s.mu.Unlock()
			return
		}
		var c command
		if json.Unmarshal(b, &c) != nil {
			return
		}
		s.command(ws, c)
	}
}

func (s *server) command(ws *websocket.Conn, c command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Unsubscribe != nil {
		delete(s.conns[ws], c.Unsubscribe.Channel)
		s.send(ws, map[string]any{"id": c.ID, "result": Standing{Channel: c.Unsubscribe.Channel}})
		return
	}
	want := c.Subscribe
	asked := want.Channel
	if want.From != nil {
		asked += " from " + strconv.FormatUint(want.From.Position, 10)
	}
	s.asked = append(s.asked, asked)
	if s.busy > 0 {
		s.busy--
		s.send(ws,
			map[string]any{"id": c.ID, "error": fault.Unavailable("operation_unavailable", "the server is too busy")})
		return
	}
	if f := s.refusal(want.From); f != nil {
		s.send(ws, map[string]any{"id": c.ID, "error": f})
		return
	}
	s.conns[ws][want.Channel] = true
	standing := Standing{Channel: want.Channel, Position: s.tail(), Resumed: want.From != nil}
	if id, ok := strings.CutPrefix(want.Channel, "operation:"); ok {
		if op, ok := s.ops[id]; ok {
			standing.Operation = &op
		}
	}
	s.send(ws, map[string]any{"id": c.ID, "result": standing})
	if want.From == nil {
		return
	}
	for _, p := range s.log[want.From.Position:] {
		if slices.Contains(p.Channels, want.Channel) {
			p.Channels = []string{want.Channel}
			s.send(ws, map[string]any{"push": p})
		}
	}
}

func (s *server) refusal(from *Position) *fault.Fault {
	switch {
	case from == nil:
		return nil
	case from.Position > uint64(len(s.log)) || from.ID != s.eventID(from.Position):
		return fault.Conflict("position_unknown", "the log is another one")
	case from.Position+1 < s.first:
		return fault.NotFound("position_expired", "the log begins at %d", s.first)
	}
	return nil
}

// send writes a frame; the client may be gone.
func (s *server) send(ws *websocket.Conn, v any) {
	b, err := json.Marshal(v)
	require.NoError(s.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = ws.Write(ctx, websocket.MessageText, b)
}

// publish appends to the log and pushes.
func (s *server) publish(topic string, channels ...string) Push {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.append(topic, nil, channels...)
}

func (s *server) append(topic string, op *Operation, channels ...string) Push {
	n := uint64(len(s.log) + 1)
	p := Push{
		Channels:  channels,
		Number:    n,
		Operation: op,
		Event:     Event{Envelope: events.Envelope{ID: s.eventID(n), Type: topic}},
	}
	s.log = append(s.log, p)
	for ws, subscribed := range s.conns {
		mine := p
		mine.Channels = slices.DeleteFunc(slices.Clone(channels), func(c string) bool { return !subscribed[c] })
		if len(mine.Channels) > 0 {
			s.send(ws, map[string]any{"push": mine})
		}
	}
	return p
}

// tell changes an operation and pushes it.
func (s *server) tell(op Operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.ops[op.ID]
	was.ID = op.ID
	was.merge(op)
	s.ops[op.ID] = was
	s.append("operation.told", &op, "operation:"+op.ID)
}

// cut breaks all connections.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ws := range s.conns {
		_ = ws.CloseNow()
	}
}

// end closes all connections with a code.
func (s *server) end(code websocket.StatusCode, reason string) {
	s.mu.Lock()
	all := s.conns
	s.conns = map[*websocket.Conn]map[string]bool{}
	s.mu.Unlock()
	for ws := range all {
		_ = ws.Close(code, reason)
	}
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connects
}
