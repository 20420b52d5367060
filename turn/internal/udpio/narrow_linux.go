package udpio

import (
	"net/netip"
	"time"
)

const (
	// narrowFor is how long a path is taken to be as narrow as it was. Paths
	// change, and the kernel forgets what routers have told in ten minutes.
	narrowFor = time.Minute
	// narrowSlots bounds what is remembered, a power of two: of two paths that
	// share a slot the later counts.
	narrowSlots = 256
)

// narrowPaths remembers where segments of some size do not get in one piece, so
// that they are not put together in vain each time. Those packets go out one by
// one, and the kernel sends each in fragments. The zero value is ready.
type narrowPaths struct{ slots []narrowPath } // nil until there is one

type narrowPath struct {
	fd      int // of the socket
	to      netip.AddrPort
	segment int // bytes of the smallest that was too large
	until   time.Time
}

func (n *narrowPaths) at(s *Socket, to netip.AddrPort) *narrowPath {
	return &n.slots[hash(s, to)&(narrowSlots-1)]
}

func (p *narrowPath) is(s *Socket, to netip.AddrPort) bool { return p.fd == s.fd && p.to == to }

// remember takes note that a segment was too large.
func (n *narrowPaths) remember(s *Socket, to netip.AddrPort, segment int, now time.Time) {
	if n.slots == nil {
		n.slots = make([]narrowPath, narrowSlots)
	}
	p := n.at(s, to)
	if p.is(s, to) && now.Before(p.until) {
		segment = min(segment, p.segment)
	}
	*p = narrowPath{s.fd, to, segment, now.Add(narrowFor)}
}

// refuse says whether a segment is too large, as far as is known.
func (n *narrowPaths) refuse(s *Socket, to netip.AddrPort, segment int, now time.Time) bool {
	if n.slots == nil {
		return false
	}
	p := n.at(s, to)
	return segment >= p.segment && p.is(s, to) && now.Before(p.until)
}
