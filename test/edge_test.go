package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	edge "stega/client"
	"stega/events"
	"stega/fault"
	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/internal/wait"
	"stega/process"
)

// tcpRelay relays TCP connections and can cut them. It counts the polls for the state of an operation.
type tcpRelay struct {
	listener net.Listener
	to       string
	polls    atomic.Int64
	mu       sync.Mutex
	open     map[net.Conn]bool
	relays   sync.WaitGroup
}

func newTCPRelay(t *testing.T, to string) *tcpRelay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &tcpRelay{listener: l, to: to, open: map[net.Conn]bool{}}
	w.relays.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.relays.Go(func() { w.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.cut()
		w.relays.Wait()
	})
	return w
}

func (w *tcpRelay) url() string { return "http://" + w.listener.Addr().String() }

func (w *tcpRelay) serve(c net.Conn) {
	s, err := net.Dial("tcp", w.to)
	if err != nil {
		_ = c.Close()
		return
	}
	w.track(true, c, s)
	defer w.track(false, c, s)
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(s, io.TeeReader(c, w)); _ = s.Close() })
	both.Go(func() { _, _ = io.Copy(c, s); _ = c.Close() })
	both.Wait()
}

func (w *tcpRelay) track(open bool, conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if w.open[c] = open; !open {
			delete(w.open, c)
			_ = c.Close()
		}
	}
}

// Write inspects the bytes that clients send.
func (w *tcpRelay) Write(b []byte) (int, error) {
	w.polls.Add(int64(bytes.Count(b, []byte("GET /v1/operations"))))
	return len(b), nil
}

// cut resets every connection.
func (w *tcpRelay) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

// submitter is one client: it creates a portfolio and changes it, one change after the other has settled.
type submitter struct {
	n        int
	c        *edge.Client
	id       string
	mu       sync.Mutex
	received []int64 // versions in the events of the stream
	lost     []string

	awaited int64 // writes that the daemon queued
}

// submit submits a command until it is settled, under one operation id.
func (s *submitter) submit(ctx context.Context, cmd edge.Command) (edge.Operation, error) {
	cmd.OperationID, cmd.Unsent = events.NewID(), true
	queued := false
	for ; ; cmd.Unsent = false {
		var op edge.Operation
		var err error
		if queued {
			s.awaited++
			op, err = s.c.Await(ctx, cmd.OperationID, edge.Wait{For: edge.ForSettled})
		} else {
			op, err = s.c.Submit(ctx, cmd, edge.Wait{For: edge.ForSettled})
		}
		if err == nil && (!op.Settled || op.Status != "succeeded") {
			return op, fmt.Errorf("operation %s is reported as settled, but is %s, settled %t", op.ID, op.Status,
				op.Settled)
		}
		switch f := fault.Of(err); {
		case err == nil || ctx.Err() != nil:
			return op, err
		// the daemon or the server was away for a long time
		case f.Code == edge.CodeAnswerLost, f.Code == edge.CodeServerUnavailable:
		case f.Code == edge.CodeWriteQueued: // the daemon has queued it: wait for the operation
			queued = true
		case f.Kind == fault.KindUnavailable: // it is starting or stopping
			if err := s.answers(ctx); err != nil {
				return op, err
			}
		default:
			return op, fmt.Errorf("%s: %+v: %w", f.Code, op, err)
		}
	}
}

func (s *submitter) body(version int) []byte {
	b, _ := json.Marshal(map[string]any{
		"name": fmt.Sprintf("client %d", s.n),
		"assets": []map[string]string{{"symbol": "A", "weight": fmt.Sprintf("0.%02d", 10+version)},
			{"symbol": "B", "weight": fmt.Sprintf("0.%02d", 90-version)}},
	})
	return b
}

// work creates the portfolio and changes it a number of times.
func (s *submitter) work(ctx context.Context, changes int) error {
	op, err := s.submit(ctx, edge.Command{Method: http.MethodPost, Path: "/v1/portfolios",
		ContentType: "application/json", Body: s.body(1)})
	if err != nil {
		return err
	}
	if op.EntityID == "" {
		return fmt.Errorf("operation %s is reported as settled without its entity", op.ID)
	}
	s.id = op.EntityID
	stream := s.c.Stream(ctx, edge.StreamOptions{})
	defer stream.Close()
	stands := make(chan struct{}, 1)
	_, err = stream.Keep(edge.Interest{Channel: "subject:" + s.id}, edge.Subscriber{
		Push: s.push,
		Standing: func(edge.Standing) {
			select {
			case stands <- struct{}{}:
			default:
			}
		},
		Lost: func(f *fault.Fault) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.lost = append(s.lost, f.Error())
		},
	})
	if err != nil {
		return err
	}
	select {
	case <-stands:
	case <-ctx.Done():
		return ctx.Err()
	}
	for version := 2; version < 2+changes; version++ {
		_, err := s.submit(ctx, edge.Command{
			Method:      http.MethodPut,
			Path:        "/v1/portfolios/" + s.id,
			ContentType: "application/json",
			Body:        s.body(version),
			IfMatch:     fmt.Sprintf("%q", strconv.Itoa(version-1)),
		})
		if err != nil {
			return fmt.Errorf("version %d: %s: %w", version, fault.Of(err).Code, err)
		}
		if err := s.visible(ctx, version); err != nil {
			return err
		}
	}
	return wait.For(ctx, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.received) >= changes
	})
}

// visible reads the view of another service, which must show the settled version.
func (s *submitter) visible(ctx context.Context, version int) error {
	for {
		a, err := edge.Get[struct{ Version int }](ctx, s.c, "/v1/returns/portfolios/"+s.id, nil)
		cached := a.Header.Get("Stega-Cache")
		// the daemon reports the age of its cached answer while the server is away
		if err == nil && strings.HasPrefix(cached, "stale") {
			if err := s.answers(ctx); err != nil {
				return err
			}
			continue
		}
		if err == nil && a.Value.Version != version {
			return fmt.Errorf("settled too early: version %d is settled, but %d is visible (cache: %q)", version,
				a.Value.Version, cached)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		if f := fault.Of(err); f.Kind != fault.KindUnavailable && f.Kind != fault.KindTimeout {
			return fmt.Errorf("read the settled version: %s %s: %w", f.Kind, f.Code, err)
		}
		if err := s.answers(ctx); err != nil {
			return err
		}
	}
}

// answers waits until the server answers.
func (s *submitter) answers(ctx context.Context) error {
	return wait.For(ctx, func() bool { h, err := s.c.Health(ctx); return err == nil && h.Value.Ready() })
}

func (s *submitter) push(p edge.Push) {
	if p.Event.Type != "portfolio.updated" {
		return
	}
	var changed struct{ Version int64 }
	_ = json.Unmarshal(p.Event.Data, &changed)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, changed.Version)
}

// The boundary, the services and the daemon are killed with SIGKILL, and connections are cut, while 40 clients submit
// writes (200 with STEGA_SOAK=1), a quarter of them through the daemon. Each client receives the outcome of each of
// its operations, and finds it settled when it is reported so. It receives the events of its portfolio once each and
// in order. No client polls.
func TestKillsAtTheEdge(t *testing.T) {
	clients, changes := 40, 15 // about as many writes as with more clients, but fewer at once
	if os.Getenv("STEGA_SOAK") != "" {
		clients, changes = 200, 4
	}
	rabbit, pg := servers.RabbitMQ(t), servers.Postgres(t)
	schemas(t, pg.URL())
	at := func() string { return fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t)) }
	inner, outer := at(), at()
	env := []string{
		"STEGA_BROKER_URL=" + rabbit.URL(), "STEGA_DATABASE_URL=" + pg.URL() + "&search_path={service}",
	}
	var core, where []string // the services without the boundary, in one process
	for _, name := range process.Names() {
		if name != "boundary" {
			core, where = append(core, name), append(where, name+"=http://"+inner)
		}
	}
	env = append(env, "STEGA_SERVICES="+strings.Join(where, ","))
	migrate, _ := stegatest.Launch(t, env, "migrate")
	require.Contains(t, migrate.Output(), "broker: returns takes")
	var launched []*stegatest.Program
	t.Cleanup(func() {
		for _, p := range launched {
			if t.Failed() {
				t.Logf("output of the process at %s:\n%s", p.URL, p.Output())
			}
		}
	})
	launch := func(services, addr string) *stegatest.Program {
		for deadline := time.Now().Add(2 * stegatest.Patience); ; {
			p, ok := stegatest.Launch(t, env, "serve", "--service="+services, "--role=all", "--addr="+addr,
				"--log-level=error")
			launched = append(launched, p)
			if ok {
				return p
			}
			require.True(t, time.Now().Before(deadline), "%s", p.Output())
		}
	}
	services, boundary := launch(strings.Join(core, ","), inner), launch("boundary", outer)
	w := newTCPRelay(t, outer)
	dir, err := os.MkdirTemp("", "stegae") // the names of test folders are too long for sockets
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	daemon := func() *stegatest.Program {
		p, ok := stegatest.Launch(t, []string{
			"HOME=" + dir, "XDG_STATE_HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_RUNTIME_DIR=" + dir,
			"STEGA_SOCKET=" + socket, "STEGA_URL=" + w.url(),
		}, "daemon", "run")
		require.True(t, ok, "%s", p.Output())
		launched = append(launched, p)
		return p
	}
	d := daemon()

	token := boundary.Token()
	prices(t, w.url(), token)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	over := make(chan struct{})
	submitters := make([]*submitter, clients)
	for n := range submitters {
		o := edge.Options{URL: w.url(), Token: token}
		if n%4 == 0 {
			o.Socket, o.Header = socket, http.Header{"Stega-Server": {w.url()}}
		}
		c, err := edge.New(o)
		require.NoError(t, err)
		t.Cleanup(c.Close)
		s := &submitter{n: n, c: c}
		submitters[n] = s
		all.Go(func() { assert.NoError(t, s.work(ctx, changes), "client %d", n) })
	}
	go func() { all.Wait(); close(over) }()
	rng := stegatest.Rand(t, 3)
	for round := range 12 {
		select {
		case <-over:
			require.Greater(t, round, 4, "the clients finished before the faults")
		case <-time.After(time.Duration(200+rng.IntN(1200)) * time.Millisecond): // the random instant
			switch round % 4 {
			case 0:
				boundary.Kill()
				boundary = launch("boundary", outer)
			case 1:
				w.cut()
			case 2:
				services.Kill()
				services = launch(strings.Join(core, ","), inner)
			default:
				d.Kill()
				d = daemon()
			}
		}
	}
	<-over
	var awaited int64 // one poll each
	for _, s := range submitters {
		awaited += s.awaited
		s.mu.Lock()
		want := make([]int64, changes)
		for i := range want {
			want[i] = int64(2 + i)
		}
		assert.Equal(t, want, s.received, "client %d", s.n)
		assert.Empty(t, s.lost, "client %d", s.n)
		s.mu.Unlock()
	}
	t.Logf("%d writes were queued by the daemon, and operations were polled %d times", awaited, w.polls.Load())
	assert.LessOrEqual(t, w.polls.Load(), 10*awaited, "a client polls an operation")
	for _, p := range []*stegatest.Program{d, boundary, services} {
		assert.Zero(t, p.Stop(), "%s", p.Output())
	}
}

// prices imports prices of the clients' symbols on two days.
func prices(t *testing.T, url, token string) {
	c, err := edge.New(edge.Options{URL: url, Token: token})
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Submit(t.Context(), edge.Command{
		Method: http.MethodPost, Path: "/v1/prices", ContentType: "text/csv",
		Body: []byte("date,A,B\n2024-01-02,1,2\n2024-01-03,2,3\n2024-01-04,3,3\n"),
	}, edge.Wait{For: edge.ForSettled})
	require.NoError(t, err)
}
