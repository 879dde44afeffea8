package cmd

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	_ "a.stega/early" // hands command lines to the daemon before anything else is initialised
	"github.com/spf13/cobra"

	"stega/client"
	"stega/daemon"
)

// asked is a command line that the daemon runs in the place of the program: package early hands it over before the program has begun.
type asked struct {
	daemon.Command
	begin func()
}

// errDeclined says that the program has to run a command itself.
var errDeclined = errors.New("the daemon does not run this command")

// inDaemon is the annotation of a command that the daemon may run: it reads, asks nothing of the terminal, and no file of the user's.
const inDaemon = "daemon"

// quick says that the daemon may run a command.
func quick(c *cobra.Command) *cobra.Command { return annotate(c, inDaemon, "true") }

func annotate(c *cobra.Command, name, value string) *cobra.Command {
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[name] = value
	return c
}

// completing reports whether a command line asks for completions, which cobra answers.
func completing(args []string) bool {
	return len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd)
}

// runAsked runs a command in the daemon's process.
func runAsked(ctx context.Context, c daemon.Command, begin func()) daemon.Outcome {
	g := &globals{asks: &asked{Command: c, begin: begin}}
	root := rootOf(g)
	out, stderr := &screen{columns: c.Columns, env: c.Env}, &bytes.Buffer{}
	root.SetArgs(c.Args)
	root.SetOut(out)
	root.SetErr(stderr)
	root.SetIn(&bytes.Buffer{})
	switch found, _, err := root.Find(c.Args); {
	case completing(c.Args):
		begin()
	case err != nil || found.Annotations[inDaemon] == "":
		return daemon.Outcome{}
	}
	status := execute(ctx, root)
	return daemon.Outcome{Status: status, Stdout: out.Bytes(), Stderr: stderr.Bytes()}
}

// accept decides, once the flags are known, whether the daemon runs a command.
func (a *asked) accept(c *cobra.Command, g *globals) bool {
	if !completing(a.Args) {
		if c.Annotations[inDaemon] == "" || g.direct {
			return false
		}
		a.begin()
	}
	return true
}

// client talks to the daemon, without leaving the process.
func (a *asked) client(at place, age *staleness) (*client.Client, error) {
	base, err := url.Parse(at.URL)
	if err != nil || base.Host == "" {
		return client.New(client.Options{URL: at.URL, Token: at.Token}) // says what is wrong with it
	}
	through := age.watch(forServer{at.URL, a.HTTP})
	return client.New(client.Options{
		URL: "http://" + base.Host, Token: at.Token, HTTP: through, UserAgent: "stega-cli/" + version().Version, RetryFor: 10 * time.Second,
	})
}

// forServer says on each request which server it is for.
type forServer struct {
	url  string
	next http.RoundTripper
}

func (f forServer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Stega-Server", f.url)
	return f.next.RoundTrip(r)
}
