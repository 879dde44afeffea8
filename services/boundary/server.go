package boundary

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"stega/broker"
	"stega/rest"
	"stega/services/boundary/access"
	"stega/services/boundary/gateway"
	"stega/services/boundary/stream"
	"stega/store"
)

// ServerOptions are the settings of the HTTP side of a process.
type ServerOptions struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Access  access.Options
	// Table has the routes of the suite.
	Table *rest.Table
	// Databases are those of the services in this process.
	Databases []*store.DB

	// Of the public server alone.
	Events    broker.Log         // what the stream pushes
	Upstreams []gateway.Upstream // services in other processes
	// TokenFile is where the server keeps a first admin token; empty: it keeps none.
	TokenFile string
	// SignIn receives the code of a one-time link once the process is ready, when there is a TokenFile; nil: none is
	// made.
	SignIn func(code string)
}

// Server is the public HTTP server of the suite.
type Server struct {
	log        *slog.Logger
	ledger     *Service
	operations directory
	access     *access.Access
	hub        *stream.Hub
	gateway    *gateway.Gateway
	table      *rest.Table
	own        handlerRef // what this process serves itself
	tokenFile  string
	signIn     func(code string)
}

// NewServer puts the public server together, on the ledger and its database.
func NewServer(ctx context.Context, ledger *Service, o ServerOptions) (*Server, error) {
	s := &Server{
		log: o.Log, ledger: ledger, operations: newDirectory(o.Databases, o.Upstreams, o.Access.Service),
		access: access.New(ledger.db, o.Access), table: o.Table, tokenFile: o.TokenFile, signIn: o.SignIn,
	}
	if s.tokenFile != "" {
		if err := s.access.KeepLocal(ctx, s.tokenFile); err != nil {
			return nil, err
		}
	}
	s.hub = stream.New(o.Events, stream.Options{
		Operation: s.state, Log: o.Log, Registerer: o.Metrics, Watch: s.access.Watch,
		Authorize: func(token string) error {
			_, err := s.access.Authorize(context.Background(), token, access.Read)
			return err
		},
		Trusted: func(r *http.Request) bool { // one that came in with a session, or needed no token
			_, known := access.From(r.Context())
			return known
		},
		Caller: func(r *http.Request) string { return rest.Caller(r.Context()) },
	})
	s.gateway = gateway.New(gateway.Options{
		Table: o.Table, Upstreams: upstreams(o, &s.own), Secret: o.Access.Service, Log: o.Log, Metrics: o.Metrics,
		Caller: func(ctx context.Context) (name, value string) { return access.CallerHeader, access.CallerOf(ctx) },
		Owner: func(ctx context.Context, operation string) string {
			known, err := s.ledger.Operation(ctx, operation, false)
			if err != nil { // it is not known, or not to be found out now; the service itself looks too
				return ""
			}
			return known.Service
		},
	})
	return s, nil
}

// upstreams are the services in this process, and those elsewhere.
func upstreams(o ServerOptions, own http.Handler) (all []gateway.Upstream) {
	here := map[string]bool{}
	for _, db := range o.Databases {
		here[db.Service()] = true
		all = append(all, gateway.Upstream{Service: db.Service(), Handler: own})
	}
	for _, u := range o.Upstreams {
		if !here[u.Service] {
			all = append(all, u)
		}
	}
	return all
}

// handlerRef is a handler that is set later.
type handlerRef struct{ http.Handler }

// Handler returns what the public address serves: the gateway, and before everything else own, the paths of this
// process with those of Routes.
func (s *Server) Handler(own http.Handler) http.Handler {
	s.own.Handler = own
	return s.consistent(s.gateway.Before(own))
}

// Guard lets those requests in that may come in at a listener.
func (s *Server) Guard(listener net.Addr, next http.Handler) http.Handler {
	return s.access.Wrap(listener, s.table, next)
}

// Run follows the log of events for the stream and writes the audit, until ctx ends; ready is called once the end of
// the log was reached.
func (s *Server) Run(ctx context.Context, ready func()) error {
	group, ctx := errgroup.WithContext(ctx)
	audited := make(chan struct{})
	group.Go(func() error { return s.access.Run(ctx, func() { close(audited) }) })
	group.Go(func() error {
		return s.hub.Run(ctx, func() {
			select {
			case <-audited:
				ready()
			case <-ctx.Done():
			}
		})
	})
	return group.Wait()
}

// Ready is called when the process is ready: it makes the link to sign in with.
func (s *Server) Ready(ctx context.Context) {
	if s.signIn == nil || s.tokenFile == "" {
		return
	}
	code, err := s.access.FirstLink(ctx)
	if err != nil {
		s.log.Warn("no link to sign in with could be made; make one with: stega open", "error", err)
		return
	}
	s.signIn(code)
}

// Drain closes the streams of clients, spread over a moment.
func (s *Server) Drain(ctx context.Context) { s.hub.Drain(ctx) }

// Close ends the connections to services. It follows the last request.
func (s *Server) Close() { s.gateway.Close() }

// Trouble returns why the log of events cannot be followed at present; nil when it can.
func (s *Server) Trouble() error { return s.hub.Trouble() }

// state returns what is known of an operation, as JSON for the stream.
func (s *Server) state(ctx context.Context, id string) (json.RawMessage, error) {
	o, err := s.Look(ctx, id, false)
	if err != nil {
		return nil, err
	}
	return json.Marshal(o)
}
