package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"stega/fault"
	"stega/rest"
)

// guard stands in front of a handler.
type guard struct {
	*Access
	table *rest.Table
	local Scope // of requests without a token from this machine; Open where others reach the listener
	next  http.Handler
}

// Wrap puts the access control in front of a handler that serves the routes of a table; other paths require the scope
// admin. Options.Local counts only where the listener's address is of loopback.
func (a *Access) Wrap(listener net.Addr, table *rest.Table, next http.Handler) http.Handler {
	g := &guard{Access: a, table: table, next: next}
	if isLoopback(listener) {
		g.local = a.local
	}
	return g
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest.RequestID(r)
	protect(w.Header(), r.TLS != nil)
	answer := &recorder{Recorder: rest.Recorder{ResponseWriter: w, Before: settle}}
	route := find(g.table, r.Method, r.URL.EscapedPath())
	if route.Scope == Open {
		g.open(answer, r, route)
		return
	}
	who, err := g.admit(r, route)
	if err != nil {
		g.refuse(answer, r, route, err)
		g.failed(r, err)
		return
	}
	r, done := g.carry(r, who)
	defer done()
	covered := who.Name == "" || who.Scope.Covers(route.Scope)
	if !route.recorded() {
		g.answer(answer, r, route, who.Caller, covered)
		return
	}
	at, notes := g.now(), &trail{}
	r = r.WithContext(context.WithValue(r.Context(), trailKey{}, notes))
	defer func() { g.record(g.entry(r, answer, route, who.Caller, at, notes), route) }()
	g.answer(answer, r, route, who.Caller, covered)
	answer.finished = true
}

// open answers a request that needs no token. Who has one is known to the handler all the same.
func (g *guard) open(w http.ResponseWriter, r *http.Request, route route) {
	if notHead(w, r, route) {
		return
	}
	if route.limited() {
		if err := g.limited(network(g.client(r))); err != nil {
			g.refuse(w, r, route, err)
			return
		}
	}
	if route.differs() {
		var done func()
		r, done = g.recognize(r, route)
		defer done()
	}
	g.next.ServeHTTP(w, r)
}

// recognizeWithin bounds the look for the caller of an open route, which answers without it too.
const recognizeWithin = time.Second

// recognize carries the caller of an open route, when it has a token or a session.
func (g *guard) recognize(r *http.Request, route route) (*http.Request, func()) {
	if _, cookie := g.session(r); !cookie && len(r.Header.Values("Authorization")) == 0 {
		return r, func() {}
	}
	ctx, cancel := context.WithTimeout(r.Context(), recognizeWithin)
	defer cancel()
	who, err := g.admit(r.WithContext(ctx), route)
	if err != nil {
		return r, func() {}
	}
	return g.carry(r, who)
}

// admitted is a caller with that by which it came in.
type admitted struct {
	Caller
	by *credential // nil where nothing can be revoked
}

type admittedKey struct{}

// carry puts the caller into the context of its request, which ends when what it came in with is revoked or expires.
func (g *guard) carry(r *http.Request, who admitted) (*http.Request, func()) {
	if who.Name == "" {
		return r, func() {}
	}
	ctx := rest.WithCaller(context.WithValue(r.Context(), admittedKey{}, who), who.key())
	ctx, cancel := context.WithCancelCause(ctx)
	stop := func() {}
	if who.by != nil {
		stop = g.tokens.watches.add(*who.by, who.Token, cancel)
	}
	return r.WithContext(ctx), func() { stop(); cancel(nil) }
}

// Watch calls ended once the token, or without one what the request of ctx came in with, is revoked or expires; stop
// ends the watch. It is for what outlives its request.
func (a *Access) Watch(ctx context.Context, token string, ended func(error)) (stop func()) {
	who, _ := ctx.Value(admittedKey{}).(admitted)
	by := who.by
	if hash, ok := hashOf(token); ok {
		by = &credential{hash: hash}
	}
	if by == nil || a.tokens == nil {
		return func() {}
	}
	return a.tokens.watches.add(*by, who.Token, ended)
}

// answer is the handler's, or the refusal of a caller who is known and may not.
func (g *guard) answer(w http.ResponseWriter, r *http.Request, route route, caller Caller, covered bool) {
	if covered {
		g.next.ServeHTTP(w, r)
		return
	}
	g.refuse(w, r, route, fault.New(fault.KindForbidden, "scope_missing",
		"this takes a token of scope %s, and that of %q is %s", route.Scope, caller.Name, caller.Scope).
		WithHint("make one with: stega token create NAME --scope %s", route.Scope))
}

// safe reports whether a method only reads.
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// tooMany is the refusal of one who asks too often.
type tooMany struct {
	*fault.Fault
	wait time.Duration
}

func (t tooMany) Unwrap() error { return t.Fault }

// limited counts a request of a token or an address.
func (g *guard) limited(who string) error {
	return g.tooOften(g.limits.take(who))
}

func (g *guard) tooOften(wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	return tooMany{fault.New(fault.KindRateLimited, "rate_limited", "there are too many requests").
		WithHint("wait as long as Retry-After says; the limit is %g requests a second", g.limits.limits.Rate), wait}
}

// admit finds the caller of a request. A client of the stream that is to send its token as its first message has no
// name.
func (g *guard) admit(r *http.Request, route route) (admitted, error) {
	if values := r.Header.Values("Authorization"); len(values) > 0 {
		scheme, token, _ := strings.Cut(values[0], " ")
		token = strings.TrimSpace(token)
		if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
			return admitted{}, g.afterLimit(r, unauthorized("token_malformed", "the header Authorization has no token"))
		}
		return g.bearer(r, token)
	}
	if hash, ok := g.session(r); ok {
		return g.bySession(r, route, hash)
	}
	if g.local != Open && fromHere(r) && !route.makesToken() {
		return admitted{Caller: Caller{Name: local, Scope: g.local, Via: ViaLocal}}, nil
	}
	if err := g.afterLimit(r, nil); err != nil {
		return admitted{}, err
	}
	if route.Path == "/v1/stream" && isWebSocket(r) {
		// Browsers cannot set the header here: the first message has the token, and nothing is sent before.
		return admitted{}, nil
	}
	return admitted{}, missing()
}

// afterLimit counts a request without a token against its address, and returns err unless that is too much.
func (g *guard) afterLimit(r *http.Request, err error) error {
	if limited := g.limited(network(g.client(r))); limited != nil {
		return limited
	}
	return err
}

// bearer is the caller with a token. What cannot be a token counts against the address. What can be one, and is not
// known yet, is looked up under limits of its own: a flood without a token, from whatever address, does not keep
// valid tokens out.
func (g *guard) bearer(r *http.Request, token string) (admitted, error) {
	if g.isService(token) {
		name, id := g.spokenFor(r)
		return admitted{Caller: Caller{Token: id, Name: name, Scope: Admin, Via: ViaService}}, nil
	}
	hash, ok := hashOf(token)
	if !ok || g.tokens == nil {
		return admitted{}, g.afterLimit(r, unknownToken())
	}
	t, err := g.tokens.valid(r.Context(), hash, g.counted(r, g.tokens.load))
	return g.known(t, ViaToken, credential{hash: hash}, err)
}

// bySession is the caller with the session of a browser, which makes no tokens and no links: they could outlive it.
func (g *guard) bySession(r *http.Request, route route, hash digest) (admitted, error) {
	t, err := g.tokens.valid(r.Context(), hash, g.counted(r, g.tokens.loadSession))
	if f := fault.Of(err); err != nil && f.Kind == fault.KindUnauthorized {
		err = sessionOver()
	}
	if err == nil && route.makesToken() {
		err = fault.New(fault.KindForbidden, "token_needed",
			"this takes a token; the session of a browser is not enough").
			WithHint("use the command line: stega token create, stega open")
	}
	return g.known(t, ViaLink, credential{hash, true}, err)
}

// known is the caller with a token that was found, within the token's limit. The owner of the server has none.
func (g *guard) known(t Token, via Via, by credential, err error) (admitted, error) {
	if err == nil && t.Name != local {
		err = g.limited(t.ID)
	}
	if err != nil {
		return admitted{}, err
	}
	return admitted{Caller{Token: t.ID, Name: t.Name, Scope: t.Scope, Via: via}, &by}, nil
}

// counted limits how often tokens that are not known yet are looked up in the database. Requests with the same token
// that arrive together share one look, and it counts once.
func (g *guard) counted(r *http.Request, load loader) loader {
	from := network(g.client(r))
	return func(ctx context.Context, hash digest) (*row, error) {
		if !g.tokens.cache.holds(hash) {
			if err := g.tooOften(g.limits.lookup(from, hash[0])); err != nil {
				return nil, err
			}
		}
		return load(ctx, hash)
	}
}

// missing is the refusal of a request without a token, on loopback as elsewhere.
func missing() error {
	return unauthorized("token_missing", "this takes a token").
		WithHint("stega api PATH sends the token that stega up keeps in the file token of its data folder; " +
			"a browser signs in with: stega open; " +
			"other programs send the header Authorization: Bearer stega_…; " +
			"a server that is started with --local-access takes requests of its own machine without one")
}

func isWebSocket(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// isService reports whether a text is the secret that the processes of this installation share.
func (a *Access) isService(text string) bool {
	if a.secret == nil {
		return false
	}
	sum := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(sum[:], a.secret[:]) == 1
}

// identify finds whose token a text is.
func (a *Access) identify(ctx context.Context, text string) (Caller, error) {
	if a.isService(text) {
		return Caller{Name: service, Scope: Admin, Via: ViaService}, nil
	}
	if a.tokens == nil {
		return Caller{}, unknownToken()
	}
	t, err := a.tokens.verify(ctx, text)
	if err != nil {
		return Caller{}, err
	}
	return Caller{Token: t.ID, Name: t.Name, Scope: t.Scope, Via: ViaToken}, nil
}

// Authorize finds whose token a text is, and requires a scope of it: for a client that sends its token by other ways
// than the header.
func (a *Access) Authorize(ctx context.Context, token string, needed Scope) (Caller, error) {
	caller, err := a.identify(ctx, token)
	if err == nil && !caller.Scope.Covers(needed) {
		err = fault.New(fault.KindForbidden, "scope_missing", "this takes a token of scope %s, and that of %q is %s",
			needed,
			caller.Name, caller.Scope)
	}
	return caller, err
}

// refuse answers one who may not.
func (g *guard) refuse(w http.ResponseWriter, r *http.Request, route route, err error) {
	f := fault.Of(err)
	g.refused.WithLabelValues(f.Code).Inc()
	h := w.Header()
	h.Set("X-Request-Id", rest.RequestID(r))
	if t, ok := errors.AsType[tooMany](err); ok {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(t.wait.Seconds()))))
	}
	challenge := `Bearer realm="stega"`
	switch {
	case f.Kind == fault.KindForbidden:
		h.Set("WWW-Authenticate", challenge+`, error="insufficient_scope", scope="`+string(route.Scope)+`"`)
	case f.Kind == fault.KindUnauthorized && f.Code != "token_missing":
		h.Set("WWW-Authenticate", challenge+`, error="invalid_token"`)
	case f.Kind == fault.KindUnauthorized:
		h.Set("WWW-Authenticate", challenge)
	}
	if f.Kind == fault.KindUnauthorized || f.Kind == fault.KindForbidden {
		g.log.Info("refused", "code", f.Code, "method", r.Method, "path", r.URL.EscapedPath(), "remote", g.client(r).
			String())
	}
	rest.Refuse(w, r, f)
}
