package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// bodyRate bounds how slowly a client may send, in bytes a second: the time that is spent waiting for it is at most a grace and what the bytes so
// far take at that rate. A body that drips ends, however large it says that it is.
const bodyRate = 4 << 10

// upload is the body of a request on its way to a service. It remembers whether the client is to blame when it breaks off.
type upload struct {
	body  io.ReadCloser
	rc    *http.ResponseController
	grace time.Duration

	mu     sync.Mutex
	closed bool
	spent  time.Duration // waiting for the client
	bytes  int64
	err    error // of the client
}

// uploadKey is where the context of a request has its body: the request itself has it wrapped by whoever hands it on.
type uploadKey struct{}

// broken is what went wrong with the body of a request on the client's side.
func broken(r *http.Request) error {
	if u, ok := r.Context().Value(uploadKey{}).(*upload); ok {
		return u.broken()
	}
	return nil
}

func newUpload(w http.ResponseWriter, body io.ReadCloser, grace time.Duration) *upload {
	return &upload{body: body, rc: http.NewResponseController(w), grace: grace}
}

// deadline bounds the next read. Not after the end: the connection may then serve another request.
func (u *upload) deadline(at time.Time) {
	if !u.closed {
		_ = u.rc.SetReadDeadline(at) // a connection that has no deadlines waits for its end
	}
}

func (u *upload) Read(p []byte) (int, error) {
	began := time.Now()
	u.mu.Lock()
	budget := u.grace + time.Duration(u.bytes)*time.Second/bodyRate - u.spent
	u.deadline(began.Add(budget))
	u.mu.Unlock()
	n, err := u.body.Read(p)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.spent += time.Since(began)
	u.bytes += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		u.deadline(time.Time{}) // what the connection reads from now on is another request, or that the client goes
		u.closed = true
	case err != nil:
		u.err = err // the deadline stays: the server wants to read the rest before it takes another request
	}
	return n, err
}

// Close bounds how long the server waits for a rest that nobody wants.
func (u *upload) Close() error {
	u.mu.Lock()
	if u.err == nil {
		u.deadline(time.Now().Add(u.grace))
	}
	u.closed = true
	u.mu.Unlock()
	return u.body.Close()
}

func (u *upload) broken() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// download is the body of a service's answer. It ends when nothing comes for a while; the time in which the client does not take what has come
// does not count.
type download struct {
	io.ReadCloser
	idle  *time.Timer
	after time.Duration
	end   func()
}

func newDownload(body io.ReadCloser, after time.Duration, cancel func(error)) *download {
	d := &download{ReadCloser: body, after: after, end: func() { cancel(nil) }}
	d.idle = time.AfterFunc(after, func() { cancel(errStalled) })
	d.idle.Stop()
	return d
}

func (d *download) Read(p []byte) (int, error) {
	d.idle.Reset(d.after)
	defer d.idle.Stop()
	return d.ReadCloser.Read(p)
}

func (d *download) Close() error {
	d.idle.Stop()
	err := d.ReadCloser.Close()
	d.end()
	return err
}
