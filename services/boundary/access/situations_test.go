package access_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/stegatest"
	"stega/internal/wait"
	"stega/process"
	"stega/rest"
	"stega/services/boundary/access"
)

// open lists the routes that need no token, with what they answer without one: health, a page that shows how to sign
// in, the refusal of a link that is none, and the refusal of a challenge that is none. None of them has data.
var open = map[string]int{
	"GET /healthz":   200,
	"GET /readyz":    200,
	"GET /":          200,
	"GET /login":     401,
	"POST /v1/proof": 422,
}

// isOpen reports whether a status is that of an open route. A server that has much to do may answer that it is not
// ready.
func isOpen(row string, want, status int) bool {
	return status == want || row == "GET /readyz" && status == http.StatusServiceUnavailable
}

// target is a path of a route that exists nowhere, and does not stream without an end.
func target(r rest.Route) string {
	path := strings.NewReplacer("{id}", "01a22c57-0000-7000-8000-000000000000", "{symbol}", "NONE", "{topic}",
		"portfolio.created", "{service}", "nowhere").Replace(r.Path)
	if r.Path == "/v1/events" && r.Method == http.MethodGet {
		path += "?follow=false"
	}
	return path
}

// send sends a request without a token, as a situation changes it.
func send(t *testing.T, base string, r rest.Route, change func(*http.Request)) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), stegatest.Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, r.Method, base+target(r), strings.NewReader("{}"))
	require.NoError(t, err)
	if r.Method == http.MethodGet {
		request.Body, request.ContentLength = nil, 0
	} else {
		request.Header.Set("Content-Type", "application/json")
	}
	change(request)
	answer, err := http.DefaultTransport.RoundTrip(request)
	require.NoError(t, err, "%s %s", r.Method, r.Path)
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	require.NoError(t, err, "%s %s%s: %s", r.Method, base, r.Path, b)
	return answer.StatusCode, string(b)
}

// Every route, in every situation in which a request can come from somebody who has no token, and with each token, on
// a whole server. A new route is here as soon as it is in the table, where a test of package process requires it; an
// open one needs a row above.
func TestEveryRouteInEverySituation(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t, func(c *process.Config) { c.Limits.Rate = -1 })
	wide := stegatest.Up(t, func(c *process.Config) {
		c.Limits.Rate, c.Addr, c.LocalAccess = -1, "0.0.0.0:0", access.Admin
	})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(wide.URL, "http://"))
	require.NoError(t, err)
	header := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Set(pairs[i], pairs[i+1])
			}
		}
	}
	forwarder, proxy := forward(t, s.URL), behindNginx(t, s.URL)
	situations := []struct {
		name, base string
		change     func(*http.Request)
	}{
		{"a program of this machine", s.URL, header()},
		{"a proxy that adds a header", s.URL, header("X-Forwarded-For", "127.0.0.1")},
		{"a page of another site", s.URL, header("Origin", "http://evil.example")},
		{"a link of another site", s.URL, header("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")},
		{"a name that was rebound", s.URL, func(r *http.Request) { r.Host = "evil.example:8420" }},
		{"a wrong token", s.URL, header("Authorization", "Bearer stega_"+strings.Repeat("A", 43))},
		{"the secret between services", s.URL, header("Authorization", "Bearer "+stegatest.Secret)},
		{"a wrong cookie", s.URL, header("Cookie", "stega_session="+strings.Repeat("A", 43))},
		{"a TCP forwarder", forwarder, header()},
		{"a TCP forwarder and a Host of loopback", forwarder, func(r *http.Request) { r.Host = "localhost" }},
		{"a proxy that rewrites Host and adds nothing", proxy, header()},
		{"loopback, to a listener that others reach", "http://127.0.0.1:" + port, header()},
	}
	if address := private(t); address != "" {
		situations = append(situations, struct {
			name, base string
			change     func(*http.Request)
		}{"a private address", "http://" + net.JoinHostPort(address, port), func(r *http.Request) {
			r.Host = "localhost"
		}})
	}
	routes := process.HTTPRoutes()
	seen := map[string]bool{}
	for _, r := range routes {
		row := r.Method + " " + r.Path
		seen[row] = true
		want, ok := open[row]
		assert.Equal(t, r.Scope == access.Open, ok, "%s needs a row among the open routes, or a scope", row)
		if !ok {
			want = http.StatusUnauthorized
		}
		for _, in := range situations {
			status, body := send(t, in.base, r, in.change)
			if row == "GET /login" && in.name == "a link of another site" {
				assert.Equal(t, http.StatusForbidden, status)
				continue
			}
			assert.True(t, isOpen(row, want, status), "%s: %s: %d in place of %d: %s", row, in.name, status, want, body)
		}
	}
	for row := range open {
		assert.True(t, seen[row], row)
	}
	for _, scope := range access.Scopes() {
		var made access.Made
		a := s.Do(http.MethodPost, "/v1/tokens", fmt.Sprintf(`{"name":"of scope %s","scope":%q}`, scope, scope))
		require.Equal(t, http.StatusCreated, a.Status, "%s", a.Body)
		a.JSON(&made)
		for _, r := range routes {
			status, body := send(t, s.URL, r, header("Authorization", "Bearer "+made.Text))
			switch {
			case r.Scope == access.Open:
			case scope.Covers(r.Scope):
				assert.NotContains(t, []int{401, 403}, status, "%s %s with %s: %s", r.Method, r.Path, scope, body)
			default:
				assert.Equal(t, 403, status, "%s %s with %s: %s", r.Method, r.Path, scope, body)
			}
		}
	}
}

// forward passes connections on as they come, and returns where.
func forward(t *testing.T, to string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", strings.TrimPrefix(to, "http://"))
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
	return "http://" + l.Addr().String()
}

// behindNginx is what nginx does with "proxy_pass" alone: the Host is that of the upstream, and nothing names the
// client.
func behindNginx(t *testing.T, to string) string {
	t.Helper()
	u, err := url.Parse(to)
	require.NoError(t, err)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = u.Host
	}}}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String()
}

// private is an address of this machine that is not of loopback; empty when there is none.
func private(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsPrivate() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return ""
}

// Another user of the machine gets 401 on every route but the open ones, and cannot read the token.
func TestAnotherUserOfTheMachineIsRefused(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		wait.Skip(t, "only root can run a program as another user")
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		wait.Skip(t, "there is no bash")
	}
	data := t.TempDir()
	s := stegatest.Start(t, stegatest.Config(data, func(c *process.Config) { c.Limits.Rate = -1 }))
	host, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	require.NoError(t, err)
	var script strings.Builder
	routes := process.HTTPRoutes()
	for _, r := range routes {
		_, _ = fmt.Fprintf(&script, "exec 3<>/dev/tcp/%s/%s; printf '%s %s HTTP/1.1\\r\\nHost: "+
			"localhost\\r\\nConnection: close\\r\\nContent-Type: application/json\\r\\n"+
			"Content-Length: 2\\r\\n\\r\\n{}' >&3; head -n 1 <&3; exec 3>&-\n", host, port, r.Method, target(r))
	}
	_, _ = fmt.Fprintf(&script, "cat %s/token && echo TOKEN\n", data)
	ctx, cancel := context.WithTimeout(t.Context(), stegatest.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, bash, "-c", script.String())
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var out bytes.Buffer
	cmd.Stdout = &out
	_ = cmd.Run() // its last command fails
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, len(routes), "%s", out.String())
	for i, r := range routes {
		row := r.Method + " " + r.Path
		want, ok := open[row]
		if !ok {
			want = http.StatusUnauthorized
		}
		var status int
		_, err := fmt.Sscanf(lines[i], "HTTP/1.1 %d ", &status)
		require.NoError(t, err, "%s: %s", row, lines[i])
		assert.True(t, isOpen(row, want, status), "%s: %s", row, lines[i])
	}
	assert.NotContains(t, out.String(), "TOKEN")
}

// What streams ends with its token: the tail of the log, server-sent events, and WebSockets, whether the token came
// in the header or as a message.
func TestRevocationEndsWhatStreams(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	var made access.Made
	s.Do(http.MethodPost, "/v1/tokens", `{"name":"streams","scope":"read"}`).JSON(&made)
	ctx, cancel := context.WithTimeout(t.Context(), stegatest.Patience)
	defer cancel()
	header := http.Header{"Authorization": {"Bearer " + made.Text}}
	over := make(chan string, 8)
	for _, path := range []string{"/v1/events", "/v1/stream?channel=%23"} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
		require.NoError(t, err)
		r.Header = header
		answer, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.StatusCode, path)
		go func() {
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			over <- path
		}()
	}
	for name, options := range map[string]*websocket.DialOptions{
		"a token in the header": {HTTPHeader: header},
		"a token as a message":  nil,
	} {
		ws, answer, err := websocket.Dial(ctx, s.URL+"/v1/stream", options)
		require.NoError(t, err)
		if answer.Body != nil {
			_ = answer.Body.Close()
		}
		if options == nil {
			require.NoError(t,
				ws.Write(ctx, websocket.MessageText, []byte(`{"id":1,"auth":{"token":"`+made.Text+`"}}`)))
		}
		_, hello, err := ws.Read(ctx)
		require.NoError(t, err, name)
		require.NotContains(t, string(hello), "error")
		go func() {
			var err error
			for err == nil {
				_, _, err = ws.Read(ctx)
			}
			assert.Equal(t, websocket.StatusCode(4500), websocket.CloseStatus(err), "%s: %v", name, err)
			_ = ws.CloseNow()
			over <- name
		}()
	}
	began := time.Now()
	require.Equal(t, http.StatusNoContent, s.Do(http.MethodDelete, "/v1/tokens/"+made.ID, "").Status)
	for range 4 {
		select {
		case name := <-over:
			t.Logf("%s ended after %s", name, time.Since(began))
		case <-ctx.Done():
			t.Fatal("something goes on")
		}
	}
	assert.Less(t, time.Since(began), 20*time.Second, "it does not wait for a round of checks")
}

// Signing out ends the session of one browser with its streams within a second, and no other session or token.
func TestSigningOutEndsTheSessionAndItsStreams(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	signIn := func() string {
		var link access.Link
		s.Do(http.MethodPost, "/v1/links", "{}").JSON(&link)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link.URL, nil)
		require.NoError(t, err)
		answer, err := http.DefaultTransport.RoundTrip(request)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusSeeOther, answer.StatusCode)
		require.Len(t, answer.Cookies(), 1)
		return answer.Cookies()[0].Name + "=" + answer.Cookies()[0].Value
	}
	by := func(cookie, method, path string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
		require.NoError(t, err)
		request.Header.Set("Cookie", cookie)
		request.Header.Set("Sec-Fetch-Site", "same-origin")
		answer, err := http.DefaultTransport.RoundTrip(request)
		require.NoError(t, err)
		t.Cleanup(func() { _ = answer.Body.Close() })
		return answer
	}
	one, other := signIn(), signIn()
	ended, goesOn := make(chan struct{}), make(chan struct{})
	for cookie, over := range map[string]chan struct{}{one: ended, other: goesOn} {
		stream := by(cookie, http.MethodGet, "/v1/stream?channel=portfolio.*")
		require.Equal(t, http.StatusOK, stream.StatusCode)
		go func() {
			_, _ = io.Copy(io.Discard, stream.Body)
			close(over)
		}()
	}
	out := by(one, http.MethodPost, "/v1/logout")
	require.Equal(t, http.StatusNoContent, out.StatusCode)
	require.Len(t, out.Cookies(), 1)
	assert.Negative(t, out.Cookies()[0].MaxAge, "the browser forgets the cookie")
	select {
	case <-ended:
	case <-time.After(time.Second):
		t.Error("its stream goes on")
	}
	assert.Equal(t, http.StatusUnauthorized, by(one, http.MethodGet, "/v1/me").StatusCode)
	assert.Equal(t, http.StatusUnauthorized, by(one, http.MethodPost, "/v1/logout").StatusCode)
	assert.Equal(t, http.StatusOK, by(other, http.MethodGet, "/v1/me").StatusCode)
	select {
	case <-goesOn:
		t.Error("the stream of another browser ends")
	default:
	}
	assert.Equal(t, http.StatusNotFound, s.Do(http.MethodPost, "/v1/logout", "").Status, "a token is no session")
	s.Eventually("the audit has it", func() bool {
		var list struct{ Items []access.Entry }
		s.Get("/v1/audit", &list)
		return slices.ContainsFunc(list.Items, func(e access.Entry) bool {
			return e.Command == "session.delete" && e.Status == http.StatusNoContent
		})
	})
}
