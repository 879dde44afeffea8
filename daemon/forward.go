package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"

	"stega/fault"
)

// How long a server may take to begin the answer to a read: less when an answer from before can be given instead.
const (
	patience     = 2 * time.Minute
	patienceKept = 5 * time.Second
)

// ownHeaders are the headers that are for the daemon alone.
var ownHeaders = []string{"Stega-Server", "Stega-Version", "Stega-Build", "Stega-Queue", "Stega-Prove", "Stega-Refused"}

// pass sends a request on to the server, and its answer back as it comes. take may look at the answer or replace it,
// and nil takes it as it is. When pass returns an error, nothing was answered: the server is away, or take failed.
func (u *upstream) pass(w http.ResponseWriter, r *http.Request, take func(*http.Response) error) (failed error) {
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(u.base)
			p.Out.URL.RawQuery = p.In.URL.RawQuery // as the client wrote it
			for _, name := range ownHeaders {
				p.Out.Header.Del(name)
			}
			u.authorize(p.Out)
		},
		Transport: u.http.Transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(u.log.Handler(), slog.LevelDebug),
		ModifyResponse: func(a *http.Response) error {
			u.answered(a.StatusCode)
			if take == nil {
				return nil
			}
			return take(a)
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}
	proxy.ServeHTTP(w, r)
	if failed == nil || r.Context().Err() != nil {
		return failed
	}
	return u.unreached(failed)
}

// authorize gives a request the token of the upstream.
func (u *upstream) authorize(r *http.Request) {
	r.Header.Del("Authorization")
	if token := u.bearer(); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
}

// gone reports whether a status is that of a server that is not there for the moment.
func gone(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable ||
		status == http.StatusGatewayTimeout
}

// current are the paths whose answers are never kept: they are of the moment, secret, or endless. Those of the first
// three notify their reader of what happens.
var current = []string{"/v1/operations", "/v1/events", "/v1/stream", "/v1/dead", "/v1/tokens", "/v1/audit", "/v1/me"}

// reads reports whether a method changes nothing.
func reads(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

func below(path string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if path == prefix || strings.HasPrefix(path, prefix+"/") {
			return true
		}
	}
	return false
}

// answerKey returns the key that the answer to a read is kept under; empty when it is not kept.
func answerKey(r *http.Request) string {
	query := r.URL.Query()
	if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, "/v1/") || below(r.URL.Path, current) ||
		r.Header.Get("Prefer") != "" ||
		r.Header.Get("Range") != "" || strings.Contains(r.Header.Get("Cache-Control"), "no-cache") ||
		query.Has("after") {
		return ""
	}
	return r.URL.EscapedPath() + "?" + query.Encode()
}

// read passes a read to the server, with the tag of the answer from before when there is one. While the server is
// away it gives that answer with its age, unless a client was notified of something newer.
func (u *upstream) read(w http.ResponseWriter, r *http.Request) error {
	key := answerKey(r)
	if key == "" || u.answers == nil {
		return u.pass(w, r, u.notify(r)) //nolint:bodyclose // the proxy closes it
	}
	before, have := u.answers.get(r.Context(), key)
	x := exchange{u: u, key: key, before: before, began: u.answers.begin()}
	r.Header.Del("Accept-Encoding") // the transport packs and unpacks by itself
	limit := patience
	if have {
		limit = patienceKept
		if tag := before.header.Get("Etag"); tag != "" && r.Header.Get("If-None-Match") == "" {
			r.Header.Set("If-None-Match", tag)
			x.conditional = true
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	late := time.AfterFunc(limit, cancel)
	defer late.Stop()
	err := u.pass(w, r.WithContext(ctx), func(a *http.Response) error {
		if !late.Stop() {
			return context.DeadlineExceeded
		}
		if have && gone(a.StatusCode) {
			return errors.New(a.Status)
		}
		return x.take(a)
	})
	if err == nil || r.Context().Err() != nil {
		return err
	}
	away := u.unreached(err)
	switch {
	case !have:
		return away
	case u.answers.outdated(before):
		return fault.Unavailable("answer_outdated", "nothing answers at %s, and what it answered last may be outdated",
			u.url).
			WithHint("try again when the server is back").
			Because(err)
	}
	u.log.Debug("gave an answer from before", "path", r.URL.Path, "error", err)
	before.write(w)
	return nil
}

// write sends a kept answer, marked as old with its age.
func (a answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("Stega-Cache", "stale; age="+strconv.Itoa(max(int(time.Since(a.readAt).Seconds()), 0)))
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(a.body)
}

// exchange is one read of an answer that is kept.
type exchange struct {
	u           *upstream
	key         string
	before      answer
	conditional bool // sent with the tag of the answer from before
	began       int64
}

// take keeps the answer of the server, and puts the one from before in the place of a 304.
func (x exchange) take(a *http.Response) error {
	ctx := context.WithoutCancel(a.Request.Context())
	switch {
	case a.StatusCode == http.StatusNotModified && x.conditional:
		x.u.answers.confirm(ctx, x.key, x.began)
		for name, values := range x.before.header {
			if a.Header.Get(name) == "" {
				a.Header[name] = values
			}
		}
		a.Header.Set("Stega-Cache", "revalidated")
		a.StatusCode, a.Status = http.StatusOK, ""
		replaceBody(a, x.before.body)
	case a.StatusCode == http.StatusNotFound || a.StatusCode == http.StatusGone:
		x.u.answers.drop(ctx, x.key)
	case a.StatusCode == http.StatusOK:
		body, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer+1))
		if err != nil {
			return err
		}
		a.Header.Set("Stega-Cache", "miss")
		if len(body) > maxAnswer {
			x.u.answers.drop(ctx, x.key)
			a.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(bytes.NewReader(body), a.Body), a.Body}
			return nil
		}
		x.u.answers.put(ctx, x.key, answer{header: a.Header, body: body, began: x.began, readAt: time.Now()})
		_ = a.Body.Close()
		replaceBody(a, body)
	}
	return nil
}

func replaceBody(a *http.Response, body []byte) {
	a.Body, a.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	a.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// notify returns what marks the kept answers as outdated before the answer to a request notifies its client.
func (u *upstream) notify(r *http.Request) func(*http.Response) error {
	if reads(r.Method) && !below(r.URL.Path, current[:3]) {
		return nil
	}
	return func(a *http.Response) error {
		u.answers.notified()
		conn, upgraded := a.Body.(io.ReadWriteCloser)
		switch {
		case upgraded && a.StatusCode == http.StatusSwitchingProtocols:
			a.Body = &webSocket{ReadWriteCloser: conn, notified: u.answers.notified}
		case below(r.URL.Path, current[1:3]): // its answer goes on
			a.Body = following{a.Body, u.answers.notified}
		}
		return nil
	}
}

// stream passes a stream through to the server, until the daemon ends.
func (u *upstream) stream(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(u.life, cancel)()
	r = r.WithContext(ctx)
	err := u.pass(w, r, u.notify(r)) //nolint:bodyclose // the proxy closes it
	if u.life.Err() != nil && err != nil {
		return stopping()
	}
	return err
}

// following is an answer without an end, each piece of which notifies its client.
type following struct {
	io.ReadCloser
	notified func()
}

func (f following) Read(b []byte) (int, error) {
	n, err := f.ReadCloser.Read(b)
	if n > 0 {
		f.notified()
	}
	return n, err
}

// webSocket is the connection of a stream (RFC 6455). It calls notified before the client gets a message of the server;
// pings, and the messages that only greet or name a position, do not count.
type webSocket struct {
	io.ReadWriteCloser
	notified func()

	header []byte // of the frame, as far as it was read
	left   uint64 // of the payload
	begin  []byte // of the payload, until it is clear what it is; nil: it is clear
}

// quietMessages are the beginnings of messages that notify of nothing.
var quietMessages = []string{`{"hello"`, `{"position"`}

func (s *webSocket) Read(b []byte) (int, error) {
	n, err := s.ReadWriteCloser.Read(b)
	s.scan(b[:n])
	return n, err
}

func (s *webSocket) scan(b []byte) {
	for len(b) > 0 {
		if s.left == 0 {
			s.header, b = append(s.header, b[0]), b[1:]
			s.frame()
			continue
		}
		n := min(s.left, uint64(len(b)))
		if s.begin != nil {
			s.classify(b[:n])
		}
		s.left, b = s.left-n, b[n:]
	}
}

// frame looks whether the header of a frame is whole. Frames of a server are not masked.
func (s *webSocket) frame() {
	h := s.header
	if len(h) < 2 {
		return
	}
	size, bytes := uint64(h[1]&0x7f), 0
	switch size {
	case 126:
		bytes = 2
	case 127:
		bytes = 8
	}
	if len(h) < 2+bytes {
		return
	}
	if bytes > 0 {
		size = 0
		for _, b := range h[2:] {
			size = size<<8 | uint64(b)
		}
	}
	s.header, s.left, s.begin = s.header[:0], size, nil
	if control := h[0]&0x08 != 0; !control {
		s.begin = []byte{}
	}
}

// classify calls notified once the beginning of a message shows that it is none of the quiet ones.
func (s *webSocket) classify(b []byte) {
	s.begin = append(s.begin, b[:min(len(b), len(`{"position"`))]...)
	for _, quiet := range quietMessages {
		if strings.HasPrefix(string(s.begin), quiet) {
			s.begin = nil
			return
		}
		if strings.HasPrefix(quiet, string(s.begin)) { // not clear yet
			return
		}
	}
	s.begin = nil
	s.notified()
}
