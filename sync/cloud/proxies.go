package cloud

import (
	"net/http"
	"net/netip"
	"strings"
)

// forwardedFor is the list of addresses that proxies keep: each appends the one
// it was called from.
const forwardedFor = "X-Forwarded-For"

// behind gives requests that come through trusted proxies the address of whom
// they are from, for everything that limits or notes sources. What others say in
// the header counts for nothing.
func behind(trusted []netip.Prefix, next http.Handler) http.Handler {
	if len(trusted) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			if from := origin(at.Addr(), r.Header.Values(forwardedFor), trusted); from != at.Addr() {
				r.RemoteAddr = netip.AddrPortFrom(from, 0).String()
			}
		}
		next.ServeHTTP(w, r)
	})
}

// origin reads the header from its end, where the nearest proxy has written, to
// the first address that is of none of the proxies. What is no address ends the
// reading: whoever wrote before it is not known.
func origin(peer netip.Addr, header []string, trusted []netip.Prefix) netip.Addr {
	for i := len(header) - 1; i >= 0 && isTrusted(peer, trusted); i-- {
		for rest := header[i]; ; {
			cut := strings.LastIndexByte(rest, ',')
			next, ok := parseHop(rest[cut+1:])
			if !ok {
				return peer
			}
			if peer = next; !isTrusted(peer, trusted) || cut < 0 {
				break
			}
			rest = rest[:cut]
		}
	}
	return peer
}

// parseHop reads an address as proxies write it: bare, in brackets, or with a port.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		at, portErr := netip.ParseAddrPort(text)
		if portErr != nil {
			return netip.Addr{}, false
		}
		addr = at.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

func isTrusted(addr netip.Addr, trusted []netip.Prefix) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
