package access

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"stega/fault"
)

// ParseProxies reads addresses and networks in CIDR form, separated by commas.
func ParseProxies(s string) (list []netip.Prefix, err error) {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		network, err := netip.ParsePrefix(part)
		if err != nil {
			address, failed := netip.ParseAddr(part)
			if failed != nil || address.Zone() != "" {
				return nil, fault.Usage("proxies_invalid", "%q is neither an address nor a network",
					part).WithHint("networks look like 10.0.0.0/8 or fd00::/8")
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		list = append(list, network.Masked())
	}
	return list, nil
}

func (a *Access) isProxy(address netip.Addr) bool {
	return slices.ContainsFunc(a.proxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

// client is the address that a request counts against and that the audit has: that of the peer, or, when that is a
// trusted proxy, the last address in X-Forwarded-For that is none. Proxies append to that header, so what is left of
// it is the client's own to say. The header Forwarded is not read: a proxy that appends to one of the two passes the
// other on as the client sent it.
func (a *Access) client(r *http.Request) netip.Addr {
	at := remote(r)
	if len(a.proxies) == 0 {
		return at
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !a.isProxy(at) {
			return at
		}
		address, err := parseHop(strings.TrimSpace(hop))
		if err != nil {
			return at
		}
		at = address
	}
	return at
}

// parseHop reads an address, which some proxies write with a port.
func parseHop(s string) (netip.Addr, error) {
	if at, err := netip.ParseAddrPort(s); err == nil {
		return at.Addr().Unmap().WithZone(""), nil
	}
	at, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return at.Unmap().WithZone(""), err
}
