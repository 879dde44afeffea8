package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/reference"
	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/process"
)

// composeLimit is how long one command of Docker may take; the first one builds the image.
const composeLimit = 15 * time.Minute

// composed is the stack of compose.yaml under a name and on ports of its own.
type composed struct {
	t        *testing.T
	args     []string // of docker, before the command
	database string   // the URL of the service returns' database
	apis     map[string]*stegatest.Server
}

func newComposed(t *testing.T) *composed {
	t.Helper()
	project := "stega-test-" + strings.ToLower(rand.Text()[:10])
	postgres := servers.FreePort(t)
	c := &composed{
		t: t, database: fmt.Sprintf("postgres://returns:returns-dev@127.0.0.1:%d/returns?sslmode=disable", postgres),
		apis: map[string]*stegatest.Server{},
	}
	var override strings.Builder
	_, _ = fmt.Fprintf(&override, "services:\n  migrate: {image: %s}\n  postgres: {ports: [\"127.0.0.1:%d:5432\"]}\n", project, postgres)
	for _, name := range process.Names() {
		port := servers.FreePort(t)
		c.apis[name] = stegatest.At(t, fmt.Sprintf("http://127.0.0.1:%d", port), "stega-dev-service-token")
		_, _ = fmt.Fprintf(&override, "  %s-api: {image: %s, ports: !override [\"127.0.0.1:%d:8420\"]}\n  %s-consumer: {image: %s}\n", name, project, port, name, project)
	}
	file := filepath.Join(t.TempDir(), "override.yaml")
	require.NoError(t, os.WriteFile(file, []byte(override.String()), 0o600))
	c.args = []string{"compose", "-p", project, "-f", "compose.yaml", "-f", file}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := docker(append(c.args, "logs", "--tail", "20")...)
			t.Logf("%s", logs)
		}
		out, err := docker(append(c.args, "down", "-v", "--timeout", "5", "--remove-orphans")...)
		assert.NoError(t, err, "%s", out)
		_, _ = docker("image", "rm", project)
	})
	return c
}

func docker(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), composeLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
	return string(out), err
}

// compose runs a command of docker compose.
func (c *composed) compose(args ...string) string {
	c.t.Helper()
	out, err := docker(append(c.args, args...)...)
	require.NoError(c.t, err, "docker compose %v: %s", args, out)
	return out
}

// container is what the engine knows of a container.
type container struct {
	Name  string
	State struct {
		Status string
		Health *struct{ Status string }
	}
	Config     struct{ User string }
	HostConfig struct {
		ReadonlyRootfs bool
		CapDrop        []string
	}
}

func (c *composed) containers() (all []container) {
	c.t.Helper()
	ids := strings.Fields(c.compose("ps", "-q"))
	out, err := docker(append([]string{"inspect"}, ids...)...)
	require.NoError(c.t, err, "%s", out)
	require.NoError(c.t, json.Unmarshal([]byte(out), &all))
	return all
}

// The composed stack does what "stega up" does, to the byte, although a consumer is killed in the middle; its containers are what they
// are said to be.
func TestTheComposedStack(t *testing.T) {
	servers.Docker(t)
	if out, err := docker("compose", "version"); err != nil {
		t.Fatalf("docker compose is missing: %s", out)
	}
	file := string(reference.Read(t, "stock_prices.csv"))
	c := newComposed(t)
	build := []string{"build", "--quiet"}
	for _, name := range []string{"GOPROXY", "GOFLAGS"} {
		value, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
		require.NoError(t, err)
		build = append(build, "--build-arg", name+"="+strings.TrimSpace(string(value)))
	}
	c.compose(append(build, "migrate")...)
	c.compose("up", "-d", "--no-build")
	for _, api := range c.apis {
		awaitReady(api)
	}

	t.Log("an import, and a consumer is killed in the middle")
	c.apis["marketdata"].Import(file, "")
	c.compose("kill", "returns-consumer")
	const body = `{"name":"core","assets":[{"symbol":"AAPL","weight":"0.6"},{"symbol":"MA","weight":"0.4"}]}`
	id := c.apis["portfolio"].Portfolio(body)
	c.compose("start", "returns-consumer")

	local := filepath.Join(t.TempDir(), "local")
	up := stegatest.Start(t, stegatest.Config(local))
	up.Import(file, "")
	other := up.Portfolio(body)

	series := func(database string) string {
		var lines []string
		for line := range strings.Lines(stegatest.Views(t, database)) {
			if strings.HasPrefix(line, "series ") {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
	var got, want string
	up.Eventually("the views are equal", func() bool {
		got, want = series(c.database), series("sqlite://"+filepath.Join(local, "returns.db"))
		return got == want && strings.Count(want, "\n") > 100
	})
	answers := func(s *stegatest.Server, path string) []byte {
		var a stegatest.Answer
		s.Eventually("GET "+path+" answers", func() bool {
			a = s.Do(http.MethodGet, path, "")
			return a.Status == http.StatusOK
		})
		return a.Body
	}
	for _, path := range []string{"", "/series", "/series?kind=drawdown", "?rebalance=monthly", "?rebalance=none&from=2010-01-01"} {
		theirs := answers(c.apis["returns"], "/v1/returns/portfolios/"+id+path)
		ours := answers(up, "/v1/returns/portfolios/"+other+path)
		assert.Equal(t, string(bytes.ReplaceAll(ours, []byte(other), []byte(id))), string(theirs), path)
	}
	for _, symbol := range []string{"AAPL", "MA", "GOOG"} {
		assert.Equal(t, string(answers(up, "/v1/returns/assets/"+symbol)), string(answers(c.apis["returns"], "/v1/returns/assets/"+symbol)))
		assert.Equal(t, string(answers(up, "/v1/prices/"+symbol)), string(answers(c.apis["marketdata"], "/v1/prices/"+symbol)))
	}

	t.Log("the containers")
	up.Eventually("all are healthy", func() bool {
		for _, one := range c.containers() {
			if one.State.Health == nil || one.State.Health.Status != "healthy" {
				return false
			}
		}
		return true
	})
	ours := 0
	for _, one := range c.containers() {
		if !strings.HasSuffix(one.Name, "-api-1") && !strings.HasSuffix(one.Name, "-consumer-1") {
			continue
		}
		ours++
		assert.Equal(t, "65532:65532", one.Config.User, one.Name)
		assert.True(t, one.HostConfig.ReadonlyRootfs, one.Name)
		assert.Equal(t, []string{"ALL"}, one.HostConfig.CapDrop, one.Name)
	}
	assert.Equal(t, 2*len(process.Names()), ours)
	c.compose("stop", "--timeout", "40", "returns-consumer", "portfolio-api")
	assert.Equal(t, 2, strings.Count(c.compose("ps", "-a", "--status", "exited", "--format", "{{.Name}} {{.ExitCode}}", "returns-consumer", "portfolio-api"), " 0"))
}
