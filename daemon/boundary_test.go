package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"stega/client"
)

// boundary is a server of tests: it answers what the test sets, goes away and comes back at one address, and counts its
// requests.
type boundary struct {
	t    testing.TB
	addr string

	mu      sync.Mutex
	server  *http.Server
	log     []client.Event
	values  map[string]string // bodies of paths
	asked   map[string]int
	writes  []*http.Request
	bodies  []string
	refuse  func(r *http.Request, body string) (status int, answer any)
	streams map[*websocket.Conn]map[string]bool
	done    map[string]bool // operations
	tokens  []string        // that are good; none: any
}

func newBoundary(t testing.TB) *boundary {
	b := &boundary{
		t:       t,
		values:  map[string]string{"/v1/portfolios": `{"items":[]}`},
		asked:   map[string]int{},
		streams: map[*websocket.Conn]map[string]bool{},
		done:    map[string]bool{},
	}
	b.change("portfolio.created", "first", nil)
	b.up()
	t.Cleanup(b.down)
	return b
}

func (b *boundary) url() string { return "http://" + b.addr }

// up listens, at the address of before.
func (b *boundary) up() {
	addr := b.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	require.NoError(b.t, err)
	b.addr = l.Addr().String()
	server := &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	b.server = server
	go func() { _ = server.Serve(l) }()
}

// down goes away at once.
func (b *boundary) down() {
	_ = b.server.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for ws := range b.streams {
		_ = ws.CloseNow()
	}
}

func (b *boundary) position() client.Position {
	if len(b.log) == 0 {
		return client.Position{}
	}
	return client.Position{Position: uint64(len(b.log)), ID: b.log[len(b.log)-1].ID}
}

// change changes values, and tells it in the log.
func (b *boundary) change(topic, subject string, values map[string]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for path, v := range values {
		b.values[path] = v
	}
	var e client.Event
	e.ID, e.Type, e.Subject, e.Data = fmt.Sprintf(
		"e%d-%d", len(b.log)+1, time.Now().UnixNano(),
	), topic, subject, json.RawMessage(
		`{}`,
	)
	b.log = append(b.log, e)
	at := len(b.log)
	for ws, channels := range b.streams {
		if !channels["#"] {
			continue
		}
		b.tell(ws, pushOf(at, e))
	}
}

func pushOf(at int, e client.Event) any {
	return map[string]any{"push": map[string]any{"channels": []string{"#"}, "position": at, "event": e}}
}

func (b *boundary) tell(ws *websocket.Conn, frame any) {
	text, err := json.Marshal(frame)
	if err == nil {
		_ = ws.Write(context.Background(), websocket.MessageText, text)
	}
}

func (b *boundary) times(path string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked[path]
}

func (b *boundary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.denied(w, r) {
		return
	}
	if r.URL.Path == "/v1/stream" {
		b.stream(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked[r.URL.Path]++
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodGet {
		b.get(w, r)
		return
	}
	b.writes, b.bodies = append(b.writes, r), append(b.bodies, string(body))
	id := r.Header.Get("Operation-Id")
	if b.refuse != nil {
		if status, answer := b.refuse(r, string(body)); status != 0 {
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(answer)
			return
		}
	}
	b.done[id] = true
	_ = json.NewEncoder(w).Encode(client.Operation{ID: id, Status: client.Succeeded})
}

func (b *boundary) denied(w http.ResponseWriter, r *http.Request) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, token := range b.tokens {
		if r.Header.Get("Authorization") == "Bearer "+token {
			return false
		}
	}
	if len(b.tokens) == 0 {
		return false
	}
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, `{"kind":"unauthorized","code":"token_invalid","detail":"the token is wrong"}`)
	return true
}

func (b *boundary) get(w http.ResponseWriter, r *http.Request) {
	v, ok := b.values[r.URL.Path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"kind":"not_found","code":"unknown","detail":"there is no such thing"}`)
		return
	}
	w.Header().Set("Stega-Position", b.position().String())
	tag := fmt.Sprintf("%q", fmt.Sprint(len(v), v[:min(len(v), 20)]))
	w.Header().Set("Etag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = io.WriteString(w, v)
}

// stream speaks as much of the protocol as the daemon needs.
func (b *boundary) stream(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	b.mu.Lock()
	b.streams[ws] = map[string]bool{}
	b.tell(ws, map[string]any{"hello": client.Hello{Version: "test", Position: b.position(), PingSeconds: 25}})
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.streams, ws)
	}()
	for {
		_, frame, err := ws.Read(r.Context())
		if err != nil {
			return
		}
		var c struct {
			ID        uint64
			Subscribe *struct {
				Channel string
				From    *client.Position
			}
		}
		if json.Unmarshal(frame, &c) == nil && c.Subscribe != nil {
			b.subscribe(ws, c.ID, c.Subscribe.Channel, c.Subscribe.From)
		}
	}
}

func (b *boundary) subscribe(ws *websocket.Conn, id uint64, channel string, from *client.Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	result := map[string]any{"channel": channel, "position": b.position(), "resumed": from != nil}
	if operation, ok := strings.CutPrefix(channel, "operation:"); ok {
		if b.done[operation] {
			result["operation"] = client.Operation{ID: operation, Status: client.Succeeded}
		}
		result["resumed"] = false
	}
	if from != nil && (from.Position > uint64(len(b.log)) || b.log[from.Position-1].ID != from.ID) {
		b.tell(
			ws,
			map[string]any{
				"id":    id,
				"error": map[string]string{"kind": "conflict", "code": "position_unknown", "detail": "another log"},
			},
		)
		return
	}
	b.streams[ws][channel] = true
	b.tell(ws, map[string]any{"id": id, "result": result})
	if from != nil && channel == "#" {
		for i := from.Position; i < uint64(len(b.log)); i++ {
			b.tell(ws, pushOf(int(i)+1, b.log[i]))
		}
	}
}

// received are the writes that came, as "METHOD path body".
func (b *boundary) received() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for i, r := range b.writes {
		all = append(all, r.Method+" "+r.URL.Path+" "+b.bodies[i])
	}
	return all
}
