package access

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/api"
	"stega/internal/servers"
	"stega/migrations"
	"stega/rest"
	"stega/services/marketdata"
	"stega/services/portfolio"
	"stega/store"
)

func TestMain(m *testing.M) {
	if child() {
		return
	}
	servers.Main(m)
}

// onBoth runs a test on both kinds of database.
func onBoth(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, sqlite(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, servers.Postgres(t).URL())
	})
}

func sqlite(t testing.TB) string {
	return "sqlite://" + filepath.Join(t.TempDir(), "boundary.db")
}

// open opens a boundary's database, and migrates it.
func open(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), "boundary", url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	files, err := migrations.Of("boundary")
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context(), files))
	return db
}

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// run runs what works beside the requests; stop ends it in order.
func run(t testing.TB, a *Access) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, over := make(chan struct{}), make(chan error, 1)
	go func() { over <- a.Run(ctx, func() { close(ready) }) }()
	<-ready
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			assert.NoError(t, <-over)
		})
	}
	t.Cleanup(stop)
	return stop
}

// Listeners: one that only this machine reaches, and one that others do.
var (
	inside  = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8420}
	outside = &net.TCPAddr{IP: net.IPv4zero, Port: 8420}
)

// paths are the routes of the suite, as far as the tests of this package need them.
var paths = rest.NewTable(slices.Concat(
	New(nil, Options{}).Routes(), rest.DeadLetters(), rest.Operations(), portfolio.New(nil).Routes(nil),
	marketdata.New(nil, marketdata.Options{}).Routes(nil),
	[]rest.Route{
		{Method: http.MethodGet, Path: "/healthz"}, {Method: http.MethodGet, Path: "/readyz"},
		{Method: http.MethodGet, Path: "/metrics", Scope: Read},
		{Method: http.MethodGet, Path: "/v1/stream", Scope: Read},
		{Method: http.MethodGet, Path: "/v1/events", Scope: Read},
		{Method: http.MethodPost, Path: "/v1/events/{topic}", Scope: Admin, Command: "publish {topic}"},
		{Method: http.MethodPost, Path: "/v1/rebuild/{service}", Scope: Admin, Command: "{service}.rebuild"},
	},
)...)

// door is all that a boundary would serve: the paths of this package, and an answer to everything else.
func door(a *Access, listener net.Addr) http.Handler {
	e := rest.New(rest.Options{})
	rest.Serve(e, a.Routes()...)
	e.RouteNotFound("/*", func(c echo.Context) error {
		who, _ := From(c.Request().Context())
		c.Response().Header().Set("Who", who.Name)
		return c.NoContent(http.StatusNoContent)
	})
	return a.Wrap(listener, paths, e)
}

type answer struct {
	*httptest.ResponseRecorder
	t testing.TB
}

func (a answer) json(into any) {
	a.t.Helper()
	require.NoError(a.t, json.Unmarshal(a.Body.Bytes(), into), "%s", a.Body)
}

func (a answer) code() string {
	a.t.Helper()
	var p api.Problem
	a.json(&p)
	assert.Equal(a.t, "application/problem+json", a.Header().Get("Content-Type"))
	assert.Equal(a.t, a.Code, p.Status)
	assert.NotEmpty(a.t, p.Detail)
	return p.Code
}

// ask asks from another machine; headers are names and values by turns, among them Remote and Host.
func ask(t testing.TB, h http.Handler, method, path, body string, headers ...string) answer {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = "203.0.113.7:4711", "stega.example:8420"
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		switch headers[i] {
		case "Remote":
			r.RemoteAddr = headers[i+1]
		case "Host":
			r.Host = headers[i+1]
		default:
			r.Header.Add(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w, t}
}

func bearer(text string) []string { return []string{"Authorization", "Bearer " + text} }

// notebook is a log that a test can read.
type notebook struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (n *notebook) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all.Write(b)
}

func (n *notebook) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all.String()
}

func (n *notebook) log() *slog.Logger {
	return slog.New(slog.NewJSONHandler(n, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

var _ io.Writer = (*notebook)(nil)

func count(t testing.TB, db *store.DB, table string) int {
	t.Helper()
	n, err := db.Read().NewSelect().Table(table).Count(t.Context())
	require.NoError(t, err)
	return int(n)
}

func revoke(t testing.TB, a *Access, id string) {
	t.Helper()
	_, err := a.tokens.revoke(t.Context(), id)
	require.NoError(t, err)
}

func jsonOf(r io.Reader, into any) error { return json.NewDecoder(r).Decode(into) }
