// Package stegatest runs all of stega in a test, exactly as "stega up" does: every service and role in one process,
// with databases and broker in a folder of the test. It sends requests over HTTP.
package stegatest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/embedded"
	"stega/internal/servers"
	"stega/internal/wait"
	"stega/process"
	"stega/store"
)

// Patience limits the wait of a test for an expected condition.
const Patience = wait.Patience

// Server is a running stega under test.
type Server struct {
	URL   string
	Token string // of scope admin, sent with every request without an Authorization header

	t      testing.TB
	stop   context.CancelFunc
	done   chan error
	prefer string // the Prefer header of writes
}

// Up starts stega on a new folder; changes modify its configuration. It stops with the test.
func Up(t testing.TB, changes ...func(*process.Config)) *Server {
	t.Helper()
	return Start(t, Config(t.TempDir(), changes...))
}

// The Prefer headers of writes.
const (
	settled  = "wait=50, settled"
	resolved = "wait=50"
)

// Unsettled returns the same server for writes that wait for their outcome, but not for their effects.
func (s *Server) Unsettled() *Server {
	other := *s
	other.prefer = resolved
	return &other
}

// Secret is the service token between the processes of a test.
const Secret = "the secret between the services of a test"

// At returns a server that runs at a URL, with a token for it.
func At(t testing.TB, url, token string) *Server {
	done := make(chan error, 1)
	done <- nil
	return &Server{URL: url, Token: token, t: t, stop: func() {}, done: done, prefer: settled}
}

// Config returns the configuration of "stega up" on a folder.
func Config(data string, changes ...func(*process.Config)) process.Config {
	cfg := process.Config{
		Services:  process.Names(),
		Roles:     []process.Role{process.API, process.Consumer},
		Addr:      "127.0.0.1:0",
		Migrate:   true,
		Log:       slog.New(slog.DiscardHandler),
		TokenFile: filepath.Join(data, "token"),
		Secret:    Secret,
		Database:  func(service string) string { return "sqlite://" + filepath.Join(data, service+".db") },
		Broker: func(ctx context.Context) (broker.Broker, error) {
			return embedded.Open(ctx, filepath.Join(data, "broker"), slog.New(slog.DiscardHandler))
		},
	}
	for _, change := range changes {
		change(&cfg)
	}
	return cfg
}

// Start starts a process and returns when it is ready.
func Start(t testing.TB, cfg process.Config) *Server {
	t.Helper()
	database := cfg.Database
	cfg.Database = func(service string) string { return servers.Database(t, service, database(service)) }
	for _, service := range cfg.Services {
		cfg.Database(service) // before the cleanup below, so that the database outlives the process
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{t: t, stop: cancel, done: make(chan error, 1), prefer: settled}
	address := make(chan string, 1)
	go func() { s.done <- process.Run(ctx, cfg, func(addr string) { address <- addr }) }()
	t.Cleanup(s.Stop)
	select {
	case addr := <-address:
		s.URL, s.Token = "http://"+addr, tokenOf(t, cfg)
	case err := <-s.done:
		s.done <- nil
		require.NoError(t, err)
		t.Fatal("stega ended before it was ready")
	case <-time.After(Patience):
		t.Fatal("stega is not ready in time")
	}
	return s
}

// tokenOf returns the token that a process accepts: that of its file, or the secret without the boundary.
func tokenOf(t testing.TB, cfg process.Config) string {
	t.Helper()
	if !slices.Contains(cfg.Services, "boundary") {
		return cfg.Secret
	}
	token, err := os.ReadFile(cfg.TokenFile)
	require.NoError(t, err)
	return strings.TrimSpace(string(token))
}

// Stop stops the process in order and waits for it; a second call does nothing.
func (s *Server) Stop() {
	s.stop()
	select {
	case err := <-s.done:
		s.done <- nil
		if err != nil {
			s.t.Errorf("stega ended with: %v", err)
		}
	case <-time.After(Patience):
		s.t.Error("stega does not stop in time")
	}
}

// Answer is an answer of the server.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte

	t testing.TB
}

// Do sends a request and returns the answer. headers alternates names and values.
func (s *Server) Do(method, path, body string, headers ...string) Answer {
	s.t.Helper()
	return s.Send(method, path, strings.NewReader(body), headers...)
}

// Send sends a request with a streamed body, JSON unless a header has another type.
func (s *Server) Send(method, path string, body io.Reader, headers ...string) Answer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.URL+path, body)
	require.NoError(s.t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+s.Token)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	require.NoError(s.t, err)
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	return Answer{Status: answer.StatusCode, Header: answer.Header, Body: b, t: s.t}
}

// Get decodes the answer of a path, which must be 200.
func (s *Server) Get(path string, into any) {
	s.t.Helper()
	a := s.Do(http.MethodGet, path, "")
	require.Equal(s.t, http.StatusOK, a.Status, "GET %s: %s", path, a.Body)
	a.JSON(into)
}

// JSON decodes the body.
func (a Answer) JSON(into any) {
	a.t.Helper()
	require.NoError(a.t, json.NewDecoder(bytes.NewReader(a.Body)).Decode(into), "%s", a.Body)
}

// Problem decodes the body of an error.
func (a Answer) Problem() (p Problem) {
	a.t.Helper()
	a.JSON(&p)
	return p
}

// Problem is the body of an error.
type Problem struct {
	Status int
	Code   string
	Detail string
	Hint   string
	Errors []struct {
		Pointer string
		Line    int
		Detail  string
	}
}

// Write sends a write and waits until all its effects are readable; without the boundary, for its outcome only.
func (s *Server) Write(method, path, body string, headers ...string) store.Operation {
	s.t.Helper()
	a := s.Do(method, path, body, append([]string{"Prefer", s.prefer}, headers...)...)
	if a.Status == http.StatusAccepted { // the server was too busy to wait, or the wait timed out
		var accepted struct {
			ID string `json:"operation_id"`
		}
		a.JSON(&accepted)
		pace := time.NewTicker(100 * time.Millisecond) // many tests may poll at once, and requests are limited
		defer pace.Stop()
		s.Eventually(method+" "+path+" has its outcome", func() bool {
			<-pace.C
			if a = s.Do(http.MethodGet, "/v1/operations/"+accepted.ID, ""); a.Status != http.StatusOK {
				return false
			}
			var now struct {
				store.Operation
				Settled bool `json:"settled"`
			}
			a.JSON(&now)
			return now.Settled || now.Done() && (now.Error != nil || s.prefer == resolved)
		})
	}
	require.Equal(s.t, http.StatusOK, a.Status, "%s %s: %s", method, path, a.Body)
	var op store.Operation
	a.JSON(&op)
	return op
}

// Import imports a CSV and requires success.
func (s *Server) Import(csv, query string) store.Operation {
	s.t.Helper()
	op := s.Write(http.MethodPost, "/v1/prices"+query, csv, "Content-Type", "text/csv")
	require.Nil(s.t, op.Error)
	return op
}

// Portfolio creates a portfolio and returns its id.
func (s *Server) Portfolio(body string) string {
	s.t.Helper()
	op := s.Write(http.MethodPost, "/v1/portfolios", body)
	require.Nil(s.t, op.Error, "%v", op.Error)
	return op.EntityID
}

// Events returns all events of the log so far as "topic subject", in order.
func (s *Server) Events() []string {
	s.t.Helper()
	var all []string
	for _, line := range s.Log() {
		all = append(all, line.Type+" "+line.Subject)
	}
	return all
}

// Log returns all entries of the log so far.
func (s *Server) Log() []process.LogLine {
	s.t.Helper()
	a := s.Do(http.MethodGet, "/v1/events?from=0&follow=false", "")
	require.Equal(s.t, http.StatusOK, a.Status, "%s", a.Body)
	var lines []process.LogLine
	dec := json.NewDecoder(bytes.NewReader(a.Body))
	for dec.More() {
		var line process.LogLine
		require.NoError(s.t, dec.Decode(&line))
		lines = append(lines, line)
	}
	return lines
}

// Eventually waits until a condition holds.
func (s *Server) Eventually(what string, so func() bool) {
	s.t.Helper()
	wait.Until(s.t, what, so)
}

// Found waits until a path answers 200, and decodes the answer.
func (s *Server) Found(path string, into any) {
	s.t.Helper()
	var a Answer
	s.Eventually("GET "+path+" answers", func() bool {
		a = s.Do(http.MethodGet, path, "")
		return a.Status == http.StatusOK
	})
	a.JSON(into)
}
