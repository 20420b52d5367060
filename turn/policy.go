package turn

import (
	"net/netip"
	"slices"
	"sync"
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
// An address with an IPv4 address in it must pass 1, 2 and 4 as both. An entry
// with ports or users counts for those alone. All methods may be called
// concurrently; those that ask about a packet take no lock but that of
// relayedAddrs, for an address that nothing has been said about since the last
// change.
type policy struct {
	relayed relayedAddrs

	mu   sync.Mutex // of those that change book
	book atomic.Pointer[rulebook]
}

// rulebook is what a policy goes by at one moment. It does not change.
type rulebook struct {
	generation  uint64 // grows with every change
	allow, deny []PeerRule
	external    externals
	site        *site
}

// relayedAddrs knows the relayed addresses that are allocated at the moment.
type relayedAddrs interface {
	isRelayed(netip.AddrPort) bool
	hasRelayed(netip.Addr) bool
}

func newPolicy(relayed relayedAddrs, book rulebook) *policy {
	p := &policy{relayed: relayed}
	p.change(func(b *rulebook) { *b = book })
	return p
}

// change replaces the rulebook and returns the one before, or nil.
func (p *policy) change(edit func(*rulebook)) (before *rulebook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var next rulebook
	before = p.book.Load()
	if before != nil {
		next = *before
	}
	edit(&next)
	next.generation = 1
	if before != nil {
		next.generation = before.generation + 1
	}
	p.book.Store(&next)
	return before
}

// setSite replaces what is attached and returns what was before.
func (p *policy) setSite(s *site) (before *site) {
	return p.change(func(b *rulebook) { b.site = s }).site
}

// SetPeerRules replaces allow_peers and deny_peers while the relay runs. Live
// allocations follow with the next packet. The error is that of Validate, and
// then nothing changes.
func (s *Server) SetPeerRules(allow, deny []PeerRule) error {
	cfg := Config{AllowPeers: allow, DenyPeers: deny}
	if err := cfg.Validate(); err != nil {
		return err
	}
	allow, deny = slices.Clone(allow), slices.Clone(deny)
	s.policy.change(func(b *rulebook) { b.allow, b.deny = allow, deny })
	return nil
}

// site is what is attached now.
func (p *policy) site() *site { return p.book.Load().site }

// reach remembers what the policy has said about a peer. It is kept with the
// permission or the channel of that peer. Any goroutine may use it.
type reach struct {
	// last is a verdict in one word, so that to remember another costs no memory
	// when the ports of a peer take turns: the generation above the port above
	// verdictBits of flags. 0 is none.
	last atomic.Uint64
}

// verdict is what a policy says about an address.
type verdict uint64

const (
	judged    verdict = 1 << iota
	onePort           // it is about the port that it names and not about every port
	isRefused         // by steps 1 and 2
	isAllowed         // by steps 4 to 6
	// isInside says that it may be a relayed address of this box, which depends
	// on the port and on who is there at the moment.
	isInside

	verdictBits    = 5
	generationFrom = 16 + verdictBits // which leaves enough for 500 changes a second, for 500 years
)

func (v verdict) is(flag verdict) bool { return v&flag != 0 }

// set is v with a flag, if it applies.
func (v verdict) set(flag verdict, applies bool) verdict {
	if applies {
		return v | flag
	}
	return v
}

// about says whether v was said by that generation of the rules and holds for
// a port.
func (v verdict) about(generation uint64, port uint16) bool {
	return v.is(judged) && uint64(v)>>generationFrom == generation &&
		(!v.is(onePort) || uint16(v>>verdictBits) == port)
}

// judge returns the verdict on a canonical address for user, the one that r
// remembers if nothing has changed.
func (p *policy) judge(user string, peer netip.AddrPort, r *reach) verdict {
	b := p.book.Load()
	if v := verdict(r.last.Load()); v.about(b.generation, peer.Port()) {
		return v
	}
	v := b.judge(p.relayed, user, peer) | judged | verdict(b.generation<<generationFrom)
	r.last.Store(uint64(v))
	return v
}

func (b *rulebook) judge(relayed relayedAddrs, user string, peer netip.AddrPort) verdict {
	addr := peer.Addr()
	v := verdict(0).set(isInside, b.isOwn(addr) || addr.IsLoopback() || relayed.hasRelayed(addr))
	refusesSome, allowsSome := b.refuses(user, addr, somePort), b.allowsHost(user, addr, somePort)
	switch {
	case b.refuses(user, addr, everyPort):
		return v | isRefused
	case !refusesSome && b.allowsHost(user, addr, everyPort):
		return v | isAllowed
	case refusesSome || allowsSome:
		at := portsAsked(peer.Port())
		v |= onePort | verdict(peer.Port())<<verdictBits
		return v.set(isRefused, b.refuses(user, addr, at)).set(isAllowed, b.allowsHost(user, addr, at))
	}
	return v
}

// allows is mayReach for every datagram: a permission covers an address, not a
// port, and the networks and rules may have changed.
func (p *policy) allows(user string, peer netip.AddrPort, r *reach) bool {
	v := p.judge(user, peer, r)
	return peer.Port() != 0 && !v.is(isRefused) && (v.is(isAllowed) || v.is(isInside) && p.relayed.isRelayed(peer))
}

// mayReach says whether user may exchange datagrams with peer.
func (p *policy) mayReach(user string, peer netip.AddrPort) bool {
	peer = canonicalPort(peer)
	return peer.Port() != 0 && p.book.Load().reaches(p.relayed, user, peer)
}

func (b *rulebook) reaches(relayed relayedAddrs, user string, peer netip.AddrPort) bool {
	at := portsAsked(peer.Port())
	return !b.refuses(user, peer.Addr(), at) &&
		(b.allowsHost(user, peer.Addr(), at) || relayed.isRelayed(peer))
}

// mayPermit says whether a permission of user for peer may be created. RFC 8656
// §10.1 gives its port no meaning, yet a client that names one means it, and
// hears at once that it is out of reach. pjnath names none, which is 0.
func (p *policy) mayPermit(user string, peer netip.AddrPort) bool {
	if peer.Port() != 0 {
		return p.mayReach(user, peer)
	}
	b, addr := p.book.Load(), canonical(peer.Addr())
	caller := p.relayed.hasRelayed(addr) && !addr.IsLoopback()
	return !b.refuses(user, addr, everyPort) && (caller || b.allowsHost(user, addr, somePort))
}

// portsAsked is what a question about an address is about: one port, or every
// port, or any one of them.
type portsAsked int32

const (
	everyPort portsAsked = -1 // does it hold whatever the port is?
	somePort  portsAsked = -2 // is there a port that it holds for?
)

// covers says whether a rule that names the address and the user counts.
func (a portsAsked) covers(r PeerRule) bool {
	switch a {
	case everyPort:
		return r.everyPort()
	case somePort:
		return true
	}
	return r.at(uint16(a))
}

// refuses covers steps 1 and 2.
func (b *rulebook) refuses(user string, addr netip.Addr, at portsAsked) bool {
	if inside, ok := embedded(addr); ok && b.refuses(user, inside, at) {
		return true
	}
	return containsAddr(unreachableNetworks, addr) || b.site.broadcasts[addr] ||
		slices.ContainsFunc(b.deny, func(r PeerRule) bool { return at.covers(r) && r.names(user, addr) })
}

// allowsHost covers steps 4 to 6.
func (b *rulebook) allowsHost(user string, addr netip.Addr, at portsAsked) bool {
	if b.guards(user, addr, at) {
		return false
	}
	if inside, ok := embedded(addr); ok && b.guards(user, inside, at) {
		return false
	}
	return b.site.attached(addr) ||
		slices.ContainsFunc(b.allow, func(r PeerRule) bool { return at.covers(r) && r.names(user, addr) })
}

// guards says whether addr is in a guarded network that allow_peers does not
// open.
func (b *rulebook) guards(user string, addr netip.Addr, at portsAsked) bool {
	for _, n := range guardedNetworks {
		if n.Contains(addr) && !b.opens(n, user, addr, at) {
			return true
		}
	}
	// A loopback address is the box's own as well, and guarded above.
	return b.isOwn(addr) && !addr.IsLoopback() && !b.opens(netip.PrefixFrom(addr, addr.BitLen()), user, addr, at)
}

// isOwn says whether addr is the box itself, or leads to it.
func (b *rulebook) isOwn(addr netip.Addr) bool {
	return b.site.own[addr] || b.external.includes(addr)
}

// opens says whether an entry of allow_peers within guarded covers addr.
func (b *rulebook) opens(guarded netip.Prefix, user string, addr netip.Addr, at portsAsked) bool {
	return slices.ContainsFunc(b.allow, func(r PeerRule) bool {
		return within(r.Network, guarded) && at.covers(r) && r.names(user, addr)
	})
}

func containsAddr(list []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(list, func(n netip.Prefix) bool { return n.Contains(addr) })
}
