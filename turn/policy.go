package turn

import (
	"net/netip"
	"slices"
	"sync/atomic"
)

// Networks that no peer may be in, whatever the configuration says: they name
// no single host. The broadcast addresses of attached networks come on top.
var unreachableNetworks = prefixes(
	"0.0.0.0/8",   // this network (RFC 1122)
	"224.0.0.0/4", // multicast
	"240.0.0.0/4", // reserved, and the limited broadcast address
	"::/128",      // unspecified
	"ff00::/8",    // multicast
)

// Networks that are only reachable through an entry of allow_peers that lies
// within them: an operator who writes 0.0.0.0/0 means the networks behind a
// router, not the box itself and not its cloud's credentials. The box's own
// addresses count as such networks too, each for itself.
var guardedNetworks = prefixes(
	"127.0.0.0/8", "::1/128", // loopback
	"169.254.0.0/16", "fe80::/10", // link-local
	"169.254.169.254/32", "fd00:ec2::254/128", // metadata: most clouds, AWS over IPv6
	"fd20:ce::254/128",   // metadata: Google over IPv6
	"100.100.100.200/32", // metadata: Alibaba
	"168.63.129.16/32",   // host services: Azure
	"192.0.0.192/32",     // metadata: Oracle
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// unreachable says whether a whole network lies where no peer may be.
func unreachable(p netip.Prefix) bool {
	return slices.ContainsFunc(unreachableNetworks, func(n netip.Prefix) bool { return within(p, n) })
}

// within says whether every address of inner is in outer.
func within(inner, outer netip.Prefix) bool {
	return inner.Bits() >= outer.Bits() && outer.Contains(inner.Addr())
}

// policy decides which peers callers may reach. In this order:
//
//  1. what names no single host is refused;
//  2. deny_peers refuses;
//  3. the relayed address of another caller, at a port that is allocated now,
//     is allowed, on loopback too: it leads to a caller and nowhere else;
//  4. loopback, link-local, metadata and the box's own addresses are refused,
//     unless an entry of allow_peers lies within that very network;
//  5. allow_peers and the attached networks are allowed;
//  6. all else is refused.
//
// An address with an IPv4 address in it must pass 1, 2 and 4 as both.
type policy struct {
	allow, deny []netip.Prefix
	external    []External
	relayed     relayedAddrs
	site        atomic.Pointer[site]
}

// relayedAddrs knows the relayed addresses that are allocated at the moment.
type relayedAddrs interface {
	isRelayed(netip.AddrPort) bool
	hasRelayed(netip.Addr) bool
}

// mayReach says whether callers may exchange datagrams with peer.
func (p *policy) mayReach(peer netip.AddrPort) bool {
	return p.allows(canonicalPort(peer), new(reach))
}

// verdict is what the policy says about an address while the site is the same.
type verdict struct {
	at      *site
	refused bool
	allowed bool // at every port
	// inside says that it may be a relayed address of this box, which depends
	// on the port and on who is there at the moment.
	inside bool
}

// judge returns the verdict on an address, the one that r remembers if nothing
// has changed. It may be called concurrently.
func (p *policy) judge(addr netip.Addr, r *reach) *verdict {
	at := p.site.Load()
	if v := r.last.Load(); v != nil && v.at == at {
		return v
	}
	v := &verdict{
		at: at, refused: p.refuses(addr), allowed: p.allowsHost(addr), inside: at.own[addr] || addr.IsLoopback() || p.isExternal(addr),
	}
	r.last.Store(v)
	return v
}

// allows is mayReach for every datagram: a permission covers an address, not a
// port, and the networks may have changed.
func (p *policy) allows(peer netip.AddrPort, r *reach) bool {
	v := p.judge(peer.Addr(), r)
	return peer.Port() != 0 && !v.refused && (v.allowed || v.inside && p.relayed.isRelayed(peer))
}

// mayPermit says whether a permission for peer may be created. RFC 8656 §10.1
// gives its port no meaning, yet a client that names one means it, and hears at
// once that it is out of reach. pjnath names none, which is 0.
func (p *policy) mayPermit(peer netip.AddrPort) bool {
	if peer.Port() != 0 {
		return p.mayReach(peer)
	}
	addr := canonical(peer.Addr())
	caller := p.relayed.hasRelayed(addr) && !addr.IsLoopback()
	return !p.refuses(addr) && (caller || p.allowsHost(addr))
}

// refuses covers steps 1 and 2.
func (p *policy) refuses(addr netip.Addr) bool {
	if inside, ok := embedded(addr); ok && p.refuses(inside) {
		return true
	}
	return containsAddr(unreachableNetworks, addr) || p.site.Load().broadcasts[addr] || containsAddr(p.deny, addr)
}

// allowsHost covers steps 4 to 6.
func (p *policy) allowsHost(addr netip.Addr) bool {
	if p.guards(addr) {
		return false
	}
	if inside, ok := embedded(addr); ok && p.guards(inside) {
		return false
	}
	return containsAddr(p.allow, addr) || p.site.Load().attached(addr)
}

// guards says whether addr is in a guarded network that allow_peers does not
// open.
func (p *policy) guards(addr netip.Addr) bool {
	for _, n := range guardedNetworks {
		if n.Contains(addr) && !p.opens(n, addr) {
			return true
		}
	}
	if !p.site.Load().own[addr] && !p.isExternal(addr) {
		return false
	}
	// A loopback address is the box's own as well, and guarded above.
	return !addr.IsLoopback() && !p.opens(netip.PrefixFrom(addr, addr.BitLen()), addr)
}

// opens says whether an entry of allow_peers within guarded covers addr.
func (p *policy) opens(guarded netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(p.allow, func(a netip.Prefix) bool {
		return within(a, guarded) && a.Contains(addr)
	})
}

func (p *policy) isExternal(addr netip.Addr) bool {
	return slices.ContainsFunc(p.external, func(e External) bool { return e.Public == addr })
}

func containsAddr(list []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(list, func(n netip.Prefix) bool { return n.Contains(addr) })
}
