// Package daemon is the daemon of one user between the command line and servers of stega. It listens on a Unix socket
// that only its user can open, and passes requests on to the server that they name: reads with the entity tag of the
// answer from before, writes under their operation ids, streams as they are. While a server is away, writes are queued
// on disk and sent later, in order, and reads are answered from before, marked with their age.
//
// The package has both sides: Run runs the daemon, and Connect finds it for a command and starts it when there is none.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"stega/fault"
)

// Options of Run.
type Options struct {
	Paths   Paths
	Build   Build
	Servers Servers
	// reports whether a token is of this machine's server, which must prove to know it; nil: none is
	Local func(token string) bool
	Log   *slog.Logger

	Guard      time.Duration // between two checks of the own socket; 0: two seconds
	Drain      time.Duration // for requests in flight when the daemon ends; 0: ten seconds
	CacheBytes int64         // bound of the kept answers of each server; 0: 64 MiB
	Inherited  *os.File      // the socket that systemd opened; nil: none
}

// Servers names servers and the tokens for them.
type Servers interface {
	// Current returns the server of requests that name none.
	Current() (Server, error)
	// Token returns the token for a server, empty when there is none.
	Token(url string) string
}

// Server is a server of stega.
type Server struct {
	URL   string
	Token string
}

// Build identifies a program.
type Build struct {
	Version string    `json:"version"`
	ID      string    `json:"build"` // differs between any two builds
	Built   time.Time `json:"built"`
}

// Daemon is a running daemon.
type Daemon struct {
	o       Options
	log     *slog.Logger
	started time.Time
	lock    *Lock
	socket  *listener
	http    *http.Server

	mu        sync.Mutex
	upstreams map[string]*upstream
	group     *errgroup.Group
	ctx       context.Context // of what runs for a server

	requests atomic.Int64 // in flight
	stop     func(cause error)
}

// errStop is why a daemon ends at the request of a client.
var errStop = errors.New("a client requested it")

// Run runs the daemon until the context ends or a client stops it. ready is called once it answers.
func Run(ctx context.Context, o Options, ready func(socket string)) error {
	if supported != nil {
		return supported
	}
	d, err := open(&o)
	if err != nil {
		return err
	}
	defer d.lock.Release()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	d.stop = stop
	d.group, d.ctx = errgroup.WithContext(ctx)
	d.resume()
	d.group.Go(func() error { return d.socket.guard(d.ctx, d.o.Guard, d.lock, d.moved) })
	d.group.Go(func() error { return d.serve(d.ctx) })
	d.log.Info("the daemon is ready", "socket", d.socket.at(), "version", o.Build.Version, "build", o.Build.ID)
	ready(d.socket.at())
	err = d.group.Wait()
	d.closeUpstreams()
	d.log.Info("the daemon ends", "cause", context.Cause(ctx))
	d.socket.close()
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// open takes the lock and the socket.
func open(o *Options) (*Daemon, error) {
	o.fill()
	d := &Daemon{o: *o, log: o.Log, started: time.Now(), upstreams: map[string]*upstream{}}
	if err := private(o.Paths.State); err != nil {
		return nil, err
	}
	var err error
	if d.lock, err = acquire(o.Paths.lock()); err != nil {
		return nil, err
	}
	if d.socket, err = listen(o.Paths, o.Inherited, d.log); err != nil {
		d.lock.Release()
		return nil, err
	}
	if err := d.moved(d.socket.at()); err != nil {
		d.socket.close()
		d.lock.Release()
		return nil, err
	}
	return d, nil
}

func (o *Options) fill() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Guard == 0 {
		o.Guard = 2 * time.Second
	}
	if o.Drain == 0 {
		o.Drain = 10 * time.Second
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
}

// moved records where the daemon listens.
func (d *Daemon) moved(socket string) error {
	return d.lock.write(Owner{PID: os.Getpid(), Build: d.o.Build, Socket: socket, Started: d.started})
}

// serve answers on the socket until the context ends, then finishes the requests in flight.
func (d *Daemon) serve(ctx context.Context) error {
	d.http = &http.Server{
		Handler:           d.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	failed := make(chan error, 1)
	go func() { failed <- d.http.Serve(d.socket) }()
	select {
	case err := <-failed:
		return fault.Unavailable("daemon_socket_lost", "the daemon cannot listen any more").Because(err)
	case <-ctx.Done():
	}
	d.socket.pause()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.o.Drain)
	defer cancel()
	if err := d.http.Shutdown(drain); err != nil {
		d.log.Warn("requests in flight were cut", "error", err)
		_ = d.http.Close()
	}
	return nil
}
