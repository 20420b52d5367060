package appliance

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"signalbox/appliance/auth"
	"signalbox/appliance/signaling"
)

// relayTTL is how long relay credentials are good. Live sessions get new ones
// at half of it.
const relayTTL = 12 * time.Hour

// ownAddrs lists the unicast addresses of the box, loopback left out.
func ownAddrs() []netip.Addr {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var addrs []netip.Addr
	for _, f := range found {
		p, err := netip.ParsePrefix(f.String())
		if err == nil && (p.Addr().IsGlobalUnicast() || p.Addr().IsLinkLocalUnicast() && p.Addr().Is4()) {
			addrs = append(addrs, p.Addr())
		}
	}
	return addrs
}

// names are the host names the box answers to.
func (a *Appliance) names() []string {
	host := cmp.Or(a.cfg.Discovery.Host, "signalbox")
	return []string{host + ".local"}
}

// relayHost picks the relay's address for a client that reached the box at
// local: the same one, since that is known to work. A client on the box itself
// gets an address of the LAN, because browsers do not relay over loopback. Nobody
// gets a link-local one: a URL has no place for its zone, and browsers leave
// them out.
func relayHost(served []netip.AddrPort, local netip.Addr) (netip.AddrPort, bool) {
	served = slices.DeleteFunc(slices.Clone(served), func(ap netip.AddrPort) bool { return ap.Addr().IsLinkLocalUnicast() })
	if len(served) == 0 {
		return netip.AddrPort{}, false
	}
	local = local.Unmap().WithZone("")
	rank := func(ap netip.AddrPort) int {
		addr := ap.Addr().WithZone("")
		switch {
		case addr == local && !local.IsLoopback():
			return 0
		case addr.Is4() == local.Is4() && addr.IsGlobalUnicast():
			return 1
		case addr == local:
			return 2
		case addr.IsGlobalUnicast():
			return 3
		}
		return 4
	}
	return slices.MinFunc(served, func(x, y netip.AddrPort) int { return cmp.Compare(rank(x), rank(y)) }), true
}

// relayURLs are the STUN and TURN URLs (RFC 7064, RFC 7065) for a client that
// reached the box at local, those first that it should try first: UDP, TCP, and
// TLS on the port for HTTPS, which is the one that a firewall leaves open. The
// relay's own port for TLS comes last.
func (a *Appliance) relayURLs(local netip.Addr) (stun, turn []string) {
	udp, tcp := a.relay.Addrs()
	if at, ok := relayHost(udp, local); ok {
		stun = append(stun, "stun:"+at.String())
		turn = append(turn, "turn:"+at.String()+"?transport=udp")
	}
	if at, ok := relayHost(tcp, local); ok {
		turn = append(turn, "turn:"+at.String()+"?transport=tcp")
	}
	for _, served := range [][]netip.AddrPort{a.secureAddrs(local), a.relay.TLSAddrs()} {
		if at, ok := relayHost(served, local); ok {
			port := strconv.Itoa(int(at.Port()))
			turn = append(turn, "turns:"+net.JoinHostPort(a.trust.Host(at.Addr()), port)+"?transport=tcp")
		}
	}
	return stun, turn
}

// secureAddrs are addresses of the ports for HTTPS. One that takes every address
// is reached at those of the relay, and where the client has reached the box.
func (a *Appliance) secureAddrs(local netip.Addr) []netip.AddrPort {
	udp, _ := a.relay.Addrs()
	var addrs []netip.AddrPort
	for _, s := range a.http {
		at := netip.MustParseAddrPort(s.listener.Addr().String())
		switch {
		case !s.secure:
		case !at.Addr().IsUnspecified():
			addrs = append(addrs, at)
		default:
			addrs = append(addrs, netip.AddrPortFrom(local.Unmap().WithZone(""), at.Port()))
			for _, ap := range udp {
				if at.Addr().Is6() || ap.Addr().Is4() { // 0.0.0.0 is IPv4 alone
					addrs = append(addrs, netip.AddrPortFrom(ap.Addr(), at.Port()))
				}
			}
		}
	}
	return addrs
}

// maxICEURLs is how many URLs a browser is given. Each is a candidate to gather
// from every interface, and Firefox warns of five.
const maxICEURLs = 4

// ice is what a welcome carries.
func (a *Appliance) ice(local netip.Addr, id auth.Identity) signaling.ICE {
	stun, turn := a.relayURLs(local)
	turn = turn[:min(len(turn), maxICEURLs-len(stun))]
	c, ok := a.sessionCredential(id)
	ice := signaling.ICE{Servers: []signaling.ICEServer{}, Expires: c.Expires.UnixMilli()}
	if len(stun) > 0 { // a browser throws at a server without URLs
		ice.Servers = append(ice.Servers, signaling.ICEServer{URLs: stun})
	}
	if len(turn) > 0 && ok {
		ice.Servers = append(ice.Servers, signaling.ICEServer{URLs: turn, Username: c.Username, Credential: c.Password})
	}
	return ice
}

// Addrs are the addresses a box is bound to.
type Addrs struct {
	HTTP, HTTPS []string
	TURN, TURNS []string // those of the relay's own; the ones for HTTPS carry TURN over TLS too
}

// Addrs are the bound addresses, with the ports that port 0 has become.
func (a *Appliance) Addrs() Addrs {
	addrs := Addrs{HTTP: []string{}, HTTPS: []string{}, TURN: []string{}, TURNS: texts(a.relay.TLSAddrs())}
	for _, s := range a.http {
		if s.secure {
			addrs.HTTPS = append(addrs.HTTPS, s.listener.Addr().String())
		} else {
			addrs.HTTP = append(addrs.HTTP, s.listener.Addr().String())
		}
	}
	udp, _ := a.relay.Addrs()
	for _, ap := range udp {
		addrs.TURN = append(addrs.TURN, ap.String())
	}
	return addrs
}

// BaseURLs are where people reach the box, the best first: on the box itself
// by plain HTTP on localhost, which browsers hold for secure; from elsewhere by
// HTTPS on each address.
func (a *Appliance) BaseURLs() []string {
	var local, secure, plain []string
	for _, s := range a.http {
		ap := netip.MustParseAddrPort(s.listener.Addr().String())
		hosts := []string{ap.Addr().String()}
		if ap.Addr().IsUnspecified() {
			hosts = nil
			for _, addr := range ownAddrs() {
				if addr.Is4() {
					hosts = append(hosts, addr.String())
				}
			}
			if !s.secure {
				local = append(local, s.url("localhost", ap.Port()))
			}
		}
		for _, host := range hosts {
			if s.secure {
				secure = append(secure, s.url(host, ap.Port()))
			} else {
				plain = append(plain, s.url(host, ap.Port()))
			}
		}
	}
	return slices.Concat(local, secure, plain)
}

// url names a host on the site's port, which is left out where the scheme says it.
func (s *site) url(host string, port uint16) string {
	scheme, usual := "http://", uint16(80)
	if s.secure {
		scheme, usual = "https://", 443
	}
	if port != usual {
		return scheme + net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + host
}
