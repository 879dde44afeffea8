// Package gateway is the way from the one public address to the services: it knows which paths belong to whom, lets
// nothing else through, and stands between clients and services that are slow, away, or break off.
package gateway

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log" //nolint:depguard // httputil takes no other
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"

	"stega/fault"
	"stega/rest"
)

// Options of New. All but Table and Upstreams may be left out.
type Options struct {
	Table     *rest.Table // of the suite; those without a service are not the gateway's
	Upstreams []Upstream
	Secret    string                                       // sent to services elsewhere, as their token
	Caller    func(context.Context) (header, value string) // names the caller to services elsewhere; nil: nothing does
	Log       *slog.Logger
	Metrics   prometheus.Registerer
	// which service an operation is of, as far as is known; nil: it is not
	Owner func(ctx context.Context, operation string) (service string)

	MaxBody      int64         // of a request; 1 MiB when 0
	MaxImport    int64         // of an import; 1 GiB when 0
	ReadTimeout  time.Duration // until an answer to a read begins; 30 s when 0
	WriteTimeout time.Duration // until one to a write that was sent wholly does; 5 min when 0
	IdleTimeout  time.Duration // between two pieces of an answer; 1 min when 0
	Attempts     int           // at a read; 3 when 0
	Pause        time.Duration // at most, before the second attempt; 100 ms when 0
	Failures     int           // in a row, after which a service is left in peace; 5 when 0
	Cooldown     time.Duration // for how long at first; 1 s when 0, and at most 30 times that
}

func (o Options) filled() *Options {
	o.MaxBody, o.MaxImport = cmp.Or(o.MaxBody, 1<<20), cmp.Or(o.MaxImport, 1<<30)
	o.ReadTimeout, o.WriteTimeout = cmp.Or(o.ReadTimeout, 30*time.Second), cmp.Or(o.WriteTimeout, 5*time.Minute)
	o.IdleTimeout, o.Pause = cmp.Or(o.IdleTimeout, time.Minute), cmp.Or(o.Pause, 100*time.Millisecond)
	o.Attempts, o.Failures, o.Cooldown = cmp.Or(o.Attempts, 3), cmp.Or(o.Failures, 5), cmp.Or(o.Cooldown, time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Table == nil {
		o.Table = rest.NewTable()
	}
	return &o
}

// Gateway routes requests to services.
type Gateway struct {
	o         *Options
	names     []string // of the services, ordered
	upstreams map[string]*upstream
	transport *http.Transport
	m         *metrics
	claims    claims
}

// New makes a gateway.
func New(options Options) *Gateway {
	o := options.filled()
	g := &Gateway{o: o, upstreams: map[string]*upstream{}, transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: o.WriteTimeout, ExpectContinueTimeout: time.Second,
		MaxIdleConns: 256, MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		DisableCompression: true, // what a client accepts is between it and the service
	}}
	g.m = newMetrics(g)
	for _, to := range o.Upstreams {
		u := &upstream{Upstream: to, o: o, transport: g.transport, m: g.m}
		u.breaker = breaker{failures: o.Failures, first: o.Cooldown, longest: 30 * o.Cooldown}
		u.proxy = &httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) { g.address(u, p.Out); speakFor(p.In, p.Out.Header) }, Transport: u,
			FlushInterval:  -1,
			ModifyResponse: polish, ErrorLog: log.New(io.Discard, "", 0),
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { g.explain(w, r, u, err) },
		}
		g.upstreams[to.Service] = u
		g.names = append(g.names, to.Service)
	}
	slices.Sort(g.names)
	if o.Metrics != nil {
		o.Metrics.MustRegister(g.m.collectors()...)
	}
	return g
}

// Close ends the connections that nobody uses.
func (g *Gateway) Close() { g.transport.CloseIdleConnections() }

func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Request-Id", rest.RequestID(r))
	segments, err := clean(r)
	if err != nil {
		rest.Refuse(w, r, err)
		return
	}
	path := "/" + strings.Join(segments, "/")
	route, variables, found := g.o.Table.Find(r.Method, path)
	if methods := g.o.Table.Methods(path); !found && len(methods) > 0 && g.o.Table.Service(path) != "" {
		rest.NotAllowed(w, r, strings.Join(methods, ", "))
		return
	}
	service, err := g.target(route, variables)
	if err != nil {
		rest.Refuse(w, r, err)
		return
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil || strings.ContainsFunc(r.URL.RawQuery, unprintable) {
		rest.Refuse(w, r, fault.Malformed("query_malformed", "what follows the question mark cannot be read"))
		return
	}
	if service == everywhere {
		g.dead(w, r)
		return
	}
	limit := g.o.MaxBody
	if route.Large {
		limit = g.o.MaxImport
	}
	g.forward(w, r, g.upstreams[service], segments, limit)
}

func unprintable(c rune) bool { return c <= ' ' || c >= 0x7f }

// forward hands a request on, and its answer back.
func (g *Gateway) forward(w http.ResponseWriter, r *http.Request, u *upstream, segments []string, limit int64) {
	if r.ContentLength > limit {
		rest.Refuse(w, r, tooLarge(limit))
		return
	}
	over := func(int) {}
	if id := r.Header.Get("Operation-Id"); id != "" && !reads(r.Method) {
		var err error
		if over, err = g.claim(r.Context(), id, u.Service); err != nil {
			rest.Refuse(w, r, err)
			return
		}
	}
	out := g.outgoing(r, segments)
	if reads(r.Method) || r.Body == nil || r.ContentLength == 0 {
		out.Body, out.ContentLength = http.NoBody, 0
	} else {
		body := &upload{ReadCloser: http.MaxBytesReader(w, r.Body, limit)}
		out = out.WithContext(context.WithValue(r.Context(), uploadKey{}, body))
		out.Body = body
		defer func() { _ = body.Close() }()
	}
	counted := &rest.Recorder{ResponseWriter: w}
	began := time.Now()
	defer func() {
		over(counted.Status)
		g.m.observe(u.Service, r.Method, counted.Status, time.Since(began))
	}()
	if u.Handler != nil {
		u.Handler.ServeHTTP(counted, out)
		return
	}
	u.proxy.ServeHTTP(counted, out)
}

func tooLarge(limit int64) error {
	return fault.New(fault.KindTooLarge, "body_too_large", "the body has more than %d bytes", limit).
		WithHint("split it")
}

// notPassed are headers that end here: what is between the client and the gateway, and what the gateway alone may say
// to a service.
var notPassed = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Proxy-Authenticate",
	"Proxy-Authorization",
	"Authorization", "Cookie", "Stega-Caller", "Forwarded", "Via", "X-Real-Ip", "Idempotency-Key", "X-Idempotency-Key",
}

// outgoing is the request as a service gets it: its path built anew from what was understood of it, and no header
// that speaks for somebody else.
func (g *Gateway) outgoing(r *http.Request, segments []string) *http.Request {
	out := r.WithContext(r.Context())
	out.URL = &url.URL{Path: "/" + strings.Join(segments, "/"), RawQuery: r.URL.RawQuery}
	out.RequestURI = out.URL.RequestURI()
	out.Header = r.Header.Clone()
	for _, list := range r.Header.Values("Connection") {
		for name := range strings.SplitSeq(list, ",") {
			out.Header.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range notPassed {
		out.Header.Del(name)
	}
	for name := range out.Header {
		if strings.HasPrefix(name, "X-Forwarded-") {
			delete(out.Header, name)
		}
	}
	out.Header.Set("X-Request-Id", rest.RequestID(r))
	speakFor(r, out.Header)
	// of the span here, when there is one
	propagation.TraceContext{}.Inject(r.Context(), propagation.HeaderCarrier(out.Header))
	return out
}

// speakFor says for whom the gateway asks.
func speakFor(r *http.Request, h http.Header) {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		h.Set("X-Forwarded-For", host)
	}
	h.Set("X-Forwarded-Host", r.Host)
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	h.Set("X-Forwarded-Proto", proto)
}

// address turns a request to the place where a service is.
func (g *Gateway) address(u *upstream, out *http.Request) {
	in := out.URL
	out.URL = &url.URL{Scheme: u.URL.Scheme, Host: u.URL.Host, Path: in.Path, RawQuery: in.RawQuery}
	out.Host = ""
	if g.o.Secret != "" {
		out.Header.Set("Authorization", "Bearer "+g.o.Secret)
	}
	if g.o.Caller != nil {
		name, value := g.o.Caller(out.Context())
		out.Header.Set(name, value)
	}
}

// polish takes from an answer what the gateway says itself, and stands in for one that is not the service's.
func polish(answer *http.Response) error {
	if between(answer) {
		return fmt.Errorf("what is between answers %s", answer.Status)
	}
	answer.Header.Del("X-Request-Id")
	return nil
}
