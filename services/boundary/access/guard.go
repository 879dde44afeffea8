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
	table table
	local Scope // of requests without a token from this machine; Open where others reach the listener
	next  http.Handler
}

// Wrap puts the access control in front of a handler. Options.Local counts only where the listener's address is of loopback.
func (a *Access) Wrap(listener net.Addr, next http.Handler) http.Handler {
	g := &guard{Access: a, table: newTable(Routes()), next: next}
	if isLoopback(listener) {
		g.local = a.local
	}
	return g
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest.RequestID(r)
	route := g.table.find(r.Method, r.URL.EscapedPath())
	if route.Scope == Open {
		g.next.ServeHTTP(w, r)
		return
	}
	caller, err := g.admit(r, route)
	if err != nil {
		g.refuse(w, r, route, err)
		return
	}
	if caller.Name != "" {
		r = r.WithContext(context.WithValue(r.Context(), callerKey{}, caller))
	}
	covered := caller.Name == "" || caller.Scope.Covers(route.Scope)
	if g.audit == nil || safe(r.Method) {
		g.answer(w, r, route, caller, covered)
		return
	}
	recorded := &recorder{ResponseWriter: w}
	at := g.now()
	defer func() { g.audit.add(g.entry(r, recorded, route, caller, at)) }()
	g.answer(recorded, r, route, caller, covered)
	recorded.finished = true
}

// answer is the handler's, or the refusal of a caller who is known and may not.
func (g *guard) answer(w http.ResponseWriter, r *http.Request, route Route, caller Caller, covered bool) {
	if covered {
		g.next.ServeHTTP(w, r)
		return
	}
	g.refuse(w, r, route, fault.New(fault.KindForbidden, "scope_missing", "this takes a token of scope %s, and that of %q is %s", route.Scope, caller.Name, caller.Scope).
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
	wait := g.limits.take(who)
	if wait <= 0 {
		return nil
	}
	return tooMany{fault.New(fault.KindRateLimited, "rate_limited", "there are too many requests").
		WithHint("wait as long as Retry-After says; the limit is %g requests a second", g.limits.limits.Rate), wait}
}

// admit finds out who asks. A client of the stream that is not let in yet has no name.
func (g *guard) admit(r *http.Request, route Route) (Caller, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		if g.local != Open && fromHere(r) && !route.makesToken() {
			return Caller{Name: local, Scope: g.local, Via: ViaLocal}, nil
		}
		if err := g.limited(network(remote(r))); err != nil {
			return Caller{}, err
		}
		switch {
		case route.Path == "/v1/stream" && isWebSocket(r):
			// Browsers cannot set the header here: the first message has the token, and nothing is told before.
			return Caller{}, nil
		}
		return Caller{}, missing()
	}
	scheme, text, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || text == "" {
		if err := g.limited(network(remote(r))); err != nil {
			return Caller{}, err
		}
		return Caller{}, unauthorized("token_malformed", "the header Authorization has no token")
	}
	return g.bearer(r, strings.TrimSpace(text))
}

// bearer is who has a token.
func (g *guard) bearer(r *http.Request, text string) (Caller, error) {
	// Who is not known yet counts against the address, before anything is looked up: guessing is slow.
	if !g.knows(text) {
		if err := g.limited(network(remote(r))); err != nil {
			return Caller{}, err
		}
	}
	caller, err := g.identify(r.Context(), text)
	if err != nil || caller.Name == service || caller.Name == local {
		return caller, err // the owner of the server and its own processes have no limit
	}
	return caller, g.limited(caller.Token)
}

// missing is the refusal of a request without a token, on loopback as elsewhere.
func missing() error {
	return unauthorized("token_missing", "this takes a token").
		WithHint("stega api PATH sends the token that stega up keeps in the file token of its data folder; a browser signs in with: stega open; " +
			"other programs send the header Authorization: Bearer stega_…; a server that is started with --local-access takes requests of its own machine without one")
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

// knows reports whether a token was seen before.
func (a *Access) knows(text string) bool {
	if a.isService(text) {
		return true
	}
	hash, ok := hashOf(text)
	return ok && a.tokens != nil && a.tokens.cache.holds(hash)
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

// Authorize finds whose token a text is, and requires a scope of it: for a client that sends its token by other ways than the header.
func (a *Access) Authorize(ctx context.Context, token string, needed Scope) (Caller, error) {
	caller, err := a.identify(ctx, token)
	if err == nil && !caller.Scope.Covers(needed) {
		err = fault.New(fault.KindForbidden, "scope_missing", "this takes a token of scope %s, and that of %q is %s", needed, caller.Name, caller.Scope)
	}
	return caller, err
}

// refuse answers one who may not.
func (g *guard) refuse(w http.ResponseWriter, r *http.Request, route Route, err error) {
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
		g.log.Info("refused", "code", f.Code, "method", r.Method, "path", r.URL.Path, "remote", remote(r).String())
	}
	rest.Refuse(w, r, f)
}
