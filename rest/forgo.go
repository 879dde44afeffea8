package rest

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// What is read of a body that nobody wants any more, and for how long.
const (
	forgoBytes = 64 << 20
	forgoTime  = 5 * time.Second
)

// Forgo answers clients that are still sending: what next left of a body is read and thrown away, up to a limit, once the answer is out. A
// connection that is closed with unread bytes is reset, and a reset may overtake the answer, so that a refusal would look like a failure of the network.
func Forgo(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		body := &heard{ReadCloser: r.Body}
		inner := r.WithContext(r.Context())
		inner.Body = body
		next.ServeHTTP(w, inner)
		if body.over.Load() {
			return
		}
		conn := http.NewResponseController(w)
		if conn.Flush() == nil && conn.SetReadDeadline(time.Now().Add(forgoTime)) == nil {
			_, _ = io.CopyN(io.Discard, r.Body, forgoBytes)
		}
	})
}

// heard is a body that remembers whether it was read to its end, or to where it cannot be read further.
type heard struct {
	io.ReadCloser
	over atomic.Bool // who reads may be another goroutine than who answers
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	if err != nil {
		h.over.Store(true)
	}
	return n, err
}

// Close leaves the body open: the server closes it when the request is over.
func (h *heard) Close() error { return nil }
