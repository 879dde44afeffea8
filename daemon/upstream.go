package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stega/client"
	"stega/fault"
	"stega/text"
)

// maxUpstreams bounds how many servers one daemon serves.
const maxUpstreams = 32

// upstream is one server: its connection, its queue, and its kept answers. Requests with another token than the one in
// the user's settings have an upstream of their own: no client is answered, and no queued write is sent, with the
// rights of another token.
type upstream struct {
	url     string
	base    *url.URL
	token   string // of requests that bring another than the one in the settings; empty: that one
	servers Servers
	life    context.Context // ends with the daemon
	log     *slog.Logger
	http    *http.Client
	dir     string
	queue   *queue
	answers *answers      // nil when the disk does not take it
	kick    chan struct{} // wakes the sender
	watched sync.WaitGroup

	local func(token string) bool
	prove atomic.Bool // a client requires that the server proves to know the token

	mu   sync.Mutex
	last string // the token that was used last
	link Link
}

// Link is the state of the connection to a server, as the last request found it.
type Link struct {
	State string       `json:"state"` // unused, connected, away, refused
	Since time.Time    `json:"since"`
	Fault *fault.Fault `json:"error,omitempty"`
}

// The states of a link.
const (
	Unused    = "unused"
	Connected = "connected"
	Away      = "away"
	Refused   = "refused" // the token
)

// proving returns the token that the server has to prove to know; empty when any server may have the token.
func (u *upstream) proving() string {
	token := u.bearer()
	if token != "" && strings.HasPrefix(u.url, "http:") && (u.prove.Load() || u.local != nil && u.local(token)) {
		return token
	}
	return ""
}

// normal returns a server's URL in its canonical form.
func normal(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fault.Usage("url_invalid", "%q is not a URL of a server", text.RedactURL(server)).
			WithHint("a URL looks like http://127.0.0.1:8420")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + strings.TrimRight(u.Path, "/"), nil
}

// folder returns the folder for a server, and for a token that is not in the settings. Its name is readable, and the
// hash in it makes it unique.
func folder(paths Paths, server, token string) string {
	if token != "" {
		token = " " + token
	}
	sum := sha256.Sum256([]byte(server + token))
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, strings.TrimPrefix(strings.TrimPrefix(server, "https://"), "http://"))
	return filepath.Join(paths.servers(), name[:min(len(name), 64)]+"-"+hex.EncodeToString(sum[:4]))
}

// upstream returns the server of a URL, which is opened at its first request. Without a token, requests to it carry
// that
// of the settings.
func (d *Daemon) upstream(server, token string, prove bool) (*upstream, error) {
	server, err := normal(server)
	if err != nil {
		return nil, err
	}
	if token == d.o.Servers.Token(server) {
		token = ""
	}
	key := server + " " + token
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.upstreams[key]; u != nil {
		if err := u.mustProve(prove); err != nil {
			return nil, err
		}
		u.identify()
		return u, nil
	}
	if err := d.ctx.Err(); err != nil {
		return nil, stopping()
	}
	if len(d.upstreams) >= maxUpstreams {
		return nil, fault.Unavailable("servers_too_many", "the daemon has connections to %d servers already",
			maxUpstreams).
			WithHint("restart it: stega daemon restart")
	}
	u, err := openUpstream(d.ctx, &d.o, server, token, prove)
	if err != nil {
		return nil, err
	}
	d.upstreams[key] = u
	d.group.Go(func() error { u.send(d.ctx); return nil })
	return u, nil
}

func stopping() *fault.Fault {
	return fault.Unavailable("daemon_stopping", "the daemon is ending").WithHint("try again")
}

// mustProve requires from now on that the server proves to know the token, also after a restart of the daemon.
func (u *upstream) mustProve(prove bool) error {
	if !prove || u.prove.Swap(true) || u.token == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(u.dir, "prove"), nil, 0o600); err != nil {
		return unkept("the setting of its server", err)
	}
	return nil
}

func openUpstream(ctx context.Context, o *Options, server, token string, prove bool) (*upstream, error) {
	base, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	u := &upstream{
		url: server, base: base, token: token, servers: o.Servers, life: ctx, log: o.Log.With("server", server),
		dir:  folder(o.Paths, server, token),
		kick: make(chan struct{}, 1), local: o.Local, link: Link{State: Unused, Since: time.Now()},
	}
	dialer := net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}
	u.http = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: client.Proving(dialer.DialContext, u.proving),
			TLSHandshakeTimeout: 5 * time.Second, MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second,
			ExpectContinueTimeout: time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if err := errors.Join(private(o.Paths.servers()), private(u.dir)); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(u.dir, "url"), []byte(server+"\n"), 0o600); err != nil {
		u.log.Warn("the folder of the server cannot be labelled", "error", err)
	}
	u.last = u.bearer()
	if token != "" { // for what is queued when the daemon ends
		if err := os.WriteFile(filepath.Join(u.dir, "token"), []byte(token+"\n"), 0o600); err != nil {
			return nil, unkept("the token of its writes", err)
		}
	}
	if err := u.mustProve(prove); err != nil {
		return nil, err
	}
	if u.queue, err = openQueue(ctx, filepath.Join(u.dir, "queue.db"), server); err != nil {
		return nil, err
	}
	if u.answers, err = openAnswers(ctx, filepath.Join(u.dir, "cache.db"), o.CacheBytes, u.log); err != nil {
		u.log.Warn("no answers are kept", "error", err)
	}
	return u, nil
}

// forgotten is the time after which the files for an unused server without queued writes are removed.
const forgotten = 90 * 24 * time.Hour

// resume opens the servers that writes are queued for, and removes the files of those that are long unused.
func (d *Daemon) resume() {
	dirs, err := os.ReadDir(d.o.Paths.servers())
	if err != nil {
		return
	}
	for _, entry := range dirs {
		dir := filepath.Join(d.o.Paths.servers(), entry.Name())
		server, err := os.ReadFile(filepath.Join(dir, "url"))
		if err != nil {
			continue
		}
		token, err := os.ReadFile(filepath.Join(dir, "token"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			d.log.Error("a token cannot be read", "folder", dir, "error", err)
			continue
		}
		n, err := waiting(d.ctx, filepath.Join(dir, "queue.db"))
		if err == nil && n > 0 {
			_, missing := os.Stat(filepath.Join(dir, "prove"))
			_, err = d.upstream(strings.TrimSpace(string(server)), strings.TrimSpace(string(token)), missing == nil)
		}
		if err != nil {
			d.log.Error("a queue cannot be opened", "folder", dir, "error", err)
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, "url")); err == nil && n == 0 &&
			(len(token) > 0 || time.Since(info.ModTime()) > forgotten) {
			_ = os.RemoveAll(dir)
		}
	}
}

// waiting returns how many writes are in a queue.
func waiting(ctx context.Context, path string) (n int, err error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	q, err := openQueue(ctx, path, "")
	if err != nil {
		return 0, err
	}
	d, err := q.depth(ctx)
	return d.Queued + d.Sending + d.Accepted + d.Failed, errors.Join(err, q.close())
}

// closeUpstreams closes the files and connections of all servers.
func (d *Daemon) closeUpstreams() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, u := range d.upstreams {
		err := u.queue.close()
		if u.answers != nil {
			err = errors.Join(err, u.answers.close())
		}
		if err != nil {
			u.log.Warn("closing", "error", err)
		}
		u.http.CloseIdleConnections()
	}
}

// opened returns the servers that are open.
func (d *Daemon) opened() []*upstream {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*upstream, 0, len(d.upstreams))
	for _, u := range d.upstreams {
		all = append(all, u)
	}
	return all
}

// bearer returns the token for the server.
func (u *upstream) bearer() string {
	if u.token != "" {
		return u.token
	}
	return u.servers.Token(u.url)
}

// identify wakes the sender when the settings have another token: what was refused is tried again.
func (u *upstream) identify() {
	token := u.bearer()
	u.mu.Lock()
	changed := token != u.last
	u.last = token
	u.mu.Unlock()
	if changed {
		u.nudge()
	}
}

// nudge wakes the sender.
func (u *upstream) nudge() {
	select {
	case u.kick <- struct{}{}:
	default:
	}
}

// answered records that the server answered with a status. When it was away before, the sender wakes.
func (u *upstream) answered(status int) {
	switch {
	case gone(status):
		u.linked(Away, fault.Unavailable("server_unavailable", "%s answers with status %d", u.url, status))
	case status == http.StatusUnauthorized:
		u.linked(
			Refused,
			fault.New(fault.KindUnauthorized, "token_refused", "%s refuses the token", u.url).
				WithHint("log in with: stega login"),
		)
	case u.linked(Connected, nil):
		u.nudge()
	}
}

// unreached records that the server did not answer, and returns the fault of it.
func (u *upstream) unreached(err error) error {
	f := u.away(err)
	u.linked(Away, f)
	return f
}

// linked sets the state of the link, and reports whether it is another than before.
func (u *upstream) linked(state string, f *fault.Fault) (changed bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.link.Fault = f
	if changed = u.link.State != state; changed {
		u.log.Info("the connection changed", "state", state, "was", u.link.State)
		u.link.State, u.link.Since = state, time.Now()
	}
	return changed
}

func (u *upstream) connected() bool { return u.linkNow().State == Connected }

func (u *upstream) linkNow() Link {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.link
}

// away returns the fault of a server that does not answer.
func (u *upstream) away(err error) *fault.Fault {
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f
	}
	f := fault.Unavailable(client.CodeServerUnavailable, "nothing answers at %s", u.url).
		WithHint("start it with: stega up; or name its address with --url, STEGA_URL or stega login")
	if err != nil {
		f = f.Because(err)
	}
	return f
}
