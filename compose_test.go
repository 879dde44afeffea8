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

// composed is the stack of compose.yaml under a project name and on a port of its own.
type composed struct {
	*stegatest.Server // the boundary, with a token that was made in its container

	t       *testing.T
	project string
	args    []string // of docker, before the command
	env     []string
}

func newComposed(t *testing.T) *composed {
	t.Helper()
	port := servers.FreePort(t)
	c := &composed{t: t, project: "stega-test-" + strings.ToLower(rand.Text()[:10])}
	c.Server = stegatest.At(t, fmt.Sprintf("http://127.0.0.1:%d", port), "")
	c.args = []string{"compose", "-p", c.project}
	c.env = append(os.Environ(), fmt.Sprintf("STEGA_PORT=%d", port), "STEGA_IMAGE="+c.project)
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := c.docker(append(c.args, "logs", "--tail", "20")...)
			t.Logf("%s", logs)
		}
		out, err := c.docker(append(c.args, "down", "-v", "--timeout", "5", "--remove-orphans")...)
		assert.NoError(t, err, "%s", out)
		_, _ = c.docker("image", "rm", c.project)
	})
	return c
}

// docker runs a command of Docker in the environment of the stack.
func (c *composed) docker(args ...string) (string, error) { return c.run("docker", args...) }

func (c *composed) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), composeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = c.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// compose runs a command of docker compose.
func (c *composed) compose(args ...string) string {
	c.t.Helper()
	out, err := c.docker(append(c.args, args...)...)
	require.NoError(c.t, err, "docker compose %v: %s", args, out)
	return out
}

// up starts the stack as a person does, and signs in.
func (c *composed) up() {
	c.t.Helper()
	build := []string{"build", "--quiet"}
	for _, name := range []string{"GOPROXY", "GOFLAGS"} {
		value, err := exec.CommandContext(c.t.Context(), "go", "env", name).Output()
		require.NoError(c.t, err)
		build = append(build, "--build-arg", name+"="+strings.TrimSpace(string(value)))
	}
	c.compose(append(build, "migrate")...)
	c.compose("up", "-d", "--no-build")
	c.ready()
	c.Token = strings.TrimSpace(c.compose("exec", "-T", "boundary-api", "/stega", "token", "create", "test", "--scope", "admin", "-q"))
}

// ready waits until all containers that go on running are healthy.
func (c *composed) ready() {
	c.t.Helper()
	c.Eventually("all are healthy", func() bool {
		for _, one := range c.containers() {
			if one.State.Health == nil || one.State.Health.Status != "healthy" {
				return false
			}
		}
		return true
	})
}

// container is what the engine reports of a container.
type container struct {
	Name  string
	State struct {
		Status string
		Health *struct{ Status string }
	}
	Config     struct{ User string }
	HostConfig struct {
		ReadonlyRootfs    bool
		CapDrop           []string
		SecurityOpt       []string
		Memory, PidsLimit int64
		PortBindings      map[string][]struct{ HostIP, HostPort string }
	}
	NetworkSettings struct{ Networks map[string]any }
}

func (c *composed) containers() (all []container) {
	c.t.Helper()
	ids := strings.Fields(c.compose("ps", "-q"))
	out, err := c.docker(append([]string{"inspect"}, ids...)...)
	require.NoError(c.t, err, "%s", out)
	require.NoError(c.t, json.Unmarshal([]byte(out), &all))
	return all
}

// The composed stack starts without a setting, and does what "stega up" does although a consumer is killed in the middle; its containers
// are closed; and its secrets can be replaced.
func TestTheComposedStack(t *testing.T) {
	if testing.Short() {
		t.Skip("composes all containers")
	}
	servers.Docker(t)
	file := string(reference.Read(t, "stock_prices.csv"))
	c := newComposed(t)
	if out, err := c.docker("compose", "version"); err != nil {
		t.Fatalf("docker compose is missing: %s", out)
	}
	c.up()
	assert.Contains(t, c.compose("logs", "boundary-api"), "docker compose exec boundary-api /stega token create", "the log says how to sign in")

	t.Log("an import, and a consumer is killed in the middle")
	c.Unsettled().Import(file, "")
	c.compose("kill", "returns-consumer")
	const body = `{"name":"core","assets":[{"symbol":"AAPL","weight":"0.6"},{"symbol":"MA","weight":"0.4"}]}`
	id := c.Unsettled().Portfolio(body)
	c.compose("start", "returns-consumer")

	up := stegatest.Up(t)
	up.Import(file, "")
	other := up.Portfolio(body)
	answers := func(s *stegatest.Server, path string) []byte {
		var a stegatest.Answer
		s.Eventually("GET "+path+" answers", func() bool {
			a = s.Do(http.MethodGet, path, "")
			return a.Status == http.StatusOK
		})
		return a.Body
	}
	for _, path := range []string{"", "/series", "/series?kind=drawdown", "?rebalance=monthly", "?rebalance=none&from=2010-01-01"} {
		theirs := answers(c.Server, "/v1/returns/portfolios/"+id+path)
		ours := answers(up, "/v1/returns/portfolios/"+other+path)
		assert.Equal(t, string(bytes.ReplaceAll(ours, []byte(other), []byte(id))), string(theirs), path)
	}
	var symbols struct {
		Items []struct{ Symbol string }
	}
	up.Get("/v1/symbols?limit=1000", &symbols)
	require.NotEmpty(t, symbols.Items)
	for _, one := range symbols.Items {
		for _, path := range []string{"/v1/returns/assets/" + one.Symbol + "/series", "/v1/prices/" + one.Symbol} {
			assert.Equal(t, string(answers(up, path)), string(answers(c.Server, path)))
		}
	}

	t.Log("the containers are closed")
	ours := 0
	for _, one := range c.containers() {
		host := one.HostConfig
		assert.Equal(t, []string{"ALL"}, host.CapDrop, one.Name)
		assert.Contains(t, host.SecurityOpt, "no-new-privileges:true", one.Name)
		assert.Positive(t, host.Memory, one.Name)
		assert.Positive(t, host.PidsLimit, one.Name)
		assert.Contains(t, one.NetworkSettings.Networks, c.project+"_inside", one.Name)
		if !strings.HasSuffix(one.Name, "-boundary-api-1") {
			assert.Empty(t, host.PortBindings, one.Name)
			assert.NotContains(t, one.NetworkSettings.Networks, c.project+"_front", one.Name)
		} else if assert.Len(t, host.PortBindings, 1) {
			assert.Equal(t, "127.0.0.1", host.PortBindings["8420/tcp"][0].HostIP)
		}
		if strings.HasSuffix(one.Name, "-api-1") || strings.HasSuffix(one.Name, "-consumer-1") {
			ours++
			assert.Equal(t, "65532:65532", one.Config.User, one.Name)
			assert.True(t, host.ReadonlyRootfs, one.Name)
		}
	}
	assert.Equal(t, 2*len(process.Names()), ours)
	inside, err := c.docker("network", "inspect", "-f", "{{.Internal}}", c.project+"_inside")
	require.NoError(t, err, inside)
	assert.Equal(t, "true", strings.TrimSpace(inside))

	t.Log("its network is trusted with nothing")
	for _, host := range []string{"boundary-api", "portfolio-api", "marketdata-api", "returns-api", "optimization-consumer"} {
		out, err := c.docker("run", "--rm", "--network", c.project+"_inside", "-e", "STEGA_DAEMON=off", c.project,
			"portfolio", "list", "--url", "http://"+host+":8420")
		var exit *exec.ExitError
		if assert.ErrorAs(t, err, &exit, "%s: %s", host, out) {
			assert.Equal(t, 77, exit.ExitCode(), "%s: %s", host, out)
		}
	}
	anonymous := stegatest.At(t, c.URL, "")
	assert.Equal(t, http.StatusUnauthorized, anonymous.Do(http.MethodGet, "/v1/portfolios", "").Status)

	t.Log("a second start keeps the secrets, and a service may run twice")
	password := func() string { return c.compose("exec", "-T", "postgres", "cat", "/secrets/passwords.sql") }
	before := password()
	c.compose("up", "-d", "--no-build", "--scale", "correlations-api=2")
	c.ready()
	assert.Equal(t, before, password())
	assert.Equal(t, 2, strings.Count(c.compose("ps", "--format", "{{.Name}}", "correlations-api"), "\n"))

	t.Log("one command replaces them")
	out, err := c.run("deploy/rotate-secrets", c.args[1:]...)
	require.NoError(t, err, out)
	c.ready()
	assert.NotEqual(t, before, password())
	assert.JSONEq(t, string(answers(up, "/v1/prices/AAPL")), string(answers(c.Server, "/v1/prices/AAPL")))
	c.Import("date,symbol,close\n2030-01-02,AAPL,100\n", "")

	c.compose("stop", "--timeout", "40", "returns-consumer", "portfolio-api")
	assert.Equal(t, 2, strings.Count(c.compose("ps", "-a", "--status", "exited", "--format", "{{.Name}} {{.ExitCode}}", "returns-consumer", "portfolio-api"), " 0"))
}
