package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"stega/client"
)

// The bounds of a stream through the daemon.
const (
	maxCommand  = 64 << 10
	maxFrame    = 16 << 20
	pingEvery   = 25 * time.Second
	writeLimit  = 10 * time.Second
	maxHeld     = 256     // commands that wait for the server
	ownCommands = 1 << 52 // the ids from here on are the daemon's
)

// closeRestart tells a client to connect again.
const closeRestart websocket.StatusCode = 4001

// through is a client's stream through the daemon. With the server there it is passed on as it is. While the server
// is away it is held: an operation can be subscribed to, for its write may be queued, and everything else is asked
// when the server is back.
type through struct {
	u   *upstream
	ws  *websocket.Conn
	end context.CancelFunc

	mu      sync.Mutex
	server  *websocket.Conn // nil: away
	held    [][]byte
	own     map[uint64]string // channels that the daemon subscribed to for the client, by command
	stops   []func()
	greeted bool
}

// relay serves /v1/stream.
func (u *upstream) relay(w http.ResponseWriter, r *http.Request) error {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return u.pass(w, r)
	}
	token := u.bearer()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{"stega.v1"}, InsecureSkipVerify: true, // whose socket it is has been checked, and browsers cannot reach it
	})
	if err != nil {
		return nil
	}
	ws.SetReadLimit(maxCommand)
	ctx, cancel := context.WithCancel(r.Context())
	t := &through{u: u, ws: ws, end: cancel, own: map[uint64]string{}}
	defer t.close()
	defer context.AfterFunc(u.life, cancel)()
	var work sync.WaitGroup
	work.Go(func() { t.commands(ctx) })
	work.Go(func() { t.pings(ctx) })
	code, why := t.pushes(ctx, token)
	if u.life.Err() != nil {
		code, why = closeRestart, "the daemon is ending"
	}
	_ = ws.Close(code, why)
	cancel()
	work.Wait()
	return nil
}

func (t *through) close() {
	t.end()
	_ = t.ws.CloseNow()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.server != nil {
		_ = t.server.CloseNow()
	}
	for _, stop := range t.stops {
		stop()
	}
}

// pings keep the client sure of the connection.
func (t *through) pings(ctx context.Context) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ping, cancel := context.WithTimeout(ctx, writeLimit)
		err := t.ws.Ping(ping)
		cancel()
		if err != nil {
			t.end()
			return
		}
	}
}

// tell sends a frame to the client.
func (t *through) tell(ctx context.Context, frame []byte) {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	if err := t.ws.Write(ctx, websocket.MessageText, frame); err != nil {
		t.end()
	}
}

// commands takes what the client sends.
func (t *through) commands(ctx context.Context) {
	defer t.end()
	for {
		_, frame, err := t.ws.Read(ctx)
		if err != nil {
			return
		}
		var c struct {
			ID        uint64 `json:"id"`
			Subscribe *struct {
				Channel string `json:"channel"`
			} `json:"subscribe"`
		}
		operation := ""
		if json.Unmarshal(frame, &c) == nil && c.Subscribe != nil {
			operation, _ = strings.CutPrefix(c.Subscribe.Channel, "operation:")
			if operation == c.Subscribe.Channel {
				operation = ""
			}
		}
		var queued *Item
		if operation != "" {
			queued = t.watch(ctx, operation)
		}
		t.command(ctx, frame, c.ID, operation, queued)
	}
}

// watch tells the client when the server refuses a queued write, of which then nobody else can tell.
func (t *through) watch(ctx context.Context, operation string) *Item {
	it, queued, stop := t.u.queue.watch(ctx, operation, func(it Item, o json.RawMessage) {
		if o == nil {
			go t.push(ctx, operation, standing(it))
		}
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stops = append(t.stops, stop)
	if !queued {
		return nil
	}
	return &it
}

// push tells the client how an operation stands, at position 0, which is none of the log: it must not hide what the
// server pushes next, nor be taken for something that was heard before.
func (t *through) push(ctx context.Context, operation string, state json.RawMessage) {
	t.tell(ctx, compact(map[string]any{"push": map[string]any{
		"channels": []string{"operation:" + operation}, "position": 0, "operation": state, "event": map[string]any{},
	}}))
}

// command passes a command on; what cannot be is held, or answered here when it asks for an operation.
func (t *through) command(ctx context.Context, frame []byte, id uint64, operation string, queued *Item) {
	t.mu.Lock()
	server := t.server
	if server != nil {
		t.mu.Unlock()
		write, cancel := context.WithTimeout(ctx, writeLimit)
		defer cancel()
		if server.Write(write, websocket.MessageText, frame) != nil {
			t.end()
		}
		return
	}
	if len(t.held) >= maxHeld {
		t.mu.Unlock()
		t.end()
		return
	}
	if operation != "" {
		own := uint64(ownCommands + len(t.own))
		t.own[own] = operation
		frame = compact(map[string]any{"id": own, "subscribe": map[string]string{"channel": "operation:" + operation}})
	}
	t.held = append(t.held, frame)
	t.mu.Unlock()
	if operation == "" {
		return
	}
	result := map[string]any{"channel": "operation:" + operation, "position": client.Position{}, "resumed": false}
	if queued != nil {
		result["operation"] = standing(*queued)
	}
	t.tell(ctx, compact(map[string]any{"id": id, "result": result}))
}

// pushes passes on what the server sends, and returns how the connection ended.
func (t *through) pushes(ctx context.Context, token string) (websocket.StatusCode, string) {
	server, err := t.dial(ctx, token)
	if err != nil {
		if refused, ok := errors.AsType[refusedStream](err); ok {
			return refused.code(), refused.Error()
		}
		return closeRestart, "the server is away"
	}
	for {
		_, frame, err := server.Read(ctx)
		if err != nil {
			if closed, ok := errors.AsType[websocket.CloseError](err); ok && closed.Code >= 3000 {
				return closed.Code, closed.Reason
			}
			return closeRestart, "the connection to the server broke"
		}
		if frame = t.note(ctx, frame); frame != nil {
			t.tell(ctx, frame)
		}
	}
}

// dial connects to the server. While it is away, the client is greeted by the daemon and held.
func (t *through) dial(ctx context.Context, token string) (*websocket.Conn, error) {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	for failures := 0; ; failures++ {
		try, cancel := context.WithTimeout(ctx, 15*time.Second)
		ws, a, err := websocket.Dial(try, t.u.url+"/v1/stream", &websocket.DialOptions{HTTPClient: t.u.http, HTTPHeader: header, Subprotocols: []string{"stega.v1"}}) //nolint:bodyclose // the library closes it
		cancel()
		if err == nil {
			ws.SetReadLimit(maxFrame)
			return ws, t.connected(ctx, ws)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if a != nil && a.StatusCode < http.StatusInternalServerError && a.StatusCode != http.StatusTooManyRequests {
			return nil, refusedStream(a.StatusCode)
		}
		if !t.greeted {
			t.greeted = true
			t.tell(ctx, compact(map[string]any{"hello": client.Hello{PingSeconds: int(pingEvery.Seconds())}}))
		}
		t.u.rest(ctx, min(failures, 5))
	}
}

// refusedStream is the status with which a server refused its stream.
type refusedStream int

func (s refusedStream) Error() string {
	return fmt.Sprintf("the server has no stream for you: %d %s", int(s), http.StatusText(int(s)))
}

// code is the close code that says the same.
func (s refusedStream) code() websocket.StatusCode {
	switch s {
	case http.StatusForbidden:
		return 4502
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return 4503
	case http.StatusUnauthorized:
		return 4500
	}
	return 4501
}

// connected sends what was held.
func (t *through) connected(ctx context.Context, ws *websocket.Conn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, frame := range t.held {
		write, cancel := context.WithTimeout(ctx, writeLimit)
		err := ws.Write(write, websocket.MessageText, frame)
		cancel()
		if err != nil {
			_ = ws.CloseNow()
			return err
		}
	}
	t.held, t.server = nil, ws
	return nil
}

// note looks at a frame of the server on its way: reads through the daemon must not be older than what the client
// hears here. The answers to the daemon's own commands become pushes.
func (t *through) note(ctx context.Context, frame []byte) []byte {
	var f struct {
		ID     uint64          `json:"id"`
		Hello  json.RawMessage `json:"hello"`
		Error  json.RawMessage `json:"error"`
		Result *struct {
			Position  client.Position `json:"position"`
			Operation json.RawMessage `json:"operation"`
		} `json:"result"`
		Push *struct {
			Position uint64 `json:"position"`
		} `json:"push"`
	}
	if json.Unmarshal(frame, &f) != nil {
		return frame
	}
	at := uint64(0)
	switch {
	case f.Push != nil:
		at = f.Push.Position
	case f.Result != nil:
		at = f.Result.Position.Position
	}
	t.u.fresh.told(at, t.u.fresh.now())
	t.mu.Lock()
	operation, own := t.own[f.ID]
	t.mu.Unlock()
	if own && f.ID >= ownCommands {
		if f.Result != nil && len(f.Result.Operation) > 0 && string(f.Result.Operation) != "null" {
			t.push(ctx, operation, f.Result.Operation)
		}
		if f.Error != nil { // the client, which was told that it stands, subscribes again, and is told
			_ = t.ws.Close(closeRestart, "the server refused a subscription")
			t.end()
		}
		return nil
	}
	if f.Hello != nil && t.greeted {
		return nil
	}
	return frame
}
