package rest

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Pace bounds how long clients may take to send bodies and, over HTTP/2, to take answers. What is zero gets the
// default beside it.
//
// It is the outermost handler, so it holds for requests that are refused, too. A body that does not come ends the
// request; an answer that comes before the body goes out at once, and closes the connection.
type Pace struct {
	Grace time.Duration // for which a client may leave its body waiting altogether; 10 s
	Rate  int           // bytes a second, for each of which it may take longer; 4 KiB
	Pause time.Duration // between two pieces, at most; 30 s
	Drain time.Duration // for what is left of a body once the answer is out; 5 s
	Write time.Duration // for each piece of an answer over HTTP/2; 30 s. Over HTTP/1 the connection bounds it
}

const (
	// drainBytes bounds what is read of a body that nobody wants.
	drainBytes = 64 << 20
	// drainPause is how long such a body may pause.
	drainPause = time.Second
	// piece is how much of an answer is written at a time.
	piece = 64 << 10
)

// Wrap puts the bounds before a handler.
func (p Pace) Wrap(next http.Handler) http.Handler {
	p.Grace, p.Rate, p.Pause = cmp.Or(p.Grace, 10*time.Second), cmp.Or(p.Rate, 4<<10), cmp.Or(p.Pause, 30*time.Second)
	p.Drain, p.Write = cmp.Or(p.Drain, 5*time.Second), cmp.Or(p.Write, 30*time.Second)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 && r.ProtoMajor == 1 {
			next.ServeHTTP(w, r)
			return
		}
		answer := &pacedAnswer{ResponseWriter: w, control: http.NewResponseController(w), request: r, pace: p}
		if r.ContentLength != 0 {
			answer.body = &pacedBody{ReadCloser: r.Body, control: answer.control, pace: p}
			r = r.WithContext(r.Context())
			r.Body = answer.body
		}
		next.ServeHTTP(answer, r)
		answer.end()
	})
}

// pacedBody is a body that must come at a pace.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	pace    Pace

	mu    sync.Mutex // who reads may be another goroutine than who answers
	spent time.Duration
	bytes int64
	over  bool // it was read to its end, or to where it cannot be read further
	left  bool // the handler has returned
}

func (b *pacedBody) Read(p []byte) (int, error) {
	began := time.Now()
	b.mu.Lock()
	if b.left {
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	budget := b.pace.Grace + time.Duration(b.bytes)*time.Second/time.Duration(b.pace.Rate) - b.spent
	b.deadline(began.Add(min(budget, b.pace.Pause)))
	b.mu.Unlock()
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent += time.Since(began)
	b.bytes += int64(n)
	if err == nil {
		return n, nil
	}
	b.over = true
	if errors.Is(err, io.EOF) {
		b.deadline(time.Time{}) // what the connection reads from now on is another request, or that the client goes
		return n, io.EOF
	}
	return n, Unread(err) // the deadline stays: the connection ends
}

func (b *pacedBody) deadline(at time.Time) {
	_ = b.control.SetReadDeadline(at) // one that has no deadlines waits for the end of its connection
}

// Close leaves the body open: the server closes it when the request is over.
func (b *pacedBody) Close() error { return nil }

func (b *pacedBody) read() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.over
}

// drain reads for a while what nobody wants: a connection that is closed with unread bytes is reset, and a reset may
// overtake the answer.
func (b *pacedBody) drain() {
	b.mu.Lock()
	b.left = true
	b.mu.Unlock()
	buffer := make([]byte, 32<<10)
	end := time.Now().Add(b.pace.Drain)
	for total := 0; total < drainBytes; {
		now := time.Now()
		if !now.Before(end) {
			return
		}
		if now = now.Add(drainPause); now.After(end) {
			now = end
		}
		b.deadline(now)
		n, err := b.ReadCloser.Read(buffer)
		if err != nil {
			return
		}
		total += n
	}
}

// pacedAnswer is the answer to a request with a body, or over HTTP/2.
type pacedAnswer struct {
	http.ResponseWriter
	control  *http.ResponseController
	request  *http.Request
	body     *pacedBody // nil: there is none
	pace     Pace
	begun    bool
	hijacked bool
	own      bool // the handler sets the deadlines of its writes itself
}

// unread reports whether an answer over HTTP/1 comes before its body.
func (a *pacedAnswer) unread() bool {
	return a.request.ProtoMajor == 1 && a.body != nil && !a.body.read()
}

// WriteHeader closes the connection after an answer that does not wait for the body. Without that, the server would
// read the body before it sends the answer, however long that takes.
func (a *pacedAnswer) WriteHeader(status int) {
	if status >= http.StatusOK && !a.begun {
		a.begun = true
		if a.unread() {
			a.Header().Set("Connection", "close")
		}
	}
	a.extend()
	a.ResponseWriter.WriteHeader(status)
}

func (a *pacedAnswer) Write(p []byte) (n int, err error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	for {
		a.extend()
		m, err := a.ResponseWriter.Write(p[:min(len(p), piece)])
		n += m
		if p = p[m:]; err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// extend bounds the next write over HTTP/2, whose streams can stand still while their connection does not.
func (a *pacedAnswer) extend() {
	if a.request.ProtoMajor > 1 && !a.own {
		_ = a.control.SetWriteDeadline(time.Now().Add(a.pace.Write)) // best effort
	}
}

// FlushError sends what was written so far.
func (a *pacedAnswer) FlushError() error {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	a.extend()
	return a.control.Flush()
}

// Flush is FlushError for handlers that know no better.
func (a *pacedAnswer) Flush() { _ = a.FlushError() }

// SetWriteDeadline leaves the bound to the handler.
func (a *pacedAnswer) SetWriteDeadline(at time.Time) error {
	a.own = true
	return a.control.SetWriteDeadline(at)
}

// Hijack hands the connection over, with all its deadlines.
func (a *pacedAnswer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := a.control.Hijack()
	a.hijacked = err == nil
	return conn, buffers, err
}

// Unwrap lets http.ResponseController reach what is below.
func (a *pacedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// end is after the handler.
func (a *pacedAnswer) end() {
	if a.hijacked || !a.unread() {
		return
	}
	if a.FlushError() == nil {
		a.body.drain()
	}
}
