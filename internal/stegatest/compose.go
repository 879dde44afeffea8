package stegatest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/servers"
)

// composeLimit is the timeout of one Docker command; the first one builds the image.
const composeLimit = 15 * time.Minute

// Composed is the stack of compose.yaml under a separate project name and port.
type Composed struct {
	*Server // the boundary, with a token created in its container

	Project string
	Root    string // of the module

	t     testing.TB
	args  []string // arguments of docker, before the command
	env   []string
	image string // existing image; empty: it is built
}

// Compose prepares a stack, and removes it with its volumes when the test ends. STEGA_TEST_IMAGE names an existing
// image; without it, one is built.
func Compose(t testing.TB) *Composed {
	t.Helper()
	if testing.Short() {
		t.Skip("this test composes all containers")
	}
	servers.Docker(t)
	root, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "stega").Output()
	require.NoError(t, err)
	port := servers.FreePort(t)
	c := &Composed{
		Project: "stega-test-" + strings.ToLower(rand.Text()[:10]), Root: strings.TrimSpace(string(root)), t: t,
		image:  os.Getenv("STEGA_TEST_IMAGE"),
		Server: At(t, fmt.Sprintf("http://127.0.0.1:%d", port), ""),
	}
	image := c.image
	if image == "" {
		image = c.Project
	}
	c.args = []string{"compose", "-p", c.Project, "-f", filepath.Join(c.Root, "compose.yaml")}
	c.env = append(os.Environ(), fmt.Sprintf("STEGA_PORT=%d", port), "STEGA_IMAGE="+image)
	if out, err := c.Docker("compose", "version"); err != nil {
		t.Fatalf("docker compose is missing: %s", out)
	}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := c.Docker(append(c.args, "logs", "--tail", "20")...)
			t.Logf("%s", logs)
		}
		out, err := c.Docker(append(c.args, "down", "-v", "--timeout", "5", "--remove-orphans")...)
		assert.NoError(t, err, "%s", out)
		if c.image == "" {
			_, _ = c.Docker("image", "rm", c.Project)
		}
	})
	return c
}

// Docker runs a Docker command in the environment of the stack.
func (c *Composed) Docker(args ...string) (string, error) { return c.Run("docker", args...) }

// Run runs a program in the environment of the stack.
func (c *Composed) Run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), composeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = c.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Args returns the arguments of docker compose that select the stack.
func (c *Composed) Args() []string { return c.args[1:] }

// Compose runs a docker compose command, which must succeed.
func (c *Composed) Compose(args ...string) string {
	c.t.Helper()
	out, err := c.Docker(append(append([]string{}, c.args...), args...)...)
	require.NoError(c.t, err, "docker compose %v: %s", args, out)
	return out
}

// Up starts the stack as a user does, and creates a token.
func (c *Composed) Up() {
	c.t.Helper()
	if c.image == "" {
		build := []string{"build", "--quiet"}
		for _, name := range []string{"GOPROXY", "GOFLAGS"} {
			value, err := exec.CommandContext(c.t.Context(), "go", "env", name).Output()
			require.NoError(c.t, err)
			build = append(build, "--build-arg", name+"="+strings.TrimSpace(string(value)))
		}
		c.Compose(append(build, "migrate")...)
	}
	c.Compose("up", "-d", "--no-build")
	c.Ready()
	c.Token = strings.TrimSpace(c.Compose("exec", "-T", "boundary-api", "/stega", "token", "create", "test", "--scope",
		"admin", "-q"))
}

// Ready waits until all long-running containers are healthy.
func (c *Composed) Ready() {
	c.t.Helper()
	c.Eventually("all containers are healthy", func() bool {
		for _, one := range c.Containers() {
			if one.State.Health == nil || one.State.Health.Status != "healthy" {
				return false
			}
		}
		return true
	})
}

// Container is the description of a container.
type Container struct {
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
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress string }
	}
}

// Containers returns the running containers.
func (c *Composed) Containers() (all []Container) {
	c.t.Helper()
	ids := strings.Fields(c.Compose("ps", "-q"))
	out, err := c.Docker(append([]string{"inspect"}, ids...)...)
	require.NoError(c.t, err, "%s", out)
	require.NoError(c.t, json.Unmarshal([]byte(out), &all))
	return all
}

// SQL runs statements one by one as the administrator of a service's database, and returns their rows.
func (c *Composed) SQL(service string, statements ...string) string {
	c.t.Helper()
	args := []string{"exec", "-T", "-e", "PGOPTIONS=-c default_transaction_read_only=off", "postgres",
		"psql", "-qAt", "-v", "ON_ERROR_STOP=1", "-U", "stega", "-d", service}
	for _, one := range statements {
		args = append(args, "-c", one)
	}
	return strings.TrimSpace(c.Compose(args...))
}

// For returns the same stack for a subtest, which fails by itself.
func (c *Composed) For(t testing.TB) *Composed {
	other, server := *c, *c.Server
	server.t, other.t, other.Server = t, t, &server
	return &other
}

// Rabbit runs rabbitmqctl.
func (c *Composed) Rabbit(args ...string) string {
	c.t.Helper()
	return c.Compose(append([]string{"exec", "-T", "rabbitmq", "rabbitmqctl", "-q"}, args...)...)
}

// Health reports whether the process of a container is ready, and its missing parts.
func (c *Composed) Health(container string) (ready bool, missing string) {
	c.t.Helper()
	out, err := c.Docker(append(append([]string{}, c.args...), "exec", "-T", "-e", "STEGA_DAEMON=off", container,
		"/stega", "health", "--url", "http://127.0.0.1:8420")...)
	return err == nil, out
}
