package access

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// forwarding are the headers by which proxies name the client that they speak for, besides all that begin with
// X-Forwarded-.
var forwarding = []string{
	"Forwarded", "Via", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip", "X-Client-Ip", "X-Cluster-Client-Ip",
	"X-Original-Forwarded-For",
	"X-Envoy-External-Address", "Fastly-Client-Ip",
}

// isLoopback reports whether only this machine reaches a listener.
func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// remote is the address of the peer. Headers have no say in it: anybody can send them.
func remote(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// fromHere reports whether a program of this machine made a request directly, as far as the request shows: it comes
// from loopback, carries no header of a proxy, and no web page made it. A page can make a browser of this machine
// send requests, under a name of its own that resolves to loopback; the Host header then has that name, and Origin
// names the page.
func fromHere(r *http.Request) bool {
	if !remote(r).IsLoopback() {
		return false
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Forwarded-") || slices.Contains(forwarding, name) {
			return false
		}
	}
	return localHost(r.Host) && sameOrigin(r, r.TLS != nil)
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

// sameOrigin reports whether a request was not made by a page of another site. Programs that are no browsers say
// nothing of it.
func sameOrigin(r *http.Request, secure bool) bool {
	origins := r.Header.Values("Origin")
	if len(origins) > 1 {
		return false
	}
	if len(origins) == 1 {
		scheme := "http://"
		if secure {
			scheme = "https://"
		}
		return strings.EqualFold(origins[0], scheme+r.Host)
	}
	// An image, a script, a frame or a link of another site sends no Origin.
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	return false
}
