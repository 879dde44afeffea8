// Package process builds and runs one process of the suite: some services, in some roles, on a broker and
// databases. "stega up", "stega serve" and the tests build the very same thing with it.
//
// It starts in three stages, each when the one before is ready, and stops in reverse: what the rest
// stands on (databases, broker), the workers (relay, consumer, upkeep), and HTTP, whose health and metrics
// are up first and down last.
package process

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"stega/broker"
	"stega/bus"
	"stega/fault"
	"stega/rest"
	"stega/services"
	"stega/services/boundary"
	"stega/services/boundary/access"
	"stega/services/boundary/gateway"
	"stega/store"
)

// Config says what a process runs.
type Config struct {
	Services []string
	Roles    []Role
	Addr     string // where HTTP listens
	TLS      TLS    // its files; none: plain HTTP
	// TokenFile is where the api of the boundary keeps a first admin token; none: it keeps none.
	TokenFile string
	// Secret is what the boundary sends to services in other processes in place of a token; none: they refuse it.
	Secret string
	// LocalAccess is the scope of requests without a token that programs of this machine make to a loopback listener;
	// none: they need a token.
	LocalAccess access.Scope
	// Proxies are those whose forwarding headers count, for limits and the audit.
	Proxies []netip.Prefix
	// Audit bounds the audit; zero values are its defaults.
	Audit Audit
	// SignIn receives the code of a one-time link once the process is ready, when there is a TokenFile; nil: none is
	// made.
	SignIn func(code string)
	Limits access.Limits
	// HTTP bounds the connections of HTTP.
	HTTP Connections
	// Upstreams are the services that the boundary reaches over HTTP; those of the process itself need not be named.
	Upstreams []gateway.Upstream
	Database  func(service string) string
	// Connections bounds the connections to each database of PostgreSQL, besides the relay's; 0: DefaultConnections.
	Connections int
	Broker      func(ctx context.Context) (broker.Broker, error)
	// Migrate brings the databases and the broker's topology up to date at the start. Without it, what is missing
	// is a fault that says to run "stega migrate".
	Migrate   bool
	Options   Options
	Retention store.Retention
	// for finishing events and jobs that run, after at most half of it for requests; 20 s when zero
	Grace time.Duration
	Log   *slog.Logger
}

// Audit says how long and how large the audit is.
type Audit struct {
	Keep time.Duration
	Rows int
}

// DefaultConnections is how many connections a process has to each database of PostgreSQL at most, besides one for
// the relay.
const DefaultConnections = store.DefaultConnections

// Process is a process under way.
type Process struct {
	cfg      Config
	registry *prometheus.Registry
	metrics  *bus.Metrics
	tls      *tls.Config // nil: plain HTTP
	broker   broker.Broker
	parts    []*part
	ready    atomic.Bool

	inspected inspected
	edge      edge

	tails    shares // of GET /v1/events
	requests shares // that were let in

	drain drain // of HTTP
}

// edge is the HTTP side of a process: the public server of the boundary, or that of a process behind it.
type edge interface {
	// Guard lets those requests in that may come in at a listener.
	Guard(listener net.Addr, next http.Handler) http.Handler
	// Handler returns what the listener serves, of which own are the paths of the process.
	Handler(own http.Handler) http.Handler
	// Routes returns the routes of the edge, which the process serves with its own.
	Routes() []rest.Route
	// Run works until ctx ends; it calls ready once it can be used.
	Run(ctx context.Context, ready func()) error
	// Ready is called when the process is ready, and Drain when its end begins.
	Ready(ctx context.Context)
	Drain(ctx context.Context)
	// Close follows the last request.
	Close()
	// Trouble returns why the log of events cannot be followed, if it should be.
	Trouble() error
}

// part is one service in this process.
type part struct {
	service    services.Service
	db         *store.DB
	dispatcher *bus.Dispatcher
	commands   *bus.CommandBus
	consumer   *bus.Consumer
}

// Commands is the command bus of the service.
func (p *part) Commands() *bus.CommandBus { return p.commands }

// Store is the database of the service.
func (p *part) Store() *store.DB { return p.db }

// Run runs a process until ctx ends; ready is told the address once everything works.
func Run(ctx context.Context, cfg Config, ready func(addr string)) error {
	if cfg.Grace == 0 {
		cfg.Grace = 20 * time.Second
	}
	p := &Process{cfg: cfg, registry: prometheus.NewRegistry()}
	p.metrics = bus.NewMetrics(p.registry)
	p.tails.each, p.tails.total = tailsEach, tailsTotal
	p.cfg.HTTP = p.cfg.HTTP.filled()
	p.requests.each, p.requests.total = min(atOnce, max(8, p.cfg.HTTP.PerAddress/4)), math.MaxInt
	if cfg.TLS.On() {
		var err error
		if p.tls, err = tlsConfig(cfg.TLS, cfg.Log); err != nil {
			return err
		}
	}
	listener, err := listen(ctx, cfg.Addr)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.open(ctx); err != nil {
		return errors.Join(err, listener.Close())
	}
	return p.run(ctx, listener, ready)
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fault.Unavailable("address_taken", "cannot listen on %s", addr).
			WithHint("another process may use it: choose another with --addr, such as --addr=127.0.0.1:8421").
			Because(err)
	}
	return l, nil
}

// open makes the first stage: databases, broker, services.
func (p *Process) open(ctx context.Context) error {
	subscriptions, err := Subscriptions()
	if err != nil {
		return err
	}
	p.cfg.Options.Boundary = boundary.Options{Subscriptions: subscriptions, Log: p.cfg.Log}
	p.cfg.Options.Marketdata.Log = p.cfg.Log
	for _, name := range p.cfg.Services {
		m, err := find(name)
		if err != nil {
			return err
		}
		db, err := store.Open(ctx, name, p.cfg.Database(name), store.Connections(p.cfg.Connections))
		if err != nil {
			return err
		}
		part := &part{db: db, service: m.build(db, p.cfg.Options)}
		p.parts = append(p.parts, part)
		if err := p.schema(ctx, db); err != nil {
			return err
		}
		if part.dispatcher, err = dispatcher(part.service, bus.Standard(p.cfg.Log, p.metrics)...); err != nil {
			return err
		}
	}
	opened, err := p.cfg.Broker(ctx)
	if err != nil {
		return err
	}
	p.broker = opened // not before: with an error, it may be an interface that holds nothing
	if p.cfg.Migrate {
		topology, err := Topology()
		if err != nil {
			return err
		}
		if err := p.broker.Declare(ctx, topology); err != nil {
			return fmt.Errorf("declare the broker's topology: %w", err)
		}
	}
	if p.edge, err = p.newEdge(ctx); err != nil {
		return err
	}
	return p.wire()
}

// newEdge makes the HTTP side: the public server in the api role of the boundary, that of a process behind it in all
// others.
func (p *Process) newEdge(ctx context.Context) (edge, error) {
	if p.cfg.Secret != "" {
		if err := access.CheckSecret(p.cfg.Secret); err != nil {
			return nil, err
		}
	}
	o := boundary.ServerOptions{
		Table: rest.NewTable(HTTPRoutes()...), Log: p.cfg.Log, Metrics: p.registry, Databases: p.databases(),
		Events: p.broker, Upstreams: p.cfg.Upstreams,
		TokenFile: p.cfg.TokenFile, SignIn: p.cfg.SignIn,
		Access: access.Options{
			Log: p.cfg.Log, Metrics: p.registry, Limits: p.cfg.Limits, Service: p.cfg.Secret, Local: p.cfg.LocalAccess,
			Proxies: p.cfg.Proxies,
			Keep:    p.cfg.Audit.Keep, Rows: p.cfg.Audit.Rows,
		},
	}
	for _, part := range p.parts {
		if ledger, ok := part.service.(*boundary.Service); ok && p.has(API) {
			return boundary.NewServer(ctx, ledger, o)
		} else if ok {
			return boundary.NewInternal(part.db, o), nil
		}
	}
	return boundary.NewInternal(nil, o), nil
}

// wire connects services with command buses, consumers and metrics.
func (p *Process) wire() error {
	for _, part := range p.parts {
		part.commands = bus.NewCommandBus(part.dispatcher, part.db)
		if p.has(Consumer) {
			part.consumer = &bus.Consumer{
				Dispatcher: part.dispatcher, DB: part.db, Broker: p.broker,
				Log:     p.cfg.Log.With("service", part.service.Name()),
				Options: bus.ConsumerOptions{Grace: p.cfg.Grace, Metrics: p.metrics},
			}
		}
	}
	return p.registry.Register(newCollector(p))
}

func (p *Process) has(r Role) bool { return slices.Contains(p.cfg.Roles, r) }

// run makes the second and third stage, and takes them down in reverse.
func (p *Process) run(ctx context.Context, plain net.Listener, ready func(addr string)) error {
	listener := newListener(plain, p.cfg.HTTP, p.tls == nil, p.cfg.Log, p.registry)
	ctx, broken := context.WithCancel(ctx)
	defer broken()
	server := &http.Server{
		Handler: rest.Pace{}.Wrap(p.edge.Guard(listener.Addr(), p.admitted(p.handler()))), TLSConfig: p.tls,
		ConnContext:       withConnection,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 100, WriteByteTimeout: stallAfter, SendPingTimeout: time.Minute,
			PingTimeout: 15 * time.Second},
		ErrorLog: slog.NewLogLogger(p.cfg.Log.Handler(), slog.LevelWarn),
	}
	// HTTP outlives the workers: health and metrics tell of them until the end, while everything else is turned away.
	httpGroup := errgroup.Group{}
	httpGroup.Go(func() error {
		serve := server.Serve
		if p.tls != nil {
			serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
		}
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			broken() // nobody can reach the process any more: it ends, and says why
			return fault.Unavailable("listener_broken", "HTTP cannot be served any more at %s", listener.Addr()).
				Because(err)
		}
		return nil
	})
	// Commands that clients are waiting for finish before the relay stops.
	err := p.work(ctx, func() {
		p.ready.Store(true)
		p.edge.Ready(ctx)
		ready(listener.Addr().String())
	}, func() {
		p.ready.Store(false)
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Grace/2)
		defer cancel()
		p.edge.Drain(stop)
		p.drain.wait(stop)
	})
	err = errors.Join(err, server.Close(), httpGroup.Wait())
	p.edge.Close()
	return err
}

// work runs relays, consumers and upkeep until ctx ends, the first of them fails, or HTTP breaks. draining is called
// when the end begins, before the workers are told.
func (p *Process) work(ctx context.Context, ready, draining func()) error {
	workers, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, workers := errgroup.WithContext(workers)
	var starting []<-chan struct{}
	start := func(run func(context.Context, func()) error) {
		up := make(chan struct{})
		starting = append(starting, up)
		group.Go(func() error {
			var once atomic.Bool
			return run(workers, func() {
				if once.CompareAndSwap(false, true) {
					close(up)
				}
			})
		})
	}
	for _, part := range p.parts {
		// Consumers subscribe before the relay re-sends what the embedded broker no longer has.
		if part.consumer != nil {
			start(part.consumer.Run)
		}
	}
	if !await(ctx, workers, starting) {
		stop()
		return group.Wait()
	}
	for _, part := range p.parts {
		relay := &store.Relay{DB: part.db, Broker: p.broker, Log: p.cfg.Log.With("service", part.service.Name())}
		start(relay.Run)
		group.Go(func() error { return p.upkeep(workers, part.db) })
		if s, ok := part.service.(services.Runner); ok && part.consumer != nil {
			group.Go(func() error { return s.Run(workers) })
		}
	}
	group.Go(func() error { return p.inspect(workers) })
	start(func(ctx context.Context, up func()) error {
		group.Go(func() error { p.unlessAway(ctx, up); return nil })
		return p.edge.Run(ctx, up)
	})
	if await(ctx, workers, starting) {
		ready()
		select {
		case <-ctx.Done():
		case <-workers.Done():
		}
	}
	draining()
	stop()
	return group.Wait()
}

// unlessAway calls up when there is no connection to the broker: an api answers reads and accepts writes without it.
func (p *Process) unlessAway(ctx context.Context, up func()) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for !p.ready.Load() {
		select {
		case <-tick.C:
			if !p.broker.State().Connected {
				up()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// await waits for all of starting; false means that the end came first.
func await(ctx, workers context.Context, starting []<-chan struct{}) bool {
	for _, up := range starting {
		select {
		case <-up:
		case <-ctx.Done():
			return false
		case <-workers.Done():
			return false
		}
	}
	return true
}

// upkeep keeps inbox and operations small.
func (p *Process) upkeep(ctx context.Context, db *store.DB) error {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		if err := db.Tidy(ctx, p.cfg.Retention); err != nil && ctx.Err() == nil {
			p.cfg.Log.Warn("tidying is put off", "service", db.Service(), "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (p *Process) close() {
	if p.broker != nil {
		if err := p.broker.Close(); err != nil {
			p.cfg.Log.Warn("closing the broker", "error", err)
		}
	}
	for _, part := range p.parts {
		if err := part.db.Close(); err != nil {
			p.cfg.Log.Warn("closing a database", "service", part.service.Name(), "error", err)
		}
	}
}

func (p *Process) databases() []*store.DB {
	dbs := make([]*store.DB, len(p.parts))
	for i, part := range p.parts {
		dbs[i] = part.db
	}
	return dbs
}

var _ rest.Service = (*part)(nil)
