package stream

import (
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"

	"stega/fault"
	"stega/rest"
)

// ServeHTTP serves the stream: over WebSocket when the request is an upgrade, else as server-sent events.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		rest.NotAllowed(w, r, http.MethodGet)
		return
	}
	if err := h.serve(w, r); err != nil {
		rest.Refuse(w, r, err)
	}
}

// serve returns an error when nothing was answered yet.
func (h *Hub) serve(w http.ResponseWriter, r *http.Request) error {
	if !h.fromHere(r) {
		return fault.New(fault.KindForbidden, "origin_forbidden", "pages of %s may not read this stream",
			short(r.Header.Get("Origin"))).
			WithHint("open the page from the address of this server, or connect from a program that sends no Origin")
	}
	token, given := bearer(r)
	err := h.admitted(r, token, given)
	if err != nil && given {
		return err
	}
	if isWebSocket(r) {
		return h.webSocket(w, r, token, err == nil)
	}
	if err != nil {
		return err
	}
	return h.sse(w, r, token)
}

// admitted returns an error when a request may not read the stream.
func (h *Hub) admitted(r *http.Request, token string, given bool) error {
	if !given && h.o.Trusted != nil && h.o.Trusted(r) {
		return nil
	}
	return h.authorized(token)
}

// bearer is the token of the header, and whether there is one.
func bearer(r *http.Request) (token string, given bool) {
	header := r.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", header != ""
	}
	return strings.TrimSpace(token), true
}

// fromHere reports whether the page that a request comes from, if it comes from one, is the server's own or an
// allowed one. Browsers send cookies and reach loopback on behalf of any page, but they always say which.
func (h *Hub) fromHere(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	if strings.EqualFold(u.Host, r.Host) {
		return true
	}
	for _, allowed := range h.o.Origins {
		target := u.Host
		if strings.Contains(allowed, "://") {
			target = u.Scheme + "://" + u.Host
		}
		if match, err := path.Match(strings.ToLower(allowed), strings.ToLower(target)); err == nil && match {
			return true
		}
	}
	return false
}

func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// remote is the address that connections are counted by.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
