package daemon

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"stega/client"
	"stega/fault"
)

// How long a server may take to begin an answer: less when there is one in the cache.
const (
	patience      = 2 * time.Minute
	patienceStale = 5 * time.Second
)

// muteFor is how long a server that took long to say nothing is not asked for what is in the cache.
const muteFor = 5 * time.Second

var errMute = errors.New("it did not answer just now")

// uncached are the paths that are of the moment, secret, or without an end.
var uncached = []string{"/v1/operations", "/v1/events", "/v1/stream", "/v1/dead", "/v1/tokens", "/v1/audit"}

// cacheKey is what an answer is cached under; empty when it is not.
func cacheKey(r *http.Request) string {
	if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, "/v1/") || r.Header.Get("Prefer") != "" || r.Header.Get("Range") != "" ||
		strings.Contains(r.Header.Get("Accept"), "text/event-stream") || strings.Contains(r.Header.Get("Cache-Control"), "no-cache") {
		return ""
	}
	for _, prefix := range uncached {
		if r.URL.Path == prefix || strings.HasPrefix(r.URL.Path, prefix+"/") {
			return ""
		}
	}
	query := r.URL.Query()
	if query.Has("after") {
		return ""
	}
	return r.URL.EscapedPath() + "?" + query.Encode()
}

// read answers a read: from the cache when nothing can have changed, else from the server, and from the cache again
// when that is away, unless the daemon has told of something newer.
func (u *upstream) read(w http.ResponseWriter, r *http.Request) error {
	key := cacheKey(r)
	if key == "" || u.cache == nil {
		return u.pass(w, r)
	}
	if u.fresh.fresh(key) {
		if a, ok := u.cache.get(r.Context(), key); ok {
			serve(w, r, a, "fresh")
			return nil
		}
	}
	old, have := u.cache.get(r.Context(), key)
	t := u.fresh.begin()
	answer, err := u.ask(r, old, have)
	if err != nil {
		if have && r.Context().Err() == nil && u.fresh.outdated(key, dependsOn(r.URL.Path, r.URL.Query())) {
			return fault.Unavailable("answer_outdated", "nothing answers at %s, and what is cached may have changed since", u.url).
				WithHint("try again when the server is there").Because(err)
		}
		if have && r.Context().Err() == nil {
			u.log.Debug("answered from the cache", "path", r.URL.Path, "error", err)
			age := max(int(time.Since(old.readAt).Seconds()), 0)
			serve(w, r, old, "stale; age="+strconv.Itoa(age))
			return nil
		}
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	return u.take(w, r, key, t, old, answer)
}

// ask asks the server, for what changed since the cached answer when there is one. A server that says that it is away
// is.
func (u *upstream) ask(r *http.Request, old answer, have bool) (*http.Response, error) {
	if have && time.Now().UnixNano() < u.mute.Load() {
		return nil, u.away(errMute)
	}
	ctx, cancel := context.WithCancel(r.Context())
	context.AfterFunc(r.Context(), cancel) // the answer is read as long as the request lasts
	out, err := u.request(ctx, r)
	if err != nil {
		return nil, err
	}
	out.Header.Del("If-None-Match")
	limit := patience
	if have {
		limit = patienceStale
		if tag := old.header.Get("Etag"); tag != "" {
			out.Header.Set("If-None-Match", tag)
		}
	}
	began := time.Now()
	late := time.AfterFunc(limit, cancel)
	answer, err := u.http.Do(out)
	if !late.Stop() && err == nil {
		_ = answer.Body.Close()
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		if time.Since(began) > time.Second && r.Context().Err() == nil {
			u.mute.Store(time.Now().Add(muteFor).UnixNano())
		}
		return nil, u.away(err)
	}
	if have && gone(answer.StatusCode) {
		_ = answer.Body.Close()
		return nil, u.away(errors.New(answer.Status))
	}
	return answer, nil
}

// gone are the statuses of a server that is not there for the moment.
func gone(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// take passes the server's answer on, and keeps it.
func (u *upstream) take(w http.ResponseWriter, r *http.Request, key string, t ticket, old answer, a *http.Response) error {
	if a.StatusCode == http.StatusNotModified {
		old.readAt = time.Now()
		if p := a.Header.Get("Stega-Position"); p != "" {
			old.header.Set("Stega-Position", p)
		}
		u.store(r, key, t, old)
		serve(w, r, old, "revalidated")
		return nil
	}
	if a.StatusCode != http.StatusOK {
		if a.StatusCode == http.StatusNotFound || a.StatusCode == http.StatusGone {
			u.forget(r.Context(), key)
		}
		return u.copy(w, a)
	}
	body, err := io.ReadAll(io.LimitReader(a.Body, maxCached+1))
	if err != nil {
		return u.away(err)
	}
	if len(body) > maxCached { // too large to keep
		u.forget(r.Context(), key)
		copyHeader(w.Header(), a.Header)
		w.WriteHeader(a.StatusCode)
		_, _ = w.Write(body)
		_, _ = io.Copy(w, a.Body)
		return nil
	}
	fresh := answer{header: a.Header, body: body, readAt: time.Now()}
	u.store(r, key, t, fresh)
	serve(w, r, fresh, "miss")
	return nil
}

// store caches an answer unless a later read was faster.
func (u *upstream) store(r *http.Request, key string, t ticket, a answer) {
	u.storing.Lock()
	defer u.storing.Unlock()
	if !u.fresh.newest(key, t) {
		return
	}
	ctx := context.WithoutCancel(r.Context())
	if err := u.cache.put(ctx, key, a); err != nil {
		u.fresh.dropped(key)
		u.log.Warn("an answer could not be cached", "path", r.URL.Path, "error", err)
		return
	}
	facts := dependsOn(r.URL.Path, r.URL.Query())
	position, err := client.ParsePosition(a.header.Get("Stega-Position"))
	if err != nil { // an older server
		facts = nil
	}
	u.fresh.stored(key, position.Position, facts, t)
}

func (u *upstream) forget(ctx context.Context, key string) {
	u.storing.Lock()
	defer u.storing.Unlock()
	u.fresh.dropped(key)
	u.cache.drop(context.WithoutCancel(ctx), key)
}

// serve answers from the cache, or what has just gone into it.
func serve(w http.ResponseWriter, r *http.Request, a answer, how string) {
	copyHeader(w.Header(), a.header)
	w.Header().Set("Stega-Cache", how)
	w.Header().Del("Content-Length")
	if tag := a.header.Get("Etag"); tag != "" && matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(a.body)
}

func matches(wanted, tag string) bool {
	for part := range strings.SplitSeq(wanted, ",") {
		if part = strings.TrimSpace(part); part == "*" || part != "" && strings.TrimPrefix(part, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// pass passes a request through, and its answer as it comes.
func (u *upstream) pass(w http.ResponseWriter, r *http.Request) error {
	t := u.fresh.begin()
	out, err := u.request(r.Context(), r)
	if err != nil {
		return err
	}
	if r.ContentLength != 0 {
		out.Body, out.ContentLength = r.Body, r.ContentLength
	}
	a, err := u.http.Do(out)
	if err != nil {
		if r.Context().Err() != nil {
			return r.Context().Err()
		}
		return u.away(err)
	}
	defer func() { _ = a.Body.Close() }()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		u.fresh.wrote()
	}
	if p, err := client.ParsePosition(a.Header.Get("Stega-Position")); err == nil {
		u.fresh.told(p.Position, t)
	}
	return u.copy(w, a)
}

// copy passes an answer on, piece by piece.
func (u *upstream) copy(w http.ResponseWriter, a *http.Response) error {
	copyHeader(w.Header(), a.Header)
	w.WriteHeader(a.StatusCode)
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	buffer := make([]byte, 32<<10)
	for {
		n, err := a.Body.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return nil //nolint:nilerr // who asked is gone
			}
			_ = flush.Flush()
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				panic(http.ErrAbortHandler) // half an answer must not look like a whole one
			}
			return nil
		}
	}
}

func copyHeader(to, from http.Header) {
	for name, values := range from {
		to[name] = values
	}
	for _, name := range hop {
		to.Del(name)
	}
}
