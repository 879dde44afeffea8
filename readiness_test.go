package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/rabbitmq"
	"stega/internal/servers"
	"stega/internal/wait"
	"stega/process"
)

// served is a process on RabbitMQ, whose broker user is the service's own.
func served(t *testing.T, role process.Role, url, dir string) (ready func() (int, process.Health)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	at, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- process.Run(ctx, process.Config{
			Services: []string{"returns"}, Roles: []process.Role{role}, Addr: "127.0.0.1:0", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Database: func(service string) string { return "sqlite://" + filepath.Join(dir, service+".db") },
			Broker: func(ctx context.Context) (broker.Broker, error) {
				return rabbitmq.Open(ctx, rabbitmq.Config{URL: url, Patient: true})
			},
		}, func(addr string) { at <- addr })
	}()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
		http.DefaultClient.CloseIdleConnections()
	})
	var addr string
	select {
	case addr = <-at:
	case err := <-done:
		done <- err
		require.NoError(t, err)
	}
	return func() (int, process.Health) {
		answer, err := http.Get("http://" + addr + "/readyz")
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		assert.NotContains(t, string(body), "127.0.0.1", "it names no host")
		var h process.Health
		require.NoError(t, json.Unmarshal(body, &h))
		return answer.StatusCode, h
	}
}

func migrated(t *testing.T, url string) (dir string, migrate func()) {
	t.Helper()
	dir = t.TempDir()
	migrate = func() {
		require.NoError(t, process.Migrate(t.Context(), []string{"returns"},
			func(service string) string { return "sqlite://" + filepath.Join(dir, service+".db") },
			func(ctx context.Context) (broker.Broker, error) { return rabbitmq.Open(ctx, rabbitmq.Config{URL: url}) },
			func(string, ...any) {}))
	}
	migrate()
	return dir, migrate
}

// Whatever vanishes from the broker makes each process that needs it unready, with what to do, until it is back.
func TestReadinessNamesWhatVanishedFromTheBroker(t *testing.T) {
	r := servers.RabbitMQ(t)
	dir, migrate := migrated(t, r.URL())
	own := r.AddUser(t, "^$", `^stega\.(events|commands|dead)$`, `^(stega\.log|stega\.returns\.(events|commands|dead))$`)
	roles := map[process.Role]func() (int, process.Health){
		process.API: served(t, process.API, own, dir), process.Consumer: served(t, process.Consumer, own, dir),
	}
	for _, c := range []struct {
		part, path string
		roles      []process.Role
	}{
		{"queue stega.returns.events", "queues/VHOST/stega.returns.events", []process.Role{process.Consumer}},
		{"binding of stega.returns.events to marketdata.prices_imported", "bindings/VHOST/e/stega.events/q/stega.returns.events/marketdata.prices_imported", []process.Role{process.Consumer}},
		{"exchange stega.events", "exchanges/VHOST/stega.events", []process.Role{process.API, process.Consumer}},
		{"queue stega.log", "queues/VHOST/stega.log", []process.Role{process.API, process.Consumer}},
	} {
		r.API(t, http.MethodDelete, "/api/"+strings.Replace(c.path, "VHOST", r.Vhost, 1), nil, nil)
		for _, role := range c.roles {
			wait.Until(t, string(role)+" misses the "+c.part, func() bool {
				status, h := roles[role]()
				return status == http.StatusServiceUnavailable && h.Status == "not ready" && strings.Contains(h.Missing[c.part], "stega migrate")
			})
		}
		migrate()
		for role, ready := range roles {
			wait.Until(t, string(role)+" is ready again after the "+c.part, func() bool {
				status, h := ready()
				return status == http.StatusOK && h.Status == "ready"
			})
		}
	}
}

// An api answers reads and accepts writes without the broker, so it can start and goes on.
func TestAnAPIIsDegradedWhileTheBrokerIsAway(t *testing.T) {
	dir, _ := migrated(t, servers.RabbitMQ(t).URL())
	ready := served(t, process.API, "amqp://nobody:nothing@127.0.0.1:1/", dir)
	status, h := ready()
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "degraded", h.Status)
	assert.Equal(t, map[string]string{"broker": "no connection"}, h.Degraded)
}
