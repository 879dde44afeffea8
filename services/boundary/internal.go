package boundary

import (
	"context"
	"net"
	"net/http"

	"stega/rest"
	"stega/services/boundary/access"
	"stega/store"
)

// Internal is the HTTP side of a process that only the public server and operators reach: it lets in who has the secret
// between services, and answers what its own databases have of operations.
type Internal struct {
	access    *access.Access
	table     *rest.Table
	databases []*store.DB
}

// NewInternal makes it. On the boundary's database, in a process without the public server, tokens let in too; tokens
// is
// nil in others.
func NewInternal(tokens *store.DB, o ServerOptions) *Internal {
	return &Internal{access: access.New(tokens, o.Access), table: o.Table, databases: o.Databases}
}

// Routes returns the routes of operations.
func (i *Internal) Routes() []rest.Route { return rest.Operations(i.databases...) }

// Handler returns own.
func (i *Internal) Handler(own http.Handler) http.Handler { return own }

// Guard lets those requests in that may come in at a listener.
func (i *Internal) Guard(listener net.Addr, next http.Handler) http.Handler {
	return i.access.Wrap(listener, i.table, next)
}

// Run works until ctx ends.
func (i *Internal) Run(ctx context.Context, ready func()) error { return i.access.Run(ctx, ready) }

// Ready does nothing.
func (i *Internal) Ready(context.Context) {}

// Drain does nothing: there are no streams.
func (i *Internal) Drain(context.Context) {}

// Close does nothing.
func (i *Internal) Close() {}

// Trouble returns nil.
func (i *Internal) Trouble() error { return nil }
