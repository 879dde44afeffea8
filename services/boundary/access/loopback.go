package access

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// forwarding are the headers by which proxies say that somebody else asks.
var forwarding = []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server", "X-Real-Ip"}

// isLoopback reports whether only this machine reaches a listener.
func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// remote is the address that a request comes from. Headers have no say in it: anybody can send them.
func remote(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// fromHere reports whether a request was surely made by a program of this machine, on its own account: it comes from loopback to a listener
// that nobody else reaches, no proxy speaks for another, and no web page does. A page can make a browser of this machine ask, under its own name
// that it lets point here; the Host header then has that name, and Origin tells of the page.
//
// A container sees who comes through a port that is published on loopback at the private address of its bridge; published says that there is no other way in.
func fromHere(r *http.Request, published bool) bool {
	if from := remote(r); !from.IsLoopback() && (!published || !from.IsPrivate()) {
		return false
	}
	for _, name := range forwarding {
		if len(r.Header.Values(name)) > 0 {
			return false
		}
	}
	return localHost(r.Host) && sameOrigin(r)
}

// localHost reports whether a Host header names this machine by a name that nobody else can give out.
func localHost(host string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = host, ""
		if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
			name = host[1 : len(host)-1]
		}
	}
	for _, c := range port {
		if c < '0' || c > '9' {
			return false
		}
	}
	return strings.EqualFold(name, "localhost") || name == "127.0.0.1" || name == "::1"
}

// sameOrigin reports whether a request was not made by a page of another site. Programs that are no browsers say nothing of it.
func sameOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) > 1 {
		return false
	}
	if len(origins) == 1 {
		scheme := "http://"
		if r.TLS != nil {
			scheme = "https://"
		}
		return strings.EqualFold(origins[0], scheme+r.Host)
	}
	// An image or a script of another site asks without Origin. A link that somebody followed is no such thing.
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate"
}
