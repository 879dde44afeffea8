// Package client talks to a running stega: typed requests for every path, faults that arrive as the server's own
// faults, a stream of pushes that reconnects and resumes, and Submit, which sends a command and waits until it is
// accepted, resolved or settled, told by pushes alone.
//
// A Client is safe for concurrent use. Its connections are made when they are needed; Close ends them.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stega/fault"
	"stega/text"
)

// Options of New.
type Options struct {
	URL   string // where stega runs, such as http://127.0.0.1:8420
	Token string // sent as a bearer token; empty for none
	// the token is of this machine's server: it is sent only on connections whose other end proves to know it
	Prove     bool
	TLS       *tls.Config   // nil: the usual one
	Socket    string        // the path of a Unix socket to reach it through, which the URL then only names
	HTTP      *http.Client  // nil: one of its own; it must have no timeout, for streams last
	UserAgent string        // empty: stega-client
	Header    http.Header   // sent with every request; nil: none
	Log       *slog.Logger  // nil: none
	RetryFor  time.Duration // how long a write whose answer was lost is repeated; 0: 20 s, negative: not at all
}

// retryFor is how long a write is repeated by default.
const retryFor = 20 * time.Second

// Client talks to one server.
type Client struct {
	options Options
	base    *url.URL
	http    *http.Client
	own     *http.Transport // closed with the client
	pace    pace            // of reconnects and repeats
	margin  time.Duration   // how much later than promised a ping may be
	reached atomic.Bool     // the server answered once
	relayed atomic.Bool     // a daemon answered for a server that is away

	mu      sync.Mutex
	streams []*shared // of operations that are waited for
	closed  bool
}

// New makes a client; it connects to nothing yet.
func New(o Options) (*Client, error) {
	if o.URL == "" && o.Socket != "" {
		o.URL = "http://stega"
	}
	base, err := CheckURL(o.URL)
	if err != nil {
		return nil, err
	}
	base.Path, base.RawQuery, base.Fragment = strings.TrimRight(base.Path, "/"), "", ""
	if o.UserAgent == "" {
		o.UserAgent = "stega-client"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.RetryFor == 0 {
		o.RetryFor = retryFor
	}
	c := &Client{options: o, base: base, http: o.HTTP, pace: usual, margin: pongMargin}
	if c.http == nil {
		c.own = o.Transport(func() string { return o.Token })
		c.http = &http.Client{Transport: c.own}
	}
	return c, nil
}

// CheckURL reads the URL of a server. It has no user and no password: stega knows people by tokens.
func CheckURL(server string) (*url.URL, error) {
	base, err := url.Parse(server)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fault.Usage("url_invalid", "%q is not where stega can run", text.RedactURL(server)).
			WithHint("a URL looks like http://127.0.0.1:8420")
	}
	if base.User != nil {
		return nil, fault.Usage("url_invalid", "the URL %q has a user in it", text.RedactURL(server)).
			WithHint("leave out what is before the @; a token is named by STEGA_TOKEN, or kept by: stega login")
	}
	return base, nil
}

// Transport returns a transport for the server that the options name. token is the token of the moment, for servers
// that are to prove that they know it.
func (o Options) Transport(token func() string) *http.Transport {
	socket := o.Socket
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   128,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	t.TLSClientConfig = o.TLS.Clone()
	if o.Prove && socket == "" &&
		strings.HasPrefix(strings.ToLower(o.URL), "http:") { // with https its certificate is the proof
		t.Proxy = nil
		t.DialContext = Proving(t.DialContext, token)
	}
	if socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
	}
	return t
}

// URL is where the server is.
func (c *Client) URL() string { return c.base.String() }

// Close ends the connections of the client; what waits ends with an error.
func (c *Client) Close() {
	c.mu.Lock()
	streams := c.streams
	c.streams, c.closed = nil, true
	c.mu.Unlock()
	for _, s := range streams {
		s.Close()
	}
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// Request is a request of any kind.
type Request struct {
	Method      string
	Path        string // below the URL, such as /v1/portfolios
	Query       url.Values
	Header      http.Header
	ContentType string
	Body        io.Reader
}

// Do asks, and returns an answer that is no error, whose body the caller closes. A fault of the server comes back as
// the same *fault.Fault; without an answer it is one of kind unavailable.
func (c *Client) Do(ctx context.Context, r Request) (*http.Response, error) {
	answer, err := c.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode < http.StatusBadRequest {
		return answer, nil
	}
	defer func() { _ = answer.Body.Close() }()
	return nil, problem(answer, c.options.URL)
}

// Problem reads the fault that an answer tells whose status is one of errors.
func (c *Client) Problem(answer *http.Response) *fault.Fault { return problem(answer, c.options.URL) }

// Ask asks, and returns whatever the server answers, also when that is an error.
func (c *Client) Ask(ctx context.Context, r Request) (*http.Response, error) { return c.ask(ctx, r) }

// ask asks, and returns whatever the server answers.
func (c *Client) ask(ctx context.Context, r Request) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, r.Method, c.locate(r.Path, r.Query), r.Body)
	if err != nil {
		return nil, fault.Usage("path_invalid", "%q is not a path", r.Path).Because(err)
	}
	for name, values := range r.Header {
		request.Header[name] = values
	}
	c.introduce(request.Header)
	if r.ContentType != "" {
		request.Header.Set("Content-Type", r.ContentType)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, c.unanswered(ctx, err)
	}
	c.reached.Store(true)
	return answer, nil
}

// introduce says who asks.
func (c *Client) introduce(h http.Header) {
	for name, values := range c.options.Header {
		h[name] = values
	}
	h.Set("User-Agent", c.options.UserAgent)
	if c.options.Token != "" {
		h.Set("Authorization", "Bearer "+c.options.Token)
	}
}

func (c *Client) locate(path string, query url.Values) string {
	where := c.base.String() + path
	if len(query) > 0 {
		where += "?" + query.Encode()
	}
	return where
}

// Answer is what was read: the value, the very JSON that it is from, and the headers it came with.
type Answer[T any] struct {
	Value  T
	Raw    json.RawMessage
	Header http.Header
}

// Position is where the log was when the value was read; a subscription from there misses nothing. It is nil when the
// server does not say.
func (a Answer[T]) Position() *Position {
	p, err := ParsePosition(a.Header.Get("Stega-Position"))
	if err != nil {
		return nil
	}
	return &p
}

// Get reads what a path answers.
func Get[T any](ctx context.Context, c *Client, path string, query url.Values) (Answer[T], error) {
	return call[T](ctx, c, Request{Method: http.MethodGet, Path: path, Query: query})
}

func call[T any](ctx context.Context, c *Client, r Request) (a Answer[T], err error) {
	answer, err := c.Do(ctx, r)
	if err != nil {
		return a, err
	}
	defer func() { _ = answer.Body.Close() }()
	a.Header = answer.Header
	if a.Raw, err = io.ReadAll(answer.Body); err != nil {
		return a, c.unanswered(ctx, err)
	}
	if a.Raw = bytes.TrimSpace(a.Raw); len(a.Raw) == 0 {
		return a, nil
	}
	if err := json.Unmarshal(a.Raw, &a.Value); err != nil {
		return a, fault.New(fault.KindInternal, "answer_strange", "what %s answers to %s %s is not understood",
			c.options.URL, r.Method, r.Path).
			WithHint("is it stega that runs there, and of which version?").
			Because(err)
	}
	return a, nil
}

// Send asks with a JSON body, or none, and reads the answer.
func Send[T any](ctx context.Context, c *Client, method, path string, body any) (Answer[T], error) {
	return send[T](ctx, c, method, path, body)
}

// send asks with a JSON body, or none, and reads the answer.
func send[T any](ctx context.Context, c *Client, method, path string, body any) (a Answer[T], err error) {
	r := Request{Method: method, Path: path}
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return a, fmt.Errorf("write the body of %s: %w", path, err)
		}
		r.Body, r.ContentType = bytes.NewReader(b), "application/json"
	}
	return call[T](ctx, c, r)
}
