package access

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/wait"
	"stega/rest"
)

// pages is a boundary with its pages, as a browser sees it.
func pages(a *Access) http.Handler {
	e := rest.New(rest.Options{})
	rest.Serve(e, a.Routes()...)
	e.RouteNotFound("/*", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	return a.Wrap(inside, paths, e)
}

// link makes a one-time link and returns its path.
func link(t testing.TB, h http.Handler, token, body string) string {
	t.Helper()
	got := ask(t, h, "POST", "/v1/links", body, bearer(token)...)
	require.Equal(t, 201, got.Code, "%s", got.Body)
	var l Link
	got.json(&l)
	u, err := url.Parse(l.URL)
	require.NoError(t, err)
	assert.Equal(t, "stega.example:8420", u.Host)
	return u.RequestURI()
}

// signIn uses a link, and returns the header of the cookie.
func signIn(t testing.TB, h http.Handler, path string, headers ...string) (cookie []string, answer answer) {
	t.Helper()
	answer = ask(t, h, "GET", path, "", headers...)
	for _, c := range answer.Result().Cookies() {
		assert.True(t, c.HttpOnly)
		assert.Equal(t, http.SameSiteStrictMode, c.SameSite)
		assert.Equal(t, "/", c.Path)
		assert.Equal(t, int(sessionLife.Seconds()), c.MaxAge)
		cookie = []string{"Cookie", c.Name + "=" + c.Value}
	}
	return cookie, answer
}

func TestALinkSignsABrowserInOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, at string) {
		notes := &notebook{}
		a := New(open(t, at), Options{Log: notes.log(), Limits: Limits{Rate: -1}})
		stop := run(t, a)
		h := pages(a)
		_, token, err := a.tokens.create(t.Context(), "laptop", Write, 0)
		require.NoError(t, err)
		path := link(t, h, token, "")
		var won atomic.Int32
		var session []string
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				if cookie, got := signIn(t, h, path); got.Code == http.StatusSeeOther {
					won.Add(1)
					session = cookie
					assert.Equal(t, "/", got.Header().Get("Location"))
					assert.Equal(t, "no-referrer", got.Header().Get("Referrer-Policy"))
					assert.Equal(t, "no-store", got.Header().Get("Cache-Control"))
				} else {
					assert.Equal(t, 401, got.Code)
					assert.Empty(t, cookie)
				}
			})
		}
		all.Wait()
		require.Equal(t, int32(1), won.Load(), "one of many who follow the link at once gets in")
		var me Caller
		ask(t, h, "GET", "/v1/me", "", session...).json(&me)
		assert.Equal(t, Caller{Name: "laptop", Scope: Write, Via: ViaLink}, me)
		assert.Contains(t, ask(t, h, "GET", "/", "", session...).Body.String(), "laptop")
		assert.NotContains(t, ask(t, h, "GET", "/", "").Body.String(), "laptop")
		stop()
		entries, err := a.audit.list(t.Context(), 100, "", "", "")
		require.NoError(t, err)
		var commands []string
		for _, e := range entries {
			commands = append(commands, e.Command)
			assert.NotContains(t, e.Path, "code")
		}
		assert.Contains(t, commands, "session.create")
		_, code, _ := strings.Cut(path, "code=")
		assert.NotContains(t, notes.String(), code)
	})
}

func TestWhatDoesNotUseALink(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := New(open(t, sqlite(t)), Options{Now: clock.now})
	h := pages(a)
	_, token, err := a.tokens.create(t.Context(), "laptop", Read, 0)
	require.NoError(t, err)
	path := link(t, h, token, "")
	assert.Equal(t, 405, ask(t, h, "HEAD", path, "").Code)
	assert.Equal(t, 403, ask(t, h, "GET", path, "", "Sec-Purpose", "prefetch;prerender").Code)
	assert.Equal(t, 403, ask(t, h, "GET", path, "", "Sec-Fetch-Site", "cross-site").Code)
	_, got := signIn(t, h, path, "Sec-Fetch-Site", "none")
	assert.Equal(t, http.StatusSeeOther, got.Code)

	path = link(t, h, token, "")
	clock.pass(linkLife)
	_, got = signIn(t, h, path)
	assert.Equal(t, 401, got.Code, "it has expired")
	path = link(t, h, token, "")
	id := ask(t, h, "GET", "/v1/me", "", bearer(token)...)
	require.Equal(t, 200, id.Code)
	caller, err := a.Authorize(t.Context(), token, Read)
	require.NoError(t, err)
	revoke(t, a, caller.Token)
	_, got = signIn(t, h, path)
	assert.Equal(t, 401, got.Code, "its token was revoked")
}

func TestALinkHasNoMoreScopeThanItsToken(t *testing.T) {
	t.Parallel()
	a := New(open(t, sqlite(t)), Options{Local: Admin})
	h := pages(a)
	_, writer, err := a.tokens.create(t.Context(), "writer", Write, 0)
	require.NoError(t, err)
	assert.Equal(t, 403, ask(t, h, "POST", "/v1/links", `{"scope":"admin"}`, bearer(writer)...).Code)
	assert.Equal(t, "scope_unknown", ask(t, h, "POST", "/v1/links", `{"scope":"root"}`, bearer(writer)...).code())
	assert.Equal(t, 401, ask(t, h, "POST", "/v1/links", "", "Remote", "127.0.0.1:1", "Host", "localhost").Code,
		"a link takes a token, whatever is loosened")
	session, _ := signIn(t, h, link(t, h, writer, `{"scope":"read"}`))
	own := append(session, "Origin", "http://stega.example:8420")
	assert.Equal(t, 204, ask(t, h, "GET", "/v1/symbols", "", session...).Code)
	assert.Equal(t, 403, ask(t, h, "POST", "/v1/portfolios", "", own...).Code)
	_, boss, err := a.tokens.create(t.Context(), "boss", Admin, 0)
	require.NoError(t, err)
	session, _ = signIn(t, h, link(t, h, boss, ""))
	own = append(session, "Origin", "http://stega.example:8420")
	for _, path := range []string{"/v1/tokens", "/v1/links"} {
		assert.Equal(t, "token_needed", ask(t, h, "POST", path, `{"name":"x","scope":"read"}`, own...).code())
	}
}

func TestACookieCountsForThePagesOfTheServer(t *testing.T) {
	t.Parallel()
	a := New(open(t, sqlite(t)), Options{})
	h := pages(a)
	_, token, err := a.tokens.create(t.Context(), "laptop", Write, 0)
	require.NoError(t, err)
	session, _ := signIn(t, h, link(t, h, token, ""))
	upgrade := []string{"Upgrade", "websocket", "Connection", "Upgrade"}
	for _, c := range []struct {
		name, method, path string
		headers            []string
		in                 bool
	}{
		{"a read", "GET", "/v1/symbols", nil, true},
		{"a read of its page", "GET", "/v1/symbols", []string{"Sec-Fetch-Site", "same-origin"}, true},
		{"a read of another page", "GET", "/v1/symbols", []string{"Sec-Fetch-Site", "cross-site"}, false},
		{"a read of a page on another port", "GET", "/v1/symbols", []string{"Sec-Fetch-Site", "same-site"}, false},
		{"a read with another origin", "GET", "/v1/symbols", []string{"Origin", "http://evil.example"}, false},
		{"a write that says nothing", "POST", "/v1/portfolios", nil, false},
		{"a write by an address", "POST", "/v1/portfolios", []string{"Sec-Fetch-Site", "none"}, false},
		{"a write of its page", "POST", "/v1/portfolios", []string{"Sec-Fetch-Site", "same-origin"}, true},
		{"a write with its origin", "POST", "/v1/portfolios", []string{"Origin", "http://stega.example:8420"}, true},
		{"a write with another origin", "POST", "/v1/portfolios",
			[]string{"Origin", "http://stega.example", "Sec-Fetch-Site", "same-site"}, false},
		{"a write with the origin of HTTPS", "POST", "/v1/portfolios", []string{"Origin", "https://stega.example:8420"},
			false},
		{"a write of a sandbox", "POST", "/v1/portfolios", []string{"Origin", "null"}, false},
		{"an event stream", "GET", "/v1/stream", nil, true},
	} {
		got := ask(t, h, c.method, c.path, "", append(append([]string{}, session...), c.headers...)...)
		assert.Equal(t, c.in, got.Code == 204, "%s: %d", c.name, got.Code)
	}
	who := func(headers ...string) string {
		var name string
		g := a.Wrap(inside, paths, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			caller, _ := From(r.Context())
			name = caller.Name
		}))
		ask(t, g, "GET", "/v1/stream", "", append(append(append([]string{}, session...), upgrade...), headers...)...)
		return name
	}
	assert.Equal(t, "laptop", who("Origin", "http://stega.example:8420"))
	assert.Empty(t, who("Origin", "http://evil.example"), "it must send a token first")
	assert.Empty(t, who())
	assert.Equal(t, 401, ask(t, h, "GET", "/v1/symbols", "", "Cookie", "stega_session_8420=nonsense").Code)
	unknown, _ := random()
	assert.Equal(t, "session_over", ask(t, h, "GET", "/v1/symbols", "", "Cookie", "stega_session_8420="+unknown).code())
	assert.Equal(t, 401,
		ask(t, h, "GET", "/v1/symbols", "", bearer(strings.TrimPrefix(session[1], "stega_session_8420="))...).Code)
}

// What came in with a token, or with a session of it, ends with it: here at once, elsewhere and by expiry within a
// second.
func TestRequestsUnderWayEndWithTheirToken(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, at string) {
		clock := newClock()
		here, there := New(open(t, at), Options{Now: clock.now}), New(open(t, at), Options{Now: clock.now})
		run(t, here)
		run(t, there)
		began := make(chan struct{}, 8)
		h := here.Wrap(outside, paths, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			began <- struct{}{}
			<-r.Context().Done()
		}))
		hold := func(headers ...string) <-chan struct{} {
			over := make(chan struct{})
			go func() {
				defer close(over)
				ask(t, h, "GET", "/v1/events", "", headers...)
			}()
			<-began
			return over
		}
		ended := func(what string, over <-chan struct{}) {
			select {
			case <-over:
			case <-time.After(wait.Patience):
				t.Error(what + " goes on")
			}
		}
		for name, by := range map[string]*Access{
			"one that is revoked here":               here,
			"one that is revoked by another process": there,
		} {
			made, text, err := here.tokens.create(t.Context(), name, Read, 0)
			require.NoError(t, err)
			session, _ := signIn(t, pages(here), link(t, pages(here), text, ""))
			direct, page := hold(bearer(text)...), hold(session...)
			gone := make(chan error, 1)
			here.Watch(t.Context(), text, func(err error) { gone <- err })
			revoke(t, by, made.ID)
			ended(name, direct)
			ended(name+", by its session", page)
			assert.ErrorContains(t, <-gone, "revoked")
		}
		_, text, err := here.tokens.create(t.Context(), "short", Read, time.Hour)
		require.NoError(t, err)
		over := hold(bearer(text)...)
		clock.pass(time.Hour)
		ended("one that expires", over)
		here.tokens.watches.mu.Lock()
		defer here.tokens.watches.mu.Unlock()
		assert.Empty(t, here.tokens.watches.of)
	})
}

func TestAServerProvesThatItKnowsTheToken(t *testing.T) {
	t.Parallel()
	a := New(open(t, sqlite(t)), Options{})
	file := filepath.Join(t.TempDir(), "token")
	nonce := strings.Repeat("A", 32)
	body := `{"nonce":"` + nonce + `"}`
	serve := func() *httptest.Server {
		e := rest.New(rest.Options{})
		rest.Serve(e, a.Routes()...)
		s := httptest.NewServer(a.Wrap(inside, paths, e))
		t.Cleanup(s.Close)
		return s
	}
	post := func(s *httptest.Server, body string) (int, Proof) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/proof", strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		answer, err := s.Client().Do(r)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		var p Proof
		require.NoError(t, jsonOf(answer.Body, &p))
		return answer.StatusCode, p
	}
	status, _ := post(serve(), body)
	assert.Equal(t, 404, status, "there is no token file")
	require.NoError(t, a.KeepLocal(t.Context(), file))
	token, err := readSecret(file)
	require.NoError(t, err)
	one, other := serve(), serve()
	status, p := post(one, body)
	assert.Equal(t, 200, status)
	address := strings.TrimPrefix(one.URL, "http://")
	assert.Equal(t, Proof{ProofOf(token, nonce, address), address}, p)
	_, elsewhere := post(other, body)
	assert.NotEqual(t, p.Proof, elsewhere.Proof, "it is of the address that was reached")
	for _, bad := range []string{`{}`, `{"nonce":"AAAA"}`, `{"nonce":"` + strings.Repeat("A", 200) + `"}`,
		`{"nonce":"!` + nonce + `"}`, `{"nonce":"` + strings.Repeat("A", 2000) + `"}`} {
		status, _ := post(one, bad)
		assert.GreaterOrEqual(t, status, 400, "%.30s", bad)
	}
}

func TestForwardedAddressesCountFromTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	proxies, err := ParseProxies("10.0.0.0/8, 192.0.2.1 ,fd00::/8")
	require.NoError(t, err)
	a, none := New(nil, Options{Proxies: proxies}), New(nil, Options{})
	for _, c := range []struct{ peer, header, want string }{
		{"203.0.113.7:1", "198.51.100.1", "203.0.113.7"},
		{"10.1.2.3:1", "198.51.100.1", "198.51.100.1"},
		{"10.1.2.3:1", "6.6.6.6, 198.51.100.1", "198.51.100.1"},
		{"10.1.2.3:1", "6.6.6.6, 198.51.100.1, 192.0.2.1", "198.51.100.1"},
		{"[fd00::1]:1", "2001:db8::1", "2001:db8::1"},
		{"10.1.2.3:1", "198.51.100.1:4711", "198.51.100.1"},
		{"10.1.2.3:1", "[2001:db8::1]:4711", "2001:db8::1"},
		{"10.1.2.3:1", "nonsense, 192.0.2.1", "192.0.2.1"},
		{"10.1.2.3:1", "", "10.1.2.3"},
		{"10.1.2.3:1", "127.0.0.1", "127.0.0.1"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.header)
		assert.Equal(t, c.want, a.client(r).String(), "%s %s", c.peer, c.header)
		assert.Equal(t, netip.MustParseAddrPort(c.peer).Addr(), none.client(r))
	}
	for _, bad := range []string{"10.0.0.0/33", "proxy", "fe80::1%eth0"} {
		_, err := ParseProxies(bad)
		assert.Error(t, err, bad)
	}
}

func TestSecretsBetweenServicesThatCanBeGuessedAreRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", "x", "stega-dev-service-token", "stega-dev-service-token-stega-dev-service-token", strings.Repeat("a", 64),
		strings.Repeat("abc", 20), "0123456789abcdef0123456789abcde",
	} {
		err := CheckSecret(bad)
		require.Error(t, err, bad)
		if bad != "" && len(bad) > 1 {
			assert.NotContains(t, err.Error(), bad)
		}
	}
	assert.NoError(t, CheckSecret("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"))
}

func TestNamesThatLookLikeReservedOnesAreRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"local", "Local", "LOCAL", " local", "loc\u0430l", "l\u043ec\u0430l", "\u04cf\u043e\u0441\u0430\u04cf",
		"local\u200b",
		"lo\u200bcal", "\uff4c\uff4f\uff43\uff41\uff4c", "l0cal", "1ocal",
		"loc\u00e1l", "lo.cal", "service", "SERVICE", "serv\u0456ce", "\u0455\u0435rvice", "servlce", "\u202elacol",
		"a\u202eb", "\ufeffx",
	} {
		_, err := checkName(bad)
		assert.Error(t, err, "%q", bad)
	}
	for _, good := range []string{"locals", "my service", "localhost", "été", "日本", "ci-1", " padded "} {
		_, err := checkName(good)
		assert.NoError(t, err, good)
	}
}

// A token that may only read cannot fill the disk by being refused, and what is too much goes.
func TestTheAuditIsBounded(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := New(open(t, sqlite(t)), Options{Now: clock.now, Limits: Limits{Rate: -1}, Rows: 50})
	h := door(a, outside)
	_, reader, err := a.tokens.create(t.Context(), "reader", Read, 0)
	require.NoError(t, err)
	_, boss, err := a.tokens.create(t.Context(), "boss", Admin, 0)
	require.NoError(t, err)
	stop := run(t, a)
	for range 300 {
		ask(t, h, "POST", "/v1/portfolios", "", bearer(reader)...)
		ask(t, h, "POST", "/v1/portfolios", "")
		ask(t, h, "GET", "/v1/symbols", "", bearer("guess")...)
	}
	made := ask(t, h, "POST", "/v1/tokens", `{"name":"ci","scope":"write","expires_in":"1h"}`, bearer(boss)...)
	require.Equal(t, 201, made.Code)
	var token Made
	made.json(&token)
	ask(t, h, "POST", "/v1/tokens", `{"name":"ci","scope":"write"}`,
		append(bearer(boss), "Operation-Id", operationID)...)
	ask(t, h, "GET", "/v1/tokens", "", bearer(boss)...)
	ask(t, h, "GET", "/v1/audit", "", bearer(boss)...)
	ask(t, h, "GET", "/v1/dead", "", bearer(boss)...)
	ask(t, h, "GET", "/v1/symbols", "", bearer(boss)...)
	ask(t, h, "DELETE", "/v1/tokens/"+token.ID, "", bearer(boss)...)
	stop()
	entries, err := a.audit.list(t.Context(), 1000, "", "", "")
	require.NoError(t, err)
	assert.Less(t, len(entries), 20)
	requests := map[string]int64{}
	for _, e := range entries {
		requests[e.Who+" "+e.Method+" "+e.Command] += e.Requests
		assert.Empty(t, e.Operation, "what a client says its operation is does not count")
		assert.NotContains(t, string(e.Detail), token.Text)
		if e.Command == "token.create" && e.Status == 201 || e.Command == "token.revoke" {
			for _, part := range []string{token.ID, `"name":"ci"`, `"scope":"write"`, `"expires_at"`} {
				assert.Contains(t, string(e.Detail), part)
			}
		}
	}
	assert.Equal(t, map[string]int64{
		"reader POST portfolio.create": 300, " POST refused token_missing": 300, " GET refused token_unknown": 300,
		"boss POST token.create": 2, "boss GET ": 3, "boss DELETE token.revoke": 1,
	}, requests)

	for range 4 {
		batch := make([]Entry, 30)
		for i := range batch {
			batch[i] = Entry{ID: "z" + strings.Repeat("z", i) + time.Now().String(), At: clock.now(), Requests: 1}
		}
		require.NoError(t, a.audit.insert(t.Context(), batch))
	}
	require.NoError(t, a.audit.trim(t.Context()))
	assert.Equal(t, 50, count(t, a.tokens.db, "audit"))
}

func TestEveryAnswerKeepsToItself(t *testing.T) {
	t.Parallel()
	a := New(open(t, sqlite(t)), Options{Limits: Limits{Rate: -1}})
	_, token, err := a.tokens.create(t.Context(), "x", Admin, 0)
	require.NoError(t, err)
	h := a.Wrap(outside, paths, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/symbols":
			w.Header().Set("ETag", `"1"`)
		case "/v1/portfolios": // a service elsewhere set them too
			w.Header().Add("X-Content-Type-Options", "nosniff")
			w.Header().Add("Cache-Control", "private, no-cache")
		}
		_, _ = w.Write([]byte("{}"))
	}))
	for _, path := range []string{"/healthz", "/v1/symbols", "/v1/portfolios", "/v1/operations", "/nothing"} {
		for _, headers := range [][]string{nil, bearer(token)} {
			got := ask(t, h, "GET", path, "", headers...)
			for name, want := range map[string]string{
				"X-Content-Type-Options":       "nosniff",
				"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'",
				"Cross-Origin-Resource-Policy": "same-origin",
				"Referrer-Policy":              "no-referrer",
			} {
				assert.Equal(t, []string{want}, got.Header().Values(name), "%s %d", path, got.Code)
			}
			cache := "no-store"
			if headers != nil && (path == "/v1/symbols" || path == "/v1/portfolios") {
				cache = "private, no-cache"
			}
			assert.Equal(t, []string{cache}, got.Header().Values("Cache-Control"), "%s %d", path, got.Code)
		}
	}
}
