package client

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/fault"
)

func to(t *testing.T, handler http.HandlerFunc, token string) *Client {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := New(Options{URL: server.URL + "/", Token: token, UserAgent: "test"})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestAFaultArrivesAsTheSameFault(t *testing.T) {
	t.Parallel()
	for _, kind := range fault.Kinds() {
		sent := fault.New(kind, "some_code", "what is wrong").
			WithHint("what to do").
			With(fault.Item{Pointer: "/a", Detail: "no"}, fault.Item{Line: 3, Detail: "no"})
		c := to(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, sent) }, "")
		_, err := c.Portfolio(t.Context(), "x")
		assert.Equal(t, sent, err)
	}
}

func TestAnErrorThatIsNotStegasIsSaidToBeOne(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]fault.Kind{
		400: fault.KindMalformed, 401: fault.KindUnauthorized, 403: fault.KindForbidden, 404: fault.KindNotFound,
		429: fault.KindRateLimited,
		500: fault.KindInternal, 502: fault.KindUnavailable, 503: fault.KindUnavailable, 504: fault.KindTimeout,
	} {
		c := to(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", status) }, "")
		_, err := c.Portfolio(t.Context(), "x")
		f := fault.Of(err)
		assert.Equal(t, kind, f.Kind, status)
		assert.Equal(t, "answer_strange", f.Code)
	}
	c := to(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, "")
	_, err := c.Portfolio(t.Context(), "x")
	assert.True(t, has(err, "answer_strange"))
	_, err = c.Health(t.Context())
	assert.True(t, has(err, "answer_strange"))
	c = to(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"kind":"of_tomorrow","code":"rate_limited","detail":"slower"}`))
	}, "")
	_, err = c.Portfolio(t.Context(), "x")
	assert.Equal(t, fault.KindRateLimited, fault.Of(err).Kind)
}

func TestURLsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "nonsense", "ftp://x", "http://", "127.0.0.1:8420", "http://[::1"} {
		_, err := New(Options{URL: url})
		assert.Equal(t, fault.KindUsage, fault.Of(err).Kind, url)
	}
}

func TestWhoAsksIsSaid(t *testing.T) {
	t.Parallel()
	c := to(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Stega-Position", "12;e1")
		_ = json.NewEncoder(w).
			Encode(map[string]string{"name": r.Header.Get("Authorization") + " " + r.UserAgent() + " " + r.URL.Path})
	}, "stega_x")
	a, err := c.Portfolio(t.Context(), "a/b")
	require.NoError(t, err)
	assert.Equal(t, "Bearer stega_x test /v1/portfolios/a/b", a.Value.Name)
	assert.Equal(t, &Position{12, "e1"}, a.Position())
	assert.Nil(t, Answer[int]{}.Position())
}

func TestASocketIsJustAnotherPlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	s := newServer(t)
	inner := http.Server{Handler: s.Config.Handler}
	go func() { _ = inner.Serve(listener) }()
	s.write = func(_ int, w http.ResponseWriter, r *http.Request) {
		id := accept(w, r)
		go s.tell(Operation{ID: id, Status: Succeeded})
	}
	c, err := New(Options{Socket: path})
	require.NoError(t, err)
	defer c.Close()
	op, err := c.Submit(t.Context(), create, Wait{For: ForResolved})
	require.NoError(t, err)
	assert.Equal(t, Succeeded, op.Status)
	c.Close()
	require.NoError(t, inner.Close())
	c, err = New(Options{Socket: path})
	require.NoError(t, err)
	_, err = c.Portfolio(t.Context(), "x")
	assert.Contains(t, fault.Of(err).Hint, "--direct")
}

func TestAContextThatEndsIsNoFault(t *testing.T) {
	t.Parallel()
	c := to(t, func(http.ResponseWriter, *http.Request) {}, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Portfolio(ctx, "x")
	require.ErrorIs(t, err, context.Canceled)
}

func TestPositions(t *testing.T) {
	t.Parallel()
	p, err := ParsePosition("12;0198")
	require.NoError(t, err)
	assert.Equal(t, Position{12, "0198"}, p)
	assert.Equal(t, "12;0198", p.String())
	for _, wrong := range []string{"", "12", ";x", "-1;x", "x;12"} {
		_, err := ParsePosition(wrong)
		require.Error(t, err, wrong)
	}
}

func FuzzFrames(f *testing.F) {
	for _, seed := range []string{
		`{"hello":{"version":"1","position":{"position":1,"id":"x"},"ping_seconds":25}}`,
		`{"id":1,"error":{"kind":"conflict","code":"x","detail":"y"}}`,
		`{"push":{"channels":["#"],"position":3,"event":{"id":"x","data":{}}}}`, `{"position":{"position":1,"id":"x"}}`,
		`[]`,
		`{"id":-1}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := &Stream{changed: make(chan struct{}), subs: map[string]*Subscription{}}
		sub := &Subscription{stream: s, want: Interest{Channel: "#"}, first: make(chan error, 1)}
		s.subs["#"] = sub
		l := &link{waiting: map[uint64]*Subscription{1: sub}}
		if got, err := read([]byte(text)); err == nil {
			s.take(t.Context(), l, got)
		}
		if strings.HasPrefix(text, `{"id":1`) && sub.over {
			assert.Error(t, <-sub.first)
		}
	})
}
