// Package daemon is the per-user daemon between the command line and servers of stega. It listens on a Unix socket
// that is its user's alone and answers there what the server answers, faster and longer: reads come from a cache that
// pushes keep fresh, and writes that are made while the server is away are kept on disk and sent, in order and under
// their own operation ids, when it returns.
//
// The package has both sides: Run is the daemon, Connect is how a command reaches it and starts it when there is
// none.
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
	Local   func(token string) bool // reports whether a token is of this machine's server, which has to prove that it knows it; nil: none is
	Log     *slog.Logger

	Guard      time.Duration // between two looks at the own socket; 0: two seconds
	Drain      time.Duration // how long what is in flight may take when the daemon ends; 0: ten seconds
	CacheBytes int64         // bound of the cache of each server; 0: 64 MiB
	Inherited  *Inherited    // what a daemon that this one replaces handed over
}

// Servers tells where servers are and which token opens them.
type Servers interface {
	// Current is the server of requests that name none.
	Current() (Server, error)
	// Token is the token for a server, empty when there is none.
	Token(url string) string
}

// Server is a server of stega.
type Server struct {
	URL   string
	Token string
}

// Build says which program this is.
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
	door    *door
	http    *http.Server

	mu        sync.Mutex
	upstreams map[string]*upstream
	group     *errgroup.Group
	ctx       context.Context // of what runs for a server

	requests atomic.Int64 // in flight
	stop     func(cause error)
	next     string // the program that takes over, when one does
}

// errStop is why a daemon ends that was told to.
var errStop = errors.New("the daemon was told to stop")

// errReplace is why a daemon ends whose place a newer one takes.
var errReplace = errors.New("a newer daemon takes over")

// Run is the daemon, until the context ends or somebody tells it to stop. ready is called once it answers.
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
	d.group.Go(func() error { return d.door.guard(d.ctx, d.o.Guard, d.lock, d.moved) })
	d.group.Go(func() error { return d.serve(d.ctx) })
	d.log.Info("the daemon is ready", "socket", d.door.socket(), "version", o.Build.Version, "build", o.Build.ID)
	ready(d.door.socket())
	err = d.group.Wait()
	d.closeUpstreams()
	cause := context.Cause(ctx)
	d.log.Info("the daemon ends", "why", cause)
	if errors.Is(cause, errReplace) {
		return d.handOver()
	}
	d.door.close()
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func open(o *Options) (*Daemon, error) {
	o.fill()
	d := &Daemon{o: *o, log: o.Log, started: time.Now(), upstreams: map[string]*upstream{}}
	if err := private(o.Paths.State); err != nil {
		return nil, err
	}
	var err error
	if d.lock, err = acquire(o.Paths.lock(), o.Inherited); err != nil {
		return nil, err
	}
	if d.door, err = newDoor(o.Paths, o.Inherited, d.log); err != nil {
		d.lock.Release()
		return nil, err
	}
	if err := d.moved(d.door.socket()); err != nil {
		d.door.close()
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

// moved writes down where the daemon listens.
func (d *Daemon) moved(socket string) error {
	return d.lock.write(Owner{PID: os.Getpid(), Build: d.o.Build, Socket: socket, Started: d.started})
}

// serve answers on the door until the context ends, then finishes what is in flight.
func (d *Daemon) serve(ctx context.Context) error {
	d.http = &http.Server{
		Handler: d.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	failed := make(chan error, 1)
	go func() { failed <- d.http.Serve(d.door) }()
	select {
	case err := <-failed:
		return fault.Unavailable("daemon_socket_lost", "the daemon cannot listen any more").Because(err)
	case <-ctx.Done():
	}
	d.door.pause() // a replacement goes on with the very socket, so it is not closed here
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.o.Drain)
	defer cancel()
	if err := d.http.Shutdown(drain); err != nil {
		d.log.Warn("requests in flight were cut", "error", err)
		_ = d.http.Close()
	}
	return nil
}
