package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"stega/api"
	"stega/internal/backoff"
	"stega/internal/wait"
	"stega/rest"
	"stega/services/correlations"
	"stega/services/marketdata"
	"stega/services/optimization"
	"stega/services/portfolio"
	"stega/services/returns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// paths are the routes of the suite that services answer.
var paths = rest.NewTable(slices.Concat(
	rest.DeadLetters(), rest.Of("portfolio", portfolio.New(nil).Routes(nil)),
	rest.Of("marketdata", marketdata.New(nil, marketdata.Options{}).Routes(nil)),
	rest.Of("returns", returns.New(nil).Routes(nil)), rest.Of("correlations", correlations.New(nil).Routes(nil)),
	rest.Of("optimization", optimization.New(nil, optimization.Options{}).Routes(nil)),
	[]rest.Route{
		{Method: http.MethodPost, Path: "/v1/events/{topic}", Service: "{topic}"},
		{Method: http.MethodPost, Path: "/v1/rebuild/{service}", Service: "{service}"},
		{Method: http.MethodGet, Path: "/v1/events"}, {Method: http.MethodGet, Path: "/v1/operations/{id}"},
	},
)...)

// elsewhere is a service on a server of its own.
func elsewhere(t testing.TB, service string, h http.HandlerFunc) Upstream {
	t.Helper()
	s := httptest.NewServer(rest.Pace{}.Wrap(h))
	t.Cleanup(s.Close)
	return at(t, service, s.URL)
}

func at(t testing.TB, service, where string) Upstream {
	t.Helper()
	list, err := ParseUpstreams(service + "=" + where)
	require.NoError(t, err)
	return list[0]
}

// serve serves a gateway.
func serve(t testing.TB, o Options) *httptest.Server { return servePaced(t, o, rest.Pace{}) }

func servePaced(t testing.TB, o Options, pace rest.Pace) *httptest.Server {
	t.Helper()
	o.Table = paths
	g := New(o)
	s := httptest.NewServer(pace.Wrap(g)) // as a process serves it
	t.Cleanup(func() { s.Close(); g.Close() })
	return s
}

type got struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading the body
	t      testing.TB
}

func (g got) problem() (p api.Problem) {
	g.t.Helper()
	assert.Equal(g.t, "application/problem+json", g.header.Get("Content-Type"))
	require.NoError(g.t, json.Unmarshal(g.body, &p), "%s", g.body)
	assert.Equal(g.t, g.status, p.Status)
	assert.NotEmpty(g.t, p.Instance)
	return p
}

func do(t testing.TB, method, where string, body io.Reader, headers ...string) got {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, where, body)
	require.NoError(t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: wait.Patience}
	a, err := client.Do(r)
	require.NoError(t, err)
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(a.Body)
	return got{a.StatusCode, a.Header, b, err, t}
}

func TestPathsGoToTheirServices(t *testing.T) {
	t.Parallel()
	var ups []Upstream
	for i, name := range []string{"portfolio", "marketdata", "returns", "correlations", "optimization"} {
		h := func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "%s %s %s", name, r.Method, r.URL.RequestURI())
		}
		if i%2 == 0 {
			ups = append(ups, elsewhere(t, name, h))
		} else {
			ups = append(ups, Upstream{Service: name, Handler: http.HandlerFunc(h)})
		}
	}
	s := serve(t, Options{Upstreams: ups})
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/v1/portfolios?limit=2", "portfolio GET /v1/portfolios?limit=2"},
		{"DELETE", "/v1/portfolios/abc", "portfolio DELETE /v1/portfolios/abc"},
		{"POST", "/v1/prices/pull", "marketdata POST /v1/prices/pull"},
		{"GET", "/v1/prices/%5EGSPC", "marketdata GET /v1/prices/%5EGSPC"},
		{"GET", "/v1/symbols/BRK.B", "marketdata GET /v1/symbols/BRK.B"},
		{"GET", "/v1/symbols/EURUSD%3dX", "marketdata GET /v1/symbols/EURUSD=X"},
		{"GET", "/v1/returns/portfolios/abc/series?kind=log", "returns GET /v1/returns/portfolios/abc/series?kind=log"},
		{"GET", "/v1/correlations?symbols=A,B", "correlations GET /v1/correlations?symbols=A,B"},
		{"POST", "/v1/optimizations", "optimization POST /v1/optimizations"},
		{"POST", "/v1/rebuild/returns", "returns POST /v1/rebuild/returns"},
		{"POST", "/v1/events/portfolio.created", "portfolio POST /v1/events/portfolio.created"},
		{"POST", "/v1/events/stega.replay_requested", "correlations POST /v1/events/stega.replay_requested"},
		{"POST", "/v1/dead/returns/17/retry", "returns POST /v1/dead/returns/17/retry"},
	} {
		a := do(t, c.method, s.URL+c.path, nil)
		assert.Equal(t, c.want, string(a.body))
		assert.Equal(t, 200, a.status)
	}
	id := "019a2f60-0000-7000-8000-00000000000a"
	for _, c := range []struct {
		path   string
		status int
	}{{"/v1/portfolios", 200}, {"/v1/portfolios", 200}, {"/v1/optimizations", 422}, {"/v1/rebuild/returns", 422},
		{"/v1/portfolios", 200}} {
		for _, spelled := range []string{id, strings.ToUpper(id)} {
			assert.Equal(t, c.status, do(t, "POST", s.URL+c.path, nil, "Operation-Id", spelled).status,
				"an operation id is that of one write: %s", c.path)
		}
	}
	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/v1", 404, "path_unknown"}, {"GET", "/", 400, "path_malformed"},
		{"GET", "/metrics", 404, "path_unknown"},
		{"GET", "/v1/nothing", 404, "path_unknown"}, {"GET", "/V1/portfolios", 404, "path_unknown"},
		{"GET", "/v1/Portfolios", 404, "path_unknown"},
		{"GET", "/v1/portfoliosx", 404, "path_unknown"}, {"POST", "/v1/rebuild/weather", 404, "service_unknown"},
		{"POST", "/v1/rebuild", 404, "path_unknown"},
		{"POST", "/v1/rebuild/returns/x", 404, "path_unknown"}, {"POST", "/v1/events/no.such", 404, "topic_unknown"},
		{"GET", "/v1/dead/weather/1", 404, "service_unknown"},
		{"GET", "/v1/tokens", 404, "path_unknown"}, {"PATCH", "/v1/portfolios", 405, "method_not_allowed"},
		{"DELETE", "/v1/symbols/A", 405, "method_not_allowed"},
		{"GET", "/v1/events/portfolio.created", 405, "method_not_allowed"},
		{"POST", "/v1/dead", 405, "method_not_allowed"},
		{"TRACE", "/v1/portfolios", 405, "method_not_allowed"},
		{"OPTIONS", "/v1/portfolios", 405, "method_not_allowed"},
		{"GET", "/v1/portfolios?a=%zz", 400, "query_malformed"},
	} {
		a := do(t, c.method, s.URL+c.path, nil)
		assert.Equal(t, c.status, a.status, c.path)
		assert.Equal(t, c.code, a.problem().Code, c.path)
		if c.status == 405 {
			assert.NotEmpty(t, a.header.Get("Allow"))
		}
	}
}

func TestHeadersThatSpeakForOthersEndHere(t *testing.T) {
	t.Parallel()
	headers := make(chan http.Header, 2)
	take := func(_ http.ResponseWriter, r *http.Request) { headers <- r.Header }
	s := serve(t, Options{Secret: "between us", Upstreams: []Upstream{
		elsewhere(t, "portfolio", take), {Service: "marketdata", Handler: http.HandlerFunc(take)},
	}})
	for _, path := range []string{"/v1/portfolios", "/v1/symbols"} {
		a := do(t, "GET", s.URL+path, nil, "Authorization", "Bearer mine", "Cookie", "a=b", "X-Forwarded-For",
			"10.0.0.1", "X-Forwarded-User", "root",
			"Forwarded", "for=10.0.0.1", "X-Real-Ip", "10.0.0.1", "Via", "1.1 x", "Connection",
			"X-Private, Operation-Id-Not",
			"X-Private", "yes",
			"Upgrade", "h2c", "Te", "trailers", "Operation-Id", "0190b7a8-0000-7000-8000-000000000000", "X-Request-Id",
			"abc-1",
			"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "If-Match", `"3"`,
			"Proxy-Authorization", "x")
		assert.Equal(t, "abc-1", a.header.Get("X-Request-Id"))
		assert.Len(t, a.header.Values("X-Request-Id"), 1)
		h := <-headers
		for _, gone := range []string{"Cookie", "X-Forwarded-User", "Forwarded", "X-Real-Ip", "Via", "X-Private",
			"Upgrade", "Proxy-Authorization", "Te"} {
			assert.Empty(t, h.Values(gone), gone)
		}
		assert.Equal(t, []string{"127.0.0.1"}, h.Values("X-Forwarded-For"))
		assert.Equal(t, strings.TrimPrefix(s.URL, "http://"), h.Get("X-Forwarded-Host"))
		assert.Equal(t, "http", h.Get("X-Forwarded-Proto"))
		assert.Equal(t, "abc-1", h.Get("X-Request-Id"))
		assert.Equal(t, "0190b7a8-0000-7000-8000-000000000000", h.Get("Operation-Id"))
		assert.Equal(t, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", h.Get("Traceparent"))
		assert.Equal(t, `"3"`, h.Get("If-Match"))
		if path == "/v1/portfolios" {
			assert.Equal(t, "Bearer between us", h.Get("Authorization"))
		} else {
			assert.Empty(t, h.Get("Authorization"))
		}
	}
	a := do(t, "GET", s.URL+"/v1/symbols", nil, "X-Request-Id", "no good\tone")
	assert.NotEqual(t, "no good\tone", a.header.Get("X-Request-Id"))
	assert.Equal(t, a.header.Get("X-Request-Id"), (<-headers).Get("X-Request-Id"))
}

func TestTheSpanOfTheGatewayIsTheParent(t *testing.T) {
	t.Parallel()
	var parent string
	g := New(Options{Table: paths, Upstreams: []Upstream{{
		Service: "marketdata",
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			parent = r.Header.Get("Traceparent")
		})}}})
	r := httptest.NewRequest(http.MethodGet, "/v1/symbols", nil)
	span := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID:    trace.TraceID{1},
		SpanID:     trace.SpanID{2},
		TraceFlags: trace.FlagsSampled,
	})
	g.ServeHTTP(httptest.NewRecorder(), r.WithContext(trace.ContextWithSpanContext(r.Context(), span)))
	assert.Equal(t, "00-01000000000000000000000000000000-0200000000000000-01", parent)
}

// counted is a stream of so many bytes that is never whole in memory.
type counted struct{ left int64 }

func (c *counted) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), c.left)
	for i := range p[:n] {
		p[i] = byte('a' + i%26)
	}
	c.left -= n
	return int(n), nil
}

func TestBodiesAreStreamed(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	echoed := func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		_, _ = fmt.Fprintf(w, "%d %x %v", n, h.Sum(nil)[:4], err)
	}
	s := serve(t, Options{Upstreams: []Upstream{elsewhere(t, "marketdata", echoed)}})
	a := do(t, "POST", s.URL+"/v1/prices", &counted{size}, "Content-Type", "text/csv")
	assert.Equal(t, 200, a.status)
	assert.True(t, strings.HasPrefix(string(a.body), fmt.Sprintf("%d ", size)), "%s", a.body)
	assert.True(t, strings.HasSuffix(string(a.body), "<nil>"), "%s", a.body)

	t.Log("an answer is passed on while it is still being made")
	more := make(chan struct{})
	s = serve(t, Options{Upstreams: []Upstream{elsewhere(t, "marketdata", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, "second\n")
	})}})
	answer, err := http.Get(s.URL + "/v1/symbols")
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	lines := bufio.NewReader(answer.Body)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "first\n", line)
	close(more)
	line, err = lines.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "second\n", line)
	http.DefaultClient.CloseIdleConnections()
}

func TestBodiesThatAreTooLargeAreRefused(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	drain := func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			rest.Refuse(w, r, err)
		}
	}
	s := serve(t, Options{MaxBody: 1000, MaxImport: 100_000, Upstreams: []Upstream{
		elsewhere(t, "portfolio", drain), elsewhere(t, "marketdata", drain),
	}})
	for path, limit := range map[string]int64{"/v1/portfolios": 1000, "/v1/prices": 100_000} {
		before := asked.Load()
		a := do(t, "POST", s.URL+path, bytes.NewReader(make([]byte, limit+1)))
		assert.Equal(t, "body_too_large", a.problem().Code)
		assert.Equal(t, 413, a.status)
		assert.Equal(t, before, asked.Load(), "the service hears nothing of one that says so")
		a = do(t, "POST", s.URL+path, &counted{limit + 1})
		assert.Equal(t, 413, a.status, "%s", a.body)
		assert.Equal(t, "body_too_large", a.problem().Code)
		assert.Equal(t, 200, do(t, "POST", s.URL+path, &counted{limit}).status)
	}
	for range 20 { // what clients do wrong is not held against a service
		assert.Equal(t, 413, do(t, "POST", s.URL+"/v1/portfolios", &counted{5000}).status)
	}
	assert.Equal(t, 200, do(t, "POST", s.URL+"/v1/portfolios", nil).status)
}

func TestABodyThatStopsComingIsGivenUp(t *testing.T) {
	t.Parallel()
	read := make(chan error, 1)
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/portfolios" { // one that does not care for the body
			read <- io.EOF
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			read <- err
			rest.Refuse(w, r, err)
		}
	}
	for _, up := range []Upstream{elsewhere(t, "portfolio", h), {Service: "portfolio", Handler: http.HandlerFunc(h)}} {
		s := servePaced(t, Options{Upstreams: []Upstream{up}}, rest.Pace{Grace: 30 * time.Millisecond})
		for path, method := range map[string]string{"/v1/portfolios": "POST", "/v1/portfolios/x": "PUT"} {
			c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
			require.NoError(t, err)
			_, err = io.WriteString(c, method+" "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nten bytes.")
			require.NoError(t, err)
			assert.Error(t, <-read)
			a, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, a.Body)
			_ = a.Body.Close()
			_, err = c.Read(make([]byte, 1))
			assert.ErrorIs(t, err, io.EOF, "the server does not wait for the rest")
			_ = c.Close()
		}
	}
}

// The deadline of a body must not be that of what comes after it on the same connection.
func TestAConnectionOutlivesABody(t *testing.T) {
	t.Parallel()
	drain := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		backoff.Sleep(r.Context(), time.Nanosecond)
	}
	ended := make(chan error, 1)
	late := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		backoff.Sleep(r.Context(), 300*time.Millisecond)
		ended <- r.Context().Err()
	}
	s := servePaced(t, Options{Upstreams: []Upstream{
		elsewhere(t, "portfolio", drain), {Service: "marketdata", Handler: http.HandlerFunc(late)},
	}}, rest.Pace{Grace: 20 * time.Millisecond})
	c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	answers := bufio.NewReader(c)
	for _, path := range []string{"/v1/portfolios", "/v1/prices", "/v1/portfolios"} {
		_, err = io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nten bytes.")
		require.NoError(t, err)
		a, err := http.ReadResponse(answers, nil)
		require.NoError(t, err)
		assert.Equal(t, 200, a.StatusCode, path)
		_ = a.Body.Close()
	}
	assert.NoError(t, <-ended, "the request was cancelled by the deadline of its body")
}

func TestDeadLettersOfAllServicesAreOneList(t *testing.T) {
	t.Parallel()
	list := func(names ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("state") == "wrong" {
				rest.Refuse(w, r, errors.New("no such state"))
				return
			}
			service := r.URL.Query().Get("service")
			var items []map[string]string
			for _, n := range names {
				if n == service {
					items = append(items, map[string]string{"service": n, "limit": r.URL.Query().Get("limit")})
				}
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"items": items})
		}
	}
	both := list("portfolio", "marketdata") // one process that runs two
	ups := []Upstream{{Service: "portfolio", Handler: both}, {Service: "marketdata", Handler: both},
		elsewhere(t, "returns", list("returns"))}
	s := serve(t, Options{Upstreams: ups})
	a := do(t, "GET", s.URL+"/v1/dead?limit=7", nil)
	assert.JSONEq(t, `{"items":[{"service":"marketdata","limit":"7"},{"service":"portfolio","limit":"7"},`+
		`{"service":"returns","limit":"7"}]}`, string(a.body))
	a = do(t, "GET", s.URL+"/v1/dead?service=returns", nil)
	assert.JSONEq(t, `{"items":[{"service":"returns","limit":""}]}`, string(a.body))
	assert.Equal(t, "service_unknown", do(t, "GET", s.URL+"/v1/dead?service=weather", nil).problem().Code)

	down := at(t, "correlations", "http://127.0.0.1:1")
	s = serve(t, Options{Upstreams: append(ups, down), Pause: time.Millisecond})
	a = do(t, "GET", s.URL+"/v1/dead?service=&limit=1", nil)
	assert.Equal(t, 200, a.status)
	assert.Contains(t, string(a.body), `"unavailable":["correlations"]`)
	assert.Contains(t, string(a.body), `"service":"returns"`)
	s = serve(t, Options{Upstreams: []Upstream{down}, Pause: time.Millisecond})
	assert.Equal(t, 503, do(t, "GET", s.URL+"/v1/dead", nil).status)
}

// raw is a service that answers by a function on the bare connection.
func raw(t testing.TB, service string, answer func(c net.Conn, r *http.Request)) (Upstream, *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var requests atomic.Int32
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = c.Close() }()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				requests.Add(1)
				answer(c, r)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return at(t, service, "http://"+l.Addr().String()), &requests
}

func TestServicesThatMisbehave(t *testing.T) {
	t.Parallel()
	reset := func(c net.Conn, _ *http.Request) { _ = c.(*net.TCPConn).SetLinger(0) }
	half := func(c net.Conn, _ *http.Request) {
		_, _ = io.WriteString(c,
			"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: text/plain\r\n\r\nhalf of it")
	}
	torn := func(c net.Conn, _ *http.Request) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConte") }
	nonsense := func(c net.Conn, _ *http.Request) { _, _ = io.WriteString(c, "hello there\r\n\r\n") }
	proxy502 := func(c net.Conn, _ *http.Request) {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\nbad")
	}
	own503 := func(c net.Conn, _ *http.Request) {
		body := `{"status":503,"code":"database_unavailable","detail":"away","instance":"x"}`
		_, _ = fmt.Fprintf(c,
			"HTTP/1.1 503 No\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%s", len(body),
			body)
	}
	for _, c := range []struct {
		name     string
		answer   func(net.Conn, *http.Request)
		method   string
		requests int32
		status   int
		code     string
	}{
		{"a read whose connection is reset is tried three times", reset, "GET", 3, 503, "service_unavailable"},
		{"a write whose connection is reset is not tried again", reset, "POST", 1, 503, "service_unavailable"},
		{"a PUT neither", reset, "PUT", 1, 503, "service_unavailable"},
		{"a DELETE neither", reset, "DELETE", 1, 503, "service_unavailable"},
		{"a read whose answer is torn in the headers is tried again", torn, "GET", 3, 503, "service_unavailable"},
		{"a read whose answer is no HTTP is tried again", nonsense, "HEAD", 3, 503, ""},
		{"a read that something between refuses is tried again", proxy502, "GET", 3, 503, "service_unavailable"},
		{"a write that something between refuses is not", proxy502, "POST", 1, 503, "service_unavailable"},
		{"a service that explains itself is passed on", own503, "GET", 1, 503, "database_unavailable"},
		{"half an answer is never begun anew", half, "GET", 1, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			up, requests := raw(t, "portfolio", c.answer)
			s := serve(t, Options{Upstreams: []Upstream{up}, Pause: time.Millisecond})
			var body io.Reader
			if c.method == "POST" || c.method == "PUT" {
				body = strings.NewReader("{}")
			}
			path := "/v1/portfolios/x"
			if c.method == "POST" {
				path = "/v1/portfolios"
			}
			a := do(t, c.method, s.URL+path, body, "Idempotency-Key", "me")
			assert.Equal(t, c.status, a.status)
			assert.Equal(t, c.requests, requests.Load())
			if c.code != "" {
				p := a.problem()
				assert.Equal(t, c.code, p.Code)
				if c.code == "service_unavailable" {
					assert.Contains(t, p.Detail, "portfolio")
					assert.NotEmpty(t, p.Hint)
					assert.Equal(t, body != nil || c.method == "DELETE", strings.Contains(p.Detail, "not known"),
						p.Detail)
				}
			}
			if c.status == 200 {
				assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF, "the client must see that it is not whole")
			}
		})
	}
	t.Run("one that is not there is said to be away, and a write to it was not done", func(t *testing.T) {
		t.Parallel()
		s := serve(t, Options{Upstreams: []Upstream{at(t, "portfolio", "http://127.0.0.1:1")}, Pause: time.Millisecond})
		p := do(t, "POST", s.URL+"/v1/portfolios", strings.NewReader("{}")).problem()
		assert.Equal(t, "service_unavailable", p.Code)
		assert.NotContains(t, p.Detail, "not known")
	})
	t.Run("one that is slow is given up", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		up, requests := raw(t, "portfolio", func(net.Conn, *http.Request) { <-release })
		s := serve(t,
			Options{Upstreams: []Upstream{up}, ReadTimeout: 20 * time.Millisecond, WriteTimeout: 20 * time.Millisecond})
		assert.Equal(t, "service_slow", do(t, "GET", s.URL+"/v1/portfolios", nil).problem().Code)
		assert.Equal(t, int32(1), requests.Load(), "asking a slow one again makes it no faster")
		p := do(t, "POST", s.URL+"/v1/portfolios", strings.NewReader("{}")).problem()
		assert.Equal(t, "service_slow", p.Code)
		assert.Contains(t, p.Detail, "not known")
		close(release)
	})
	t.Run("one that stops in the middle is cut", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		up, _ := raw(t, "portfolio", func(c net.Conn, r *http.Request) { half(c, r); <-release })
		s := serve(t, Options{Upstreams: []Upstream{up}, IdleTimeout: 20 * time.Millisecond})
		a := do(t, "GET", s.URL+"/v1/portfolios", nil)
		assert.Error(t, a.err)
		close(release)
	})
}

func TestABreakerOpensAndIsSeen(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	var broken atomic.Bool
	broken.Store(true)
	var requests atomic.Int32
	up := elsewhere(t, "portfolio", func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		if broken.Load() {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "fine")
	})
	g := New(Options{
		Table:     paths,
		Upstreams: []Upstream{up},
		Pause:     time.Millisecond,
		Cooldown:  10 * time.Millisecond,
		Metrics:   registry,
	})
	s := httptest.NewServer(g)
	defer func() { s.Close(); g.Close() }()
	for range 4 {
		a := do(t, "POST", s.URL+"/v1/portfolios", strings.NewReader("{}"))
		assert.Equal(t, 503, a.status)
	}
	assert.Equal(t, 503, do(t, "GET", s.URL+"/v1/portfolios", nil).status)
	assert.GreaterOrEqual(t, requests.Load(), int32(5))
	broken.Store(false)
	wait.Until(t, "the service is asked again", func() bool {
		return do(t, "GET", s.URL+"/v1/portfolios", nil).status == 200
	})
	assert.Equal(t, closed, g.upstreams["portfolio"].breaker.now())
	all, err := registry.Gather()
	require.NoError(t, err)
	names := map[string]bool{}
	for _, f := range all {
		names[f.GetName()] = true
	}
	for _, name := range []string{"stega_gateway_requests_total", "stega_gateway_seconds",
		"stega_gateway_breaker_state"} {
		assert.True(t, names[name], name)
	}
	var posts dto.Metric
	require.NoError(t, g.m.requests.WithLabelValues("portfolio", "POST", "503").Write(&posts))
	assert.InEpsilon(t, 4, posts.GetCounter().GetValue(), 0.001)
}

func TestWhereServicesAreIsRead(t *testing.T) {
	t.Parallel()
	list, err := ParseUpstreams(" portfolio=http://portfolio-api:8420 ,returns=https://[::1]:1/,")
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.Equal(t, "portfolio", list[0].Service)
	assert.Equal(t, &url.URL{Scheme: "https", Host: "[::1]:1"}, list[1].URL)
	for _, bad := range []string{
		"portfolio", "portfolio=", "=http://x", "portfolio=ftp://x", "portfolio=http://", "portfolio=http://x/path",
		"portfolio=http://x?y=1",
		"portfolio=http://me:secret@x", "portfolio=http://x,portfolio=http://y", "portfolio=://",
	} {
		_, err := ParseUpstreams(bad)
		require.Error(t, err, bad)
		assert.NotContains(t, err.Error(), "secret")
	}
}
