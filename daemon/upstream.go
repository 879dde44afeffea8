package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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

// upstream is one server as the daemon knows it: its connections, its queue, its cache, and the feed of its pushes.
// What is asked with another token than the one in the user's settings has an upstream of its own: nobody is
// answered, and no queued write is sent, with the rights of another.
type upstream struct {
	url      string
	token    string // that is not in the settings; empty: theirs
	servers  Servers
	life     context.Context // ends with the daemon
	log      *slog.Logger
	http     *http.Client
	dir      string
	queue    *queue
	cache    *cache // nil when the disk does not take it
	fresh    *freshness
	storing  sync.Mutex // an answer and what it is as of change together
	feed     feed
	mute     atomic.Int64  // until when it is not asked for what is cached, in nanoseconds
	kick     chan struct{} // look at the queue now
	watchers sync.WaitGroup

	local func(token string) bool
	prove atomic.Bool // a client says that the token is of this machine's server

	mu   sync.Mutex
	last string // the token that was used last
}

// proving is the token that the server has to prove to know; empty when it is any server's.
func (u *upstream) proving() string {
	token := u.bearer()
	if token != "" && strings.HasPrefix(u.url, "http:") && (u.prove.Load() || u.local != nil && u.local(token)) {
		return token
	}
	return ""
}

// normal is a server's URL in the form that tells it from others.
func normal(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fault.Usage("url_invalid", "%q is not where stega can run", text.RedactURL(server)).WithHint("a URL looks like http://127.0.0.1:8420")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + strings.TrimRight(u.Path, "/"), nil
}

// folder is where the files for a server, and for a token that is not in the settings, are. Its name says enough for
// people, and the sum tells them apart.
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

// upstream is the server of a URL; it is opened when it is first asked for. Without a token, it is asked with that of
// the settings.
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
		return nil, fault.Unavailable("servers_too_many", "the daemon talks to %d servers already", maxUpstreams).WithHint("say: stega daemon restart")
	}
	u, err := openUpstream(d.ctx, &d.o, server, token, prove)
	if err != nil {
		return nil, err
	}
	d.upstreams[key] = u
	d.group.Go(func() error { u.follow(d.ctx, d.o.Build); return nil })
	d.group.Go(func() error { u.send(d.ctx); return nil })
	return u, nil
}

func stopping() *fault.Fault {
	return fault.Unavailable("daemon_stopping", "the daemon is ending").WithHint("try again")
}

// mustProve has the server prove that it knows the token from now on, also after the daemon was started anew.
func (u *upstream) mustProve(prove bool) error {
	if !prove || u.prove.Swap(true) || u.token == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(u.dir, "prove"), nil, 0o600); err != nil {
		return unkept("what its server has to prove", err)
	}
	return nil
}

func openUpstream(ctx context.Context, o *Options, server, token string, prove bool) (*upstream, error) {
	u := &upstream{
		url: server, token: token, servers: o.Servers, life: ctx, log: o.Log.With("server", server), dir: folder(o.Paths, server, token), fresh: newFreshness(), kick: make(chan struct{}, 1),
		local: o.Local,
	}
	dialer := net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}
	u.http = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: client.Proving(dialer.DialContext, u.proving),
			TLSHandshakeTimeout: 5 * time.Second, MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second, ExpectContinueTimeout: time.Second,
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
	var err error
	if u.queue, err = openQueue(ctx, filepath.Join(u.dir, "queue.db"), server); err != nil {
		return nil, err
	}
	if u.cache, err = openCache(ctx, filepath.Join(u.dir, "cache.db"), o.CacheBytes, u.log); err != nil {
		u.log.Warn("there is no cache", "error", err)
	}
	return u, nil
}

// forgotten is after how long the files for a server go that nobody asked for, and nothing is queued for.
const forgotten = 90 * 24 * time.Hour

// resume opens the servers that writes are queued for, and removes the files of those that are long forgotten.
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
		if info, err := os.Stat(filepath.Join(dir, "url")); err == nil && n == 0 && (len(token) > 0 || time.Since(info.ModTime()) > forgotten) {
			_ = os.RemoveAll(dir)
		}
	}
}

// waiting is how much is in a queue.
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

func (d *Daemon) closeUpstreams() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, u := range d.upstreams {
		err := u.queue.close()
		if u.cache != nil {
			err = errors.Join(err, u.cache.close())
		}
		if err != nil {
			u.log.Warn("closing", "error", err)
		}
		u.http.CloseIdleConnections()
	}
}

func (d *Daemon) opened() []*upstream {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*upstream, 0, len(d.upstreams))
	for _, u := range d.upstreams {
		all = append(all, u)
	}
	return all
}

// bearer is the token for the server.
func (u *upstream) bearer() string {
	if u.token != "" {
		return u.token
	}
	return u.servers.Token(u.url)
}

// identify takes note of another token in the settings: what was refused is tried again.
func (u *upstream) identify() {
	token := u.bearer()
	u.mu.Lock()
	changed := token != u.last
	u.last = token
	u.mu.Unlock()
	if changed {
		u.feed.restart()
		u.nudge()
	}
}

// nudge has the queue looked at.
func (u *upstream) nudge() {
	select {
	case u.kick <- struct{}{}:
	default:
	}
}

// hop are the headers that are between two neighbours, or for the daemon alone.
var hop = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Stega-Server", "Stega-Version", "Stega-Build", "Stega-Built", "Stega-Queue", "Stega-Prove",
}

// request is a request as it goes to the server.
func (u *upstream) request(ctx context.Context, r *http.Request) (*http.Request, error) {
	out, err := http.NewRequestWithContext(ctx, r.Method, u.url+r.URL.RequestURI(), nil)
	if err != nil {
		return nil, fault.Malformed("path_malformed", "the path %q cannot be read", r.URL.Path).Because(err)
	}
	out.Header = r.Header.Clone()
	for _, name := range hop {
		out.Header.Del(name)
	}
	out.Header.Del("Authorization")
	if token := u.bearer(); token != "" {
		out.Header.Set("Authorization", "Bearer "+token)
	}
	return out, nil
}

// away is what is said when the server does not answer.
func (u *upstream) away(err error) *fault.Fault {
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Code == client.CodeServerUnproven {
		return f
	}
	f := fault.Unavailable("server_unavailable", "nothing answers at %s", u.url).
		WithHint("start it with: stega up; or say where it runs with STEGA_URL or stega login")
	if err != nil {
		f = f.Because(err)
	}
	return f
}

func (u *upstream) String() string { return fmt.Sprintf("server %s", u.url) }
