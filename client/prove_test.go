package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/fault"
)

const localToken = "stega_the-token-of-this-machine"

// stegaLike proves that it knows a token, and answers what comes after.
func stegaLike(t *testing.T, token string, change func(p map[string]string)) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/proof", func(w http.ResponseWriter, r *http.Request) {
		var c struct{ Nonce string }
		_ = json.NewDecoder(r.Body).Decode(&c)
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		p := map[string]string{"proof": proof(token, c.Nonce, local.String()), "address": local.String()}
		if change != nil {
			change(p)
		}
		_ = json.NewEncoder(w).Encode(p)
	})
	mux.HandleFunc("GET /v1/stream", func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"stega.v1"}})
		if err != nil {
			return
		}
		_ = ws.Write(r.Context(), websocket.MessageText, []byte(`{"hello":{"version":"v1","ping_seconds":20}}`))
		_, _, _ = ws.Read(r.Context())
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, `{"items":[]}`)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// squatter listens where stega should, and keeps what it receives; respond answers, and may pass on to others.
type squatter struct {
	net.Listener

	mu  sync.Mutex
	got bytes.Buffer
}

func squat(t *testing.T, respond func(c net.Conn, received io.Reader)) *squatter {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &squatter{Listener: l}
	var work sync.WaitGroup
	t.Cleanup(work.Wait)
	t.Cleanup(func() { _ = l.Close() })
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				respond(c, io.TeeReader(c, s))
			})
		}
	})
	return s
}

func (s *squatter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.Write(b)
}

func (s *squatter) received() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.String()
}

// answering answers each request on a connection with the same text.
func answering(text string) func(net.Conn, io.Reader) {
	return func(c net.Conn, in io.Reader) {
		buf := make([]byte, 64<<10)
		for {
			if _, err := in.Read(buf); err != nil {
				return
			}
			_, _ = io.WriteString(c, text)
		}
	}
}

// passingOn passes everything on to another server, and its answers back.
func passingOn(to string) func(net.Conn, io.Reader) {
	return func(c net.Conn, in io.Reader) {
		there, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", to)
		if err != nil {
			return
		}
		defer func() { _ = there.Close() }()
		_ = there.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			_, _ = io.Copy(there, in)
			_ = there.Close()
		}()
		_, _ = io.Copy(c, there)
	}
}

func TestTheTokenOfThisMachineGoesToItsServerAlone(t *testing.T) {
	t.Parallel()
	real := stegaLike(t, localToken, nil)
	ok := func(body string) string {
		return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" +
			body
	}
	for name, respond := range map[string]func(net.Conn, io.Reader){
		"one that passes the challenge on": passingOn(real.Listener.Addr().String()),
		"one that says yes":                answering(ok(`{"items":[]}`)),
		"one with a proof of its own":      answering(ok(`{"proof":"AAAA","address":"127.0.0.1:1"}`)),
		"one that knows no such path":      answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
		"one that wants the token first":   answering("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"),
		"one that sends elsewhere": answering("HTTP/1.1 307 Temporary Redirect\r\nLocation: " + real.URL +
			"/v1/proof\r\nContent-Length: 0\r\n\r\n"),
		"one that speaks no HTTP": answering("SSH-2.0-x\r\n"),
		"one that says nothing":   func(_ net.Conn, in io.Reader) { _, _ = io.Copy(io.Discard, in) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := squat(t, respond)
			c, err := New(Options{URL: "http://" + s.Addr().String(), Token: localToken, Prove: true, RetryFor: -1})
			require.NoError(t, err)
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err = c.Portfolios(ctx, Page{}, "")
			require.Error(t, err)
			if f := fault.Of(err); name != "one that says nothing" && name != "one that speaks no HTTP" {
				assert.Equal(t, CodeServerUnproven, f.Code, "%s", err)
				assert.Equal(t, 77, f.Kind.Exit())
			}
			_, err = c.connect(ctx)
			require.Error(t, err, "the stream")
			_, err = c.Submit(ctx, DeletePortfolio("x"), Wait{For: ForAccepted})
			require.Error(t, err, "a write")
			assert.NotContains(t, s.received(), localToken)
			assert.NotContains(t, strings.ToLower(s.received()), "authorization")
			assert.NotContains(t, s.received(), "/v1/portfolios")
		})
	}
}

func TestAServerThatProvesItselfGetsTheToken(t *testing.T) {
	t.Parallel()
	real := stegaLike(t, localToken, nil)
	c, err := New(Options{URL: real.URL, Token: localToken, Prove: true})
	require.NoError(t, err)
	defer c.Close()
	for range 3 {
		_, err = c.Portfolios(t.Context(), Page{}, "")
		require.NoError(t, err)
	}
	l, err := c.connect(t.Context())
	require.NoError(t, err)
	l.close()
}

func TestAProofOfAnotherTokenOrAddressIsNone(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]*httptest.Server{
		"another token":   stegaLike(t, "stega_another", nil),
		"another address": stegaLike(t, localToken, func(p map[string]string) { p["address"] = "127.0.0.1:1" }),
		"no address":      stegaLike(t, localToken, func(p map[string]string) { p["address"] = "" }),
		"a cut proof":     stegaLike(t, localToken, func(p map[string]string) { p["proof"] = p["proof"][:10] }),
	} {
		c, err := New(Options{URL: server.URL, Token: localToken, Prove: true, RetryFor: -1})
		require.NoError(t, err)
		_, err = c.Portfolios(t.Context(), Page{}, "")
		assert.Equal(t, CodeServerUnproven, fault.Of(err).Code, name)
		c.Close()
	}
}

// A token that was given for a server is sent to it as it is.
func TestATokenThatWasGivenForAServerNeedsNoProof(t *testing.T) {
	t.Parallel()
	s := squat(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"+`{"items":[]}`))
	c, err := New(Options{URL: "http://" + s.Addr().String(), Token: "stega_given"})
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Portfolios(t.Context(), Page{}, "")
	require.NoError(t, err)
	assert.Contains(t, s.received(), "stega_given")
}

func TestNoPasswordOfAURLIsShown(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"http://u:hidden@127.0.0.1:1", "http://u:hidden@127.0.0.1:1/x?y=z",
		"http://u:hid den@h", "ftp://u:hidden@h", "http://u:%zzhidden@h", "u:hidden@h"} {
		_, err := New(Options{URL: given})
		require.Error(t, err)
		f := fault.Of(err)
		assert.NotContains(t, f.Error()+f.Hint, "hidden", given)
		assert.NotContains(t, f.Error()+f.Hint, "hid den", given)
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }
