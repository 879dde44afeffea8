// Package access decides who may do what at the edge: tokens with scopes, limits on the rate of requests, and an
// audit of writes. Access.Wrap puts it in front of all that a process serves. No request is trusted for where it
// comes from, unless Options.Local says so.
package access

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"stega/rest"
	"stega/store"
)

// Scope is the permission that a token has.
type Scope = rest.Scope

// The scopes.
const (
	Open  = rest.ScopeOpen
	Read  = rest.ScopeRead
	Write = rest.ScopeWrite
	Admin = rest.ScopeAdmin
)

// Scopes lists those that a token can have.
func Scopes() []Scope { return []Scope{Read, Write, Admin} }

// Caller is who asks.
type Caller struct {
	Token string `json:"-"` // the token's id; empty for local and service
	Name  string `json:"name"`
	Scope Scope  `json:"scope"`
	Via   Via    `json:"via"`
}

// key names the caller in what is counted or kept for each: the id of its token, or the name of a caller without one.
// The token of the data folder goes by its name, for it may be another one tomorrow.
func (c Caller) key() string {
	if c.Token != "" && c.Name != local {
		return c.Token
	}
	return c.Name
}

// Via is how a caller came in.
type Via string

// The ways: a token in the header, the session of a browser that used a one-time link, none (see Options.Local), and
// the secret that processes share.
const (
	ViaToken   Via = "token"
	ViaLink    Via = "link"
	ViaLocal   Via = "local"
	ViaService Via = "service"
)

// Names of callers that no token in the database stands for, and of the token that a machine keeps for itself.
const (
	local   = "local"
	service = "service"
)

// From is who asks, as Wrap found out. There is none on a path that is open, and on the stream for a client that
// sends its token as its first message.
func From(ctx context.Context) (Caller, bool) {
	who, ok := ctx.Value(admittedKey{}).(admitted)
	return who.Caller, ok
}

// Options of New. All may be left out.
type Options struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Limits  Limits
	// Service is the secret that the processes of one installation share. Services, which have no tokens of their own,
	// take it from the gateway; a process with the boundary's database takes tokens only.
	Service string
	// Local is the scope of requests without a token that a program of this machine makes directly to a loopback
	// listener; Open: they have none.
	Local Scope
	// Proxies are the addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto count: for limits, the audit and
	// cookies, and nothing else.
	Proxies []netip.Prefix
	// Keep is how long the audit is kept; 0 is 90 days. Rows is how many lines it has at most; 0 is a million.
	Keep time.Duration
	Rows int
	// Now is the clock; nil is the real one.
	Now func() time.Time
}

// Access is the access control of a process.
type Access struct {
	log     *slog.Logger
	now     func() time.Time
	tokens  *tokens // nil in a process without the boundary's database
	audit   *audit  // likewise
	limits  *limiters
	secret  *[sha256.Size]byte // of Options.Service; nil with the boundary's database
	local   Scope
	proxies []netip.Prefix
	proof   *[sha256.Size]byte // the key that POST /v1/proof signs with; nil: there is no token file
	refused *prometheus.CounterVec
}

// New makes the access control on the boundary's database. Without one (nil) only the service's secret lets requests
// in.
func New(db *store.DB, o Options) *Access {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Keep == 0 {
		o.Keep = 90 * 24 * time.Hour
	}
	if o.Rows == 0 {
		o.Rows = 1_000_000
	}
	a := &Access{log: o.Log, now: o.Now, local: o.Local, proxies: o.Proxies, limits: newLimiters(o.Limits, o.Now),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stega_access_refused_total", Help: "Requests that were refused, by the code of the fault.",
		}, []string{"code"})}
	if o.Service != "" && db == nil { // the boundary takes tokens only
		sum := sha256.Sum256([]byte(o.Service))
		a.secret = &sum
	}
	collectors := []prometheus.Collector{a.refused}
	if db != nil {
		a.tokens = newTokens(db, o)
		a.audit = newAudit(db, o)
		collectors = append(collectors, a.audit.lost, a.audit.waiting)
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(collectors...)
	}
	return a
}

// Run writes the audit, and when tokens were last used, until ctx ends, and then what is left of it: it must outlive
// the requests.
func (a *Access) Run(ctx context.Context, ready func()) error {
	if a.tokens == nil {
		ready()
		<-ctx.Done()
		return nil
	}
	var group errgroup.Group
	group.Go(func() error { return a.tokens.run(ctx) })
	group.Go(func() error { return a.audit.run(ctx) })
	group.Go(func() error { return a.audit.tidy(ctx) })
	ready()
	return group.Wait()
}
