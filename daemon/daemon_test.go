package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"stega/internal/stegatest"
	"stega/internal/wait"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("STEGA_TEST_DIAL"); path != "" {
		dialAsAnother(path)
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		stegatest.RemoveBinary()
		os.Exit(status)
	}))
}

// home is the folders of a user.
type home struct {
	t       testing.TB
	dir     string
	state   string // XDG_STATE_HOME
	runtime string // XDG_RUNTIME_DIR
	env     map[string]string
}

func newHome(t testing.TB) *home {
	dir, err := os.MkdirTemp("", "stegad") // the folders of tests have names too long for sockets
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &home{t: t, dir: dir, state: filepath.Join(dir, "s"), runtime: filepath.Join(dir, "r")}
	require.NoError(t, os.Mkdir(h.runtime, 0o700))
	h.env = map[string]string{
		"HOME":            dir,
		"XDG_STATE_HOME":  h.state,
		"XDG_RUNTIME_DIR": h.runtime,
		"XDG_CONFIG_HOME": filepath.Join(dir, "c"),
		"XDG_DATA_HOME":   filepath.Join(dir, "d"),
	}
	return h
}

func (h *home) getenv(name string) string { return h.env[name] }

func (h *home) paths() Paths {
	p, err := Locate(h.getenv)
	require.NoError(h.t, err)
	return p
}

func (h *home) socket() string { return filepath.Join(h.runtime, "stega", "daemon.sock") }

// servers knows one server and one token.
type servers struct{ url, token string }

func (s servers) Current() (Server, error) { return Server{URL: s.url, Token: s.token}, nil }
func (s servers) Token(string) string      { return s.token }

// running is a daemon in the process of the test.
type running struct {
	t    testing.TB
	h    *home
	stop context.CancelFunc
	done chan error
	c    *Connection
}

// serveIn runs a daemon for a server; it ends with the test.
func serveIn(t testing.TB, h *home, url string, changes ...func(*Options)) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o := Options{
		Paths:   h.paths(),
		Build:   Build{Version: "v1.0.0", ID: "test"},
		Servers: servers{url: url},
		Guard:   10 * time.Millisecond,
		Drain:   200 * time.Millisecond,
	}
	o.Log = slog.New(slog.NewTextHandler(testLog{t}, nil))
	for _, change := range changes {
		change(&o)
	}
	d := &running{t: t, h: h, stop: cancel, done: make(chan error, 1)}
	ready := make(chan string, 1)
	go func() { d.done <- Run(ctx, o, func(socket string) { ready <- socket }) }()
	t.Cleanup(d.end)
	select {
	case <-ready:
	case err := <-d.done:
		d.done <- nil
		require.NoError(t, err)
		t.Fatal("the daemon ended")
	case <-time.After(wait.Patience):
		t.Fatal("the daemon does not get ready")
	}
	c, err := Connect(t.Context(), ConnectOptions{Paths: o.Paths, Build: o.Build, Server: url})
	require.NoError(t, err)
	d.c = c
	t.Cleanup(c.HTTP.CloseIdleConnections)
	return d
}

// testLog is the log of a test; what is logged after its end is dropped.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

func (d *running) end() {
	d.stop()
	select {
	case err := <-d.done:
		d.done <- nil
		if err != nil {
			d.t.Errorf("the daemon ended with: %v", err)
		}
	case <-time.After(wait.Patience):
		d.t.Error("the daemon does not end")
	}
}

// reply is an answer that came through a daemon.
type replied struct {
	status int
	header http.Header
	body   string
}

func (d *running) do(method, path, body string, headers ...string) replied {
	d.t.Helper()
	return ask(d.t, d.c, method, path, body, headers...)
}

func ask(t testing.TB, c *Connection, method, path, body string, headers ...string) replied {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://daemon"+path, bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a, err := c.HTTP.Do(r)
	require.NoError(t, err)
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(a.Body)
	require.NoError(t, err)
	return replied{a.StatusCode, a.Header, string(b)}
}

func (d *running) status() Status {
	d.t.Helper()
	var s Status
	require.NoError(d.t, d.c.Ask(context.Background(), "GET", "/daemon/status", &s))
	return s
}

// connected sends the first request to the server.
func (d *running) connected() {
	d.t.Helper()
	require.Equal(d.t, http.StatusOK, d.do("GET", "/v1/portfolios", "").status)
	require.Equal(d.t, Connected, d.status().Servers[0].Link.State)
}

func (d *running) queue() []Item {
	d.t.Helper()
	return queueOf(d.t, d.c)
}

func queueOf(t testing.TB, c *Connection) []Item {
	t.Helper()
	var list struct{ Items []Item }
	require.NoError(t, c.Ask(context.Background(), "GET", "/daemon/queue", &list))
	return list.Items
}

func decoded[T any](t testing.TB, text string) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}
