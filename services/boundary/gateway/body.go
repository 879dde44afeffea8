package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// upload is the body of a request on its way to a service. It remembers whether the client is to blame when it breaks
// off; how long the client may take is bounded before the gateway (rest.Pace).
type upload struct {
	io.ReadCloser

	mu  sync.Mutex
	err error // of the client
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

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		u.mu.Lock()
		u.err = err
		u.mu.Unlock()
	}
	return n, err
}

func (u *upload) broken() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// download is the body of a service's answer. It ends when nothing comes for a while; the time in which the client
// does not take what has come does not count.
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
