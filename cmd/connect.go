package cmd

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/client"
	"stega/fault"
)

// defaultURL is where "stega up" listens when nothing else is said.
const defaultURL = "http://127.0.0.1:8420"

// place is a server that commands talk to.
type place struct {
	URL     string
	Token   string
	Context string // its name, when it is a context
	From    string // where the token is from, for who must find out why it is wrong
	Local   bool   // it is the one that "stega up" left: it is for nobody but that server
	TLS     clientTLS
	names   string // the file of what completion knows of it
}

// place finds the server: --url, --context, STEGA_URL, the current context, and at last the one that "stega up" is on
// this machine.
func (g *globals) place() (place, error) {
	at, err := g.find()
	if err != nil {
		return at, err
	}
	if _, err := client.CheckURL(at.URL); err != nil {
		return at, err
	}
	if at.Token == "" && isLocal(at.URL) {
		at.Token, at.From = g.localToken()
		at.Local = at.Token != ""
	}
	at.TLS = g.tls.over(at.TLS)
	if cache, ok := userFolder("XDG_CACHE_HOME", ".cache"); ok {
		at.names = knownFile(at.URL, cache)
	}
	return at, err
}

func (g *globals) find() (place, error) {
	config, err := g.readContexts()
	if err != nil {
		return place{}, err
	}
	token := os.Getenv("STEGA_TOKEN")
	at := place{URL: g.url, Token: token, From: "STEGA_TOKEN"}
	switch {
	case g.url != "" && g.context != "":
		return at, fault.Usage("place_twice", "--url and --context exclude each other").WithHint("give one of them")
	case g.context != "":
		return config.place(g.context)
	case at.URL == "":
		at.URL = os.Getenv("STEGA_URL")
	}
	if at.URL == "" && config.Current != "" {
		if at, err = config.place(config.Current); err == nil && token != "" {
			at.Token, at.From = token, "STEGA_TOKEN"
		}
		return at, err
	}
	if at.URL == "" {
		at.URL = defaultURL
	}
	if at.Token == "" {
		at.Token, at.From = config.tokenOf(at.URL)
	}
	return at, nil
}

// localToken is the token that "stega up" left for the programs of its user.
func (g *globals) localToken() (token, from string) {
	from = g.localTokenFile()
	b, err := os.ReadFile(from)
	if err != nil {
		return "", ""
	}
	return strings.TrimSpace(string(b)), from
}

func (g *globals) localTokenFile() string { return filepath.Join(dataFolder(), "token") }

// isLocal reports whether a URL is of the server whose token "stega up" left in the data folder.
func isLocal(server string) bool {
	return same(server, defaultURL) || os.Getenv("STEGA_DATA") != "" && loopback(server)
}

// loopback reports whether a URL is of this machine, by the address that only it has.
func loopback(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// same reports whether two URLs are of the same server.
func same(a, b string) bool {
	x, err := url.Parse(a)
	y, other := url.Parse(b)
	return err == nil && other == nil && x.Scheme == y.Scheme && x.Host == y.Host &&
		strings.TrimRight(x.Path, "/") == strings.TrimRight(y.Path, "/")
}

// connect is a client of the server: through the user's daemon when there is one and --direct does not forbid it,
// else straight to it.
func (g *globals) connect(ctx context.Context) (*client.Client, error) {
	at, err := g.place()
	if err != nil {
		return nil, err
	}
	g.at = at
	if !g.direct && at.TLS == (clientTLS{}) {
		if c := throughDaemon(ctx, at, &g.noticed); c != nil {
			return c, nil
		}
	}
	return at.client()
}

// client is a client of the server itself.
func (p place) client() (*client.Client, error) {
	config, err := p.TLS.config()
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{
		URL: p.URL, Token: p.Token, Prove: p.Local, TLS: config, UserAgent: "stega-cli/" + version().Version,
		RetryFor: 10 * time.Second,
	})
}

// exposed reports whether the token goes over the network for others to read.
func (p place) exposed() bool {
	return p.Token != "" && strings.HasPrefix(strings.ToLower(p.URL), "http:") && !loopback(p.URL)
}

// action is what a command does with a client.
type action func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error

// run connects and does something that may take as long as it takes.
func (g *globals) run(do action) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		cl, err := g.connect(c.Context())
		if err != nil {
			return err
		}
		if g.at.exposed() {
			say(c, "WARNING: the token is sent to %s unencrypted, and can be read on the way; use https", g.at.URL)
		}
		defer cl.Close()
		err = do(c.Context(), c, cl, args)
		g.noticed.print(c, g.at)
		return g.blame(spokenFault(c, err))
	}
}

// blame says where a token is from that the server does not take.
func (g *globals) blame(err error) error {
	f, ok := errors.AsType[*fault.Fault](err)
	if !ok || f.Kind != fault.KindUnauthorized || f.Code == client.CodeCertificateRequired {
		return err
	}
	said := *f
	if g.at.Token == "" {
		return said.WithHint("log in with: stega login; or set STEGA_TOKEN")
	}
	return said.WithHint("the token is from %s; log in again with: stega login", g.at.From)
}

// read connects and asks something, for at most the time of --timeout.
func (g *globals) read(do action) func(*cobra.Command, []string) error {
	return g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
		ctx, cancel := g.limit(ctx)
		defer cancel()
		return do(ctx, c, cl, args)
	})
}

func (g *globals) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if g.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, g.timeout, g.late())
}

// late is the fault of a server that did not answer within --timeout.
func (g *globals) late() error {
	return fault.New(fault.KindTimeout, "timeout", "%s did not answer within %s", g.at.URL, g.timeout).
		WithHint("wait longer with --timeout; check readiness with: stega health")
}
