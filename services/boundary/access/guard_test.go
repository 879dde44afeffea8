package access

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/api"
	"stega/rest"
)

// example is a path of a route.
func example(r rest.Route) string {
	path := r.Path
	for _, name := range []string{"id", "symbol", "topic", "service"} {
		path = strings.ReplaceAll(path, "{"+name+"}", "x-"+name)
	}
	return path
}

// Every kind of wrong token, on every path, from elsewhere and from this machine.
func TestEveryPathAsksForItsToken(t *testing.T) {
	t.Parallel()
	clock, notes := newClock(), &notebook{}
	a := New(open(t, sqlite(t)), Options{
		Now:     clock.now,
		Limits:  Limits{Rate: -1},
		Log:     notes.log(),
		Metrics: prometheus.NewRegistry(),
		Service: "the secret between services",
		Local:   Admin,
	})
	stop := run(t, a)
	var secrets []string
	token := func(name string, scope Scope, expires time.Duration) string {
		made, text, err := a.tokens.create(t.Context(), name, scope, expires)
		require.NoError(t, err)
		if name == "revoked" {
			revoke(t, a, made.ID)
		}
		secrets = append(secrets, text)
		return text
	}
	of := map[Scope]string{
		Read:  token("reader", Read, 0),
		Write: token("writer", Write, 0),
		Admin: token("boss", Admin, 0),
	}
	unknown, _ := newSecret()
	wrong := map[string]string{
		"Bearer " + unknown: "token_unknown", "Bearer " + token("expired", Admin, time.Minute): "token_expired",
		"Bearer " + token("revoked", Admin, 0): "token_revoked", "Bearer nonsense": "token_unknown",
		"Bearer ": "token_malformed", "Basic eDp5": "token_malformed",
		of[Admin]: "token_malformed", "Bearer " + of[Admin] + "x": "token_unknown",
		"Bearer " + strings.ToLower(of[Admin]): "token_unknown",
		"Bearer the secret between services":   "token_unknown", // the boundary takes tokens only
	}
	clock.pass(time.Hour)
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, known := From(r.Context())
		w.Header().Set("Who", who.Name)
		w.Header().Set("Known", strconv.FormatBool(known))
		w.WriteHeader(http.StatusNoContent)
	})
	far, near := a.Wrap(outside, paths, next), a.Wrap(inside, paths, next)
	strict := New(open(t, sqlite(t)), Options{Limits: Limits{Rate: -1}}).Wrap(inside, paths, next)
	here := []string{"Remote", "127.0.0.1:5", "Host", "127.0.0.1:8420"}
	for _, r := range append(paths.Routes(), rest.Route{Method: "GET", Path: "/v1/unheard/of", Scope: Admin},
		rest.Route{Method: "PATCH", Path: "/v1/portfolios", Scope: Admin}) {
		path := example(r)
		if r.Scope == Open {
			assert.Equal(t, 204, ask(t, far, r.Method, path, "").Code, path)
			continue
		}
		missing := ask(t, far, r.Method, path, "")
		assert.Equal(t, 401, missing.Code, path)
		assert.Equal(t, "token_missing", missing.code())
		assert.Equal(t, `Bearer realm="stega"`, missing.Header().Get("WWW-Authenticate"))
		missing = ask(t, strict, r.Method, path, "", here...)
		assert.Equal(t, 401, missing.Code, "%s on loopback", path)
		assert.Equal(t, "token_missing", missing.code())
		for _, way := range []string{"stega api PATH", "stega open", "file token", "--local-access"} {
			assert.Contains(t, missing.Body.String(), way)
		}
		for header, code := range wrong {
			for _, h := range []http.Handler{far, near} {
				got := ask(t, h, r.Method, path, "", append([]string{"Authorization", header}, here...)...)
				assert.Equal(t, 401, got.Code, "%s %s", path, code)
				assert.Equal(t, code, got.code())
				assert.Contains(t, got.Header().Get("WWW-Authenticate"), "invalid_token")
				assert.Empty(t, got.Header().Get("Who"))
			}
		}
		for scope, text := range of {
			got := ask(t, far, r.Method, path, "", bearer(text)...)
			if scope.Covers(r.Scope) {
				assert.Equal(t, 204, got.Code, "%s with %s", path, scope)
				assert.NotEmpty(t, got.Header().Get("Who"))
				continue
			}
			assert.Equal(t, 403, got.Code, "%s with %s", path, scope)
			assert.Equal(t, "scope_missing", got.code())
			assert.Contains(t, got.Body.String(), "scope "+string(r.Scope), "it says which scope it takes")
			assert.Contains(t, got.Header().Get("WWW-Authenticate"), `scope="`+string(r.Scope)+`"`)
		}
		got := ask(t, near, r.Method, path, "", here...)
		if (route{Route: r}).makesToken() {
			assert.Equal(t, 401, got.Code, "%s outlives the setting", path)
		} else {
			assert.Equal(t, 204, got.Code, path)
			assert.Equal(t, "local", got.Header().Get("Who"))
		}
		twice := ask(t, far, r.Method, path, "", "Authorization", "Bearer "+of[Admin], "Authorization",
			"Bearer "+of[Admin])
		assert.Equal(t, 401, twice.Code)
	}
	stop()
	entries, err := a.audit.list(t.Context(), 1000, "", "", "")
	require.NoError(t, err)
	audited, err := json.Marshal(entries)
	require.NoError(t, err)
	for _, secret := range append(secrets, unknown, "the secret between") {
		assert.NotContains(t, notes.String(), secret)
		assert.NotContains(t, string(audited), secret)
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	assert.True(t, Admin.Covers(Write) && Admin.Covers(Read) && Write.Covers(Read) && Read.Covers(Read) &&
		Read.Covers(Open))
	assert.False(t, Read.Covers(Write) || Write.Covers(Admin) || Open.Covers(Read) || Scope("root").Covers(Open) ||
		Scope("root").Covers(Read))
}

func TestPathsAreFoundAsTheyWereSent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, path string
		scope        Scope
		command      string
	}{
		{"GET", "/healthz", Open, ""},
		{"HEAD", "/readyz", Open, ""},
		{"POST", "/healthz", Admin, ""},
		{"GET", "/healthz/", Admin, ""},
		{"GET", "//healthz", Admin, ""},
		{"GET", "/Healthz", Admin, ""},
		{"GET", "/%68ealthz", Admin, ""},
		{"GET", "/v1/portfolios/x", Read, ""},
		{"GET", "/v1/portfolios/x%2fy", Admin, ""},
		{"GET", "/v1/portfolios/..", Admin, ""},
		{"GET", "/v1/portfolios/%2e%2e", Admin, ""},
		{"GET", "/v1/portfolios/", Admin, ""},
		{"GET", "/v1/portfolios/a/b", Admin, ""},
		{"GET", "/v1/prices/%5EGSPC", Read, ""},
		{"get", "/v1/portfolios", Admin, ""},
		{"POST", "/v1/rebuild/returns", Admin, "returns.rebuild"},
		{"POST", "/v1/events/portfolio.created", Admin, "publish portfolio.created"},
		{"DELETE", "/v1/portfolios/x", Write, "portfolio.delete"},
		{"", "", Admin, ""},
		{"GET", "*", Admin, ""},
	} {
		found := find(paths, c.method, c.path)
		assert.Equal(t, c.scope, found.Scope, "%s %s", c.method, c.path)
		assert.Equal(t, c.command, found.Command, "%s %s", c.method, c.path)
	}
}

func TestLocalAccessIsForProgramsOfThisMachine(t *testing.T) {
	t.Parallel()
	db := open(t, sqlite(t))
	a, none, reads := New(db, Options{Local: Admin}), New(db, Options{}), New(db, Options{Local: Read})
	for _, c := range []struct {
		name     string
		listener net.Addr
		headers  []string
		in       bool
	}{
		{"by number", inside, []string{"Remote", "127.0.0.1:9", "Host", "127.0.0.1:8420"}, true},
		{"by name", inside, []string{"Remote", "127.0.0.1:9", "Host", "LocalHost"}, true},
		{"by IPv6", &net.TCPAddr{IP: net.IPv6loopback}, []string{"Remote", "[::1]:9", "Host", "[::1]:8420"}, true},
		{"by IPv6 without a port", &net.TCPAddr{IP: net.IPv6loopback}, []string{"Remote", "[::1]:9", "Host", "[::1]"},
			true},
		{"by IPv4 in IPv6", inside, []string{"Remote", "[::ffff:127.0.0.1]:9", "Host", "localhost:1"}, true},
		{"a page of its own", inside,
			[]string{"Remote", "127.0.0.1:9", "Host", "localhost:8420", "Origin", "http://localhost:8420"}, true},
		{"a link of another site", inside, []string{"Remote", "127.0.0.1:9", "Host", "localhost", "Sec-Fetch-Site",
			"cross-site", "Sec-Fetch-Mode", "navigate"}, false},
		{"a frame of another site", inside, []string{"Remote", "127.0.0.1:9", "Host", "localhost", "Sec-Fetch-Site",
			"same-site", "Sec-Fetch-Mode", "navigate"}, false},
		{"a private address", inside, []string{"Remote", "172.18.0.1:9", "Host", "localhost"}, false},
		{"for a client of a content network", inside,
			[]string{"Remote", "127.0.0.1:9", "Host", "localhost", "CF-Connecting-IP", "192.0.2.1"}, false},
		{"for a proxy's port", inside,
			[]string{"Remote", "127.0.0.1:9", "Host", "localhost", "X-Forwarded-Port", "443"}, false},
		{"from elsewhere", inside, []string{"Remote", "192.0.2.1:9", "Host", "localhost"}, false},
		{"from nowhere", inside, []string{"Remote", "", "Host", "localhost"}, false},
		{"a listener that others reach", outside, []string{"Remote", "127.0.0.1:9", "Host", "localhost"}, false},
		{"no listener", nil, []string{"Remote", "127.0.0.1:9", "Host", "localhost"}, false},
		{"a name that somebody lets point here", inside, []string{"Remote", "127.0.0.1:9", "Host", "evil.example:8420"},
			false},
		{"a name that only looks like this machine", inside,
			[]string{"Remote", "127.0.0.1:9", "Host", "localhost.evil.example"}, false},
		{"a number that only looks like this machine", inside,
			[]string{"Remote", "127.0.0.1:9", "Host", "127.0.0.1.evil.example"}, false},
		{"a user in the name", inside, []string{"Remote", "127.0.0.1:9", "Host", "localhost@evil.example"}, false},
		{"a port that is none", inside, []string{"Remote", "127.0.0.1:9", "Host", "localhost:80@evil.example"}, false},
		{"no name", inside, []string{"Remote", "127.0.0.1:9", "Host", ""}, false},
		{"a page of another site", inside,
			[]string{"Remote", "127.0.0.1:9", "Host", "localhost:8420", "Origin", "https://evil.example"}, false},
		{"a page of another port", inside,
			[]string{"Remote", "127.0.0.1:9", "Host", "localhost:8420", "Origin", "http://localhost:3000"}, false},
		{"a page of another scheme", inside,
			[]string{"Remote", "127.0.0.1:9", "Host", "localhost:8420", "Origin", "https://localhost:8420"}, false},
		{"a page in a sandbox", inside, []string{"Remote", "127.0.0.1:9", "Host", "localhost:8420", "Origin", "null"},
			false},
		{"two origins", inside, []string{"Remote", "127.0.0.1:9", "Host", "localhost", "Origin", "http://localhost",
			"Origin", "http://localhost"}, false},
		{"an image of another site", inside, []string{"Remote", "127.0.0.1:9", "Host", "localhost", "Sec-Fetch-Site",
			"cross-site", "Sec-Fetch-Mode", "no-cors"}, false},
		{"for a proxy", inside, []string{"Remote", "127.0.0.1:9", "Host", "localhost", "X-Forwarded-For", "192.0.2.1"},
			false},
		{"for a proxy that says it is here", inside,
			[]string{"Remote", "127.0.0.1:9", "Host", "localhost", "X-Forwarded-For", "127.0.0.1"}, false},
		{"for a proxy that says nothing", inside,
			[]string{"Remote", "127.0.0.1:9", "Host", "localhost", "Forwarded", ""}, false},
		{"by way of another", inside, []string{"Remote", "127.0.0.1:9", "Host", "localhost", "Via", "1.1 proxy"},
			false},
	} {
		got := ask(t, door(a, c.listener), "GET", "/v1/symbols", "", c.headers...)
		assert.Equal(t, c.in, got.Code == 204, "%s: %d", c.name, got.Code)
		if !c.in {
			assert.Equal(t, "token_missing", got.code(), c.name)
		}
		post := ask(t, door(a, c.listener), "POST", "/v1/portfolios", "", c.headers...)
		assert.Equal(t, c.in, post.Code == 204, "POST %s: %d", c.name, post.Code)
		assert.Equal(t, 401, ask(t, door(none, c.listener), "GET", "/v1/symbols", "", c.headers...).Code,
			"%s, where nothing is loosened", c.name)
		if c.in {
			assert.Equal(t, 204, ask(t, door(reads, c.listener), "GET", "/v1/symbols", "", c.headers...).Code, c.name)
			assert.Equal(t, 403, ask(t, door(reads, c.listener), "POST", "/v1/portfolios", "", c.headers...).Code,
				c.name)
		}
	}
}

// A browser cannot send a header with a WebSocket: it is let through without a caller, and its first message has the
// token.
func TestAStreamMayShowItsTokenLater(t *testing.T) {
	t.Parallel()
	a := New(open(t, sqlite(t)), Options{})
	h := door(a, outside)
	upgrade := []string{"Upgrade", "websocket", "Connection", "Upgrade"}
	got := ask(t, h, "GET", "/v1/stream", "", upgrade...)
	assert.Equal(t, 204, got.Code)
	assert.Empty(t, got.Header().Get("Who"))
	assert.Equal(t, 401, ask(t, h, "GET", "/v1/stream", "").Code, "server-sent events need it at once")
	assert.Equal(t, 401, ask(t, h, "GET", "/v1/stream", "", append(upgrade, bearer("wrong")...)...).Code)
	assert.Equal(t, 401, ask(t, h, "GET", "/v1/portfolios", "", upgrade...).Code)
	_, text, err := a.tokens.create(t.Context(), "x", Read, 0)
	require.NoError(t, err)
	caller, err := a.Authorize(t.Context(), text, Read)
	require.NoError(t, err)
	assert.Equal(t, "x", caller.Name)
	_, err = a.Authorize(t.Context(), text, Write)
	require.ErrorContains(t, err, "scope write")
	_, err = a.Authorize(t.Context(), "", Read)
	require.Error(t, err)
}

func TestWithoutADatabaseTheServicesSecretIsAsked(t *testing.T) {
	t.Parallel()
	a := New(nil, Options{Service: "sixteen letters!"})
	stop := run(t, a)
	h := a.Wrap(outside, paths, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	assert.Equal(t, 204, ask(t, h, "POST", "/v1/portfolios", "", bearer("sixteen letters!")...).Code)
	text, _ := newSecret()
	assert.Equal(t, 401, ask(t, h, "POST", "/v1/portfolios", "", bearer(text)...).Code)
	assert.Equal(t, 401, ask(t, h, "POST", "/v1/portfolios", "").Code)
	assert.Equal(t, 204, ask(t, h, "GET", "/readyz", "").Code)
	none := New(nil, Options{}).Wrap(outside, paths, h)
	assert.Equal(t, 401, ask(t, none, "GET", "/v1/symbols", "", bearer("")...).Code)
	stop()
}

func TestWhoAsksTooOftenWaits(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := New(open(t, sqlite(t)), Options{Now: clock.now, Limits: Limits{Rate: 0.5, Burst: 3}})
	h := door(a, outside)
	_, one, err := a.tokens.create(t.Context(), "one", Read, 0)
	require.NoError(t, err)
	_, other, err := a.tokens.create(t.Context(), "other", Read, 0)
	require.NoError(t, err)
	for range 3 {
		assert.Equal(t, 204, ask(t, h, "GET", "/v1/symbols", "", bearer(one)...).Code)
	}
	got := ask(t, h, "GET", "/v1/symbols", "", bearer(one)...)
	assert.Equal(t, 429, got.Code)
	assert.Equal(t, "rate_limited", got.code())
	assert.Equal(t, "2", got.Header().Get("Retry-After"))
	assert.Equal(t, 204, ask(t, h, "GET", "/v1/symbols", "", bearer(other)...).Code, "another token has its own limit")
	clock.pass(time.Second)
	assert.Equal(t, "1", ask(t, h, "GET", "/v1/symbols", "", bearer(one)...).Header().Get("Retry-After"))
	clock.pass(time.Second)
	assert.Equal(t, 204, ask(t, h, "GET", "/v1/symbols", "", bearer(one)...).Code,
		"a request that was refused costs nothing")

	t.Log("requests without a token count against the address, and so do those with what cannot be one")
	for _, guess := range []string{"", "x"} {
		seen := map[int]int{}
		for i := range 10 {
			headers := []string{"Remote", "[2001:db8:" + guess + "1::" + strconv.Itoa(i) + "]:1"}
			if guess != "" {
				headers = append([]string{"Remote", "198.51.100.7:1"}, bearer("stega_guess")...)
			}
			seen[ask(t, h, "GET", "/v1/symbols", "", headers...).Code]++
		}
		assert.Equal(t, map[int]int{401: 3, 429: 7}, seen)
	}
	t.Log("a token that nobody knew yet comes in from an address that has no more requests without one")
	_, late, err := a.tokens.create(t.Context(), "late", Read, 0)
	require.NoError(t, err)
	assert.Equal(t, 204,
		ask(t, h, "GET", "/v1/symbols", "", append([]string{"Remote", "198.51.100.7:1"}, bearer(late)...)...).Code)
	t.Log("looks for tokens have a limit of their own")
	wrong, _ := newSecret()
	seen := map[int]int{}
	for range 3 * lookupBurst {
		seen[ask(t, h, "GET", "/v1/symbols", "",
			append([]string{"Remote", "198.51.100.7:1"}, bearer(wrong)...)...).Code]++
	}
	assert.Equal(t, map[int]int{401: lookupBurst, 429: 2 * lookupBurst}, seen)
	assert.Equal(t, 401, ask(t, h, "GET", "/v1/symbols", "", "Remote", "[2001:db8:2::1]:1").Code,
		"another network has its own")
	assert.Equal(t, 204, ask(t, h, "GET", "/healthz", "", "Remote", "198.51.100.7:1").Code)
}

// Requests that arrive together with a token that is not known yet share one look for it, which counts once.
func TestManyRequestsMayBeginATokenTogether(t *testing.T) {
	t.Parallel()
	a := New(open(t, sqlite(t)), Options{})
	g := a.Wrap(outside, paths, nil).(*guard)
	_, secret, err := a.tokens.create(t.Context(), "one", Read, 0)
	require.NoError(t, err)
	hash, ok := hashOf(secret)
	require.True(t, ok)
	r := httptest.NewRequest(http.MethodGet, "/v1/symbols", nil)
	release, ended := make(chan struct{}), make(chan error, 8*lookupBurst)
	load := g.counted(r, func(ctx context.Context, hash digest) (*row, error) {
		<-release
		return a.tokens.load(ctx, hash)
	})
	for range cap(ended) {
		go func() {
			_, err := a.tokens.valid(t.Context(), hash, load)
			ended <- err
		}()
	}
	close(release)
	for range cap(ended) {
		require.NoError(t, <-ended)
	}
}

func TestTheMemoryOfLimitsIsBounded(t *testing.T) {
	t.Parallel()
	clock := newClock()
	l := newLimiters(Limits{Rate: 1, Burst: 1}, clock.now)
	assert.Zero(t, l.take("first"))
	for i := range 2 * maxLimiters {
		l.take(strconv.Itoa(i))
	}
	assert.Len(t, l.of, maxLimiters)
	assert.Positive(t, l.take("first"), "newcomers push nobody out")
	assert.Positive(t, l.take("one more"), "they share what is left")
	clock.pass(2 * time.Second)
	assert.Zero(t, l.take("one more"))
	assert.Len(t, l.of, 1, "who was away is forgotten")
	none := newLimiters(Limits{Rate: -1}, clock.now)
	for range 10_000 {
		assert.Zero(t, none.take("x"))
	}
}

func TestRequestsKeepTheirIds(t *testing.T) {
	t.Parallel()
	h := door(New(open(t, sqlite(t)), Options{}), outside)
	assert.Equal(t, "mine-1", ask(t, h, "GET", "/v1/symbols", "", "X-Request-Id", "mine-1").
		Header().Get("X-Request-Id"))
	got := ask(t, h, "GET", "/v1/symbols", "", "X-Request-Id", strings.Repeat("x", 65))
	assert.Len(t, got.Header().Get("X-Request-Id"), 26)
	var p api.Problem
	got.json(&p)
	assert.Equal(t, got.Header().Get("X-Request-Id"), p.Instance)
}
