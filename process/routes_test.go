package process

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/services/boundary"
	"stega/services/boundary/access"
	"stega/store"
)

// Everything that a process serves is in the table of who may use it, and the writes in that table become the
// commands that it says.
func TestEveryRouteSaysWhoMayUseIt(t *testing.T) {
	t.Parallel()
	db, err := store.Open(context.Background(), "boundary", "sqlite://"+filepath.Join(t.TempDir(), "boundary.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	p := &Process{cfg: Config{Roles: []Role{API}, Log: slog.New(slog.DiscardHandler)}, registry: prometheus.NewRegistry()}
	for _, m := range suite() {
		p.parts = append(p.parts, &part{service: m.build(db, Options{}), db: db})
	}
	p.edge = boundary.NewInternal(nil, boundary.ServerOptions{Databases: p.databases()})
	all := p.routes().Routes()
	p.edge, err = boundary.NewServer(t.Context(), boundary.New(db, boundary.Options{}), boundary.ServerOptions{Log: p.cfg.Log, Databases: p.databases()})
	require.NoError(t, err)
	all = append(all, p.routes().Routes()...)
	require.Greater(t, len(all), 60)
	var known []string
	for _, r := range access.Routes() {
		known = append(known, r.Method+" "+r.Path)
	}
	for _, r := range all {
		if r.Method == echo.RouteNotFound {
			continue
		}
		path := r.Path
		if strings.HasPrefix(path, "/v1/rebuild/") {
			path = "/v1/rebuild/:service"
		}
		for segment := range strings.SplitSeq(path, "/") {
			if name, ok := strings.CutPrefix(segment, ":"); ok {
				path = strings.Replace(path, segment, "{"+name+"}", 1)
			}
		}
		assert.True(t, slices.Contains(known, r.Method+" "+path), "%s %s is not in the table of package access", r.Method, path)
	}
	routes, err := Routes()
	require.NoError(t, err)
	var commands []string
	for _, of := range routes {
		for _, r := range of {
			commands = append(commands, r.Topic)
		}
	}
	// What these become is no command of a service.
	others := []string{"operation.cancel", "publish {topic}", "{service}.rebuild", "dead.retry", "dead.drop", "token.create", "token.revoke", "link.create", "session.delete"}
	for _, r := range access.Routes() {
		if r.Command != "" && !slices.Contains(others, r.Command) {
			assert.Contains(t, commands, r.Command)
		}
	}
}
