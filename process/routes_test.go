package process

import (
	"context"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/api"
	"stega/services/boundary"
	"stega/services/boundary/access"
	"stega/store"
)

// Everything that a process serves is a route of the API, in every role, so it has a scope.
func TestEveryRouteSaysWhoMayUseIt(t *testing.T) {
	t.Parallel()
	db, err := store.Open(context.Background(), "boundary", "sqlite://"+filepath.Join(t.TempDir(), "boundary.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	p := &Process{
		cfg:      Config{Roles: []Role{API}, Log: slog.New(slog.DiscardHandler)},
		registry: prometheus.NewRegistry(),
	}
	for _, m := range suite() {
		p.parts = append(p.parts, &part{service: m.build(db, Options{}), db: db})
	}
	p.edge = boundary.NewInternal(nil, boundary.ServerOptions{Databases: p.databases()})
	served := p.routes()
	p.edge, err = boundary.NewServer(t.Context(), boundary.New(db, boundary.Options{}),
		boundary.ServerOptions{Log: p.cfg.Log, Databases: p.databases()})
	require.NoError(t, err)
	served = append(served, p.routes()...)
	require.Greater(t, len(served), 60)
	known := map[string]bool{}
	for _, r := range HTTPRoutes() {
		known[r.Method+" "+r.Path] = true
	}
	for _, r := range served {
		assert.True(t, known[r.Method+" "+r.Path], "%s %s is not a route of the API", r.Method, r.Path)
	}
}

// Each route says what the router, the gateway, access control and the document need of it.
func TestEveryRouteIsComplete(t *testing.T) {
	t.Parallel()
	bindings, err := Routes()
	require.NoError(t, err)
	var commands []string
	for _, of := range bindings {
		for _, r := range of {
			commands = append(commands, r.Topic)
		}
	}
	// What these become is no command of a service.
	others := []string{
		"operation.cancel", "publish {topic}", "{service}.rebuild", "dead.retry", "dead.drop", "token.create",
		"token.revoke", "link.create", "session.delete",
	}
	names, paths := map[string]bool{}, map[string]bool{}
	for _, r := range HTTPRoutes() {
		route := r.Method + " " + r.Path
		assert.Regexp(t, `^[a-z][A-Za-z]+$`, r.Name, route)
		assert.False(t, names[r.Name], "%s: the name %s is not its own", route, r.Name)
		assert.False(t, paths[route], "%s is there twice", route)
		names[r.Name], paths[route] = true, true
		assert.NotEmpty(t, r.Summary, route)
		assert.NotNil(t, r.Handler, route)
		assert.Contains(t, append(access.Scopes(), access.Open), r.Scope, route)
		assert.Equal(t, strings.HasPrefix(r.Path, "/v1/"),
			regexp.MustCompile(`^/v1/[a-z]+(\.json|(/([a-z]+|\{[a-z]+\}))*)$`).MatchString(r.Path), route)
		if r.Command != "" && !slices.Contains(others, r.Command) {
			assert.Contains(t, commands, r.Command, route)
		}
		if _, accepted := r.Answer.(api.Accepted); accepted {
			assert.NotEmpty(t, r.Command, "%s is accepted as a command", route)
		}
		for _, q := range r.Query {
			assert.NotEmpty(t, q.About, "%s?%s", route, q.Name)
		}
	}
}
