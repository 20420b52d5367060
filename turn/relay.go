package turn

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// relayConn is the socket of one relayed address, as pion sees it: creating
// one begins an allocation, and Close, which pion calls on every path, ends it.
// Each datagram passes the policy and the permissions here, in both directions.
// A data plane of our own takes over by reading the socket in place of pion.
type relayConn struct {
	server     *Server
	allocation *allocation
	socket     udpSocket
	closed     chan struct{}
	once       sync.Once

	// The last peer, for the reader alone: most allocations have one.
	lastPeer     netip.AddrPort
	lastPeerAddr *net.UDPAddr

	from, to lastVerdict // on the last peer; from is the reader's, to the gate's
}

var _ net.PacketConn = (*relayConn)(nil)

// ReadFrom waits for a datagram that the client may have. It returns an error
// only after Close, since pion ends the allocation on any.
func (r *relayConn) ReadFrom(p []byte) (int, net.Addr, error) {
	for failed := 0; ; {
		n, from, err := r.socket.ReadFromUDPAddrPort(p)
		switch {
		case err == nil:
			failed = 0
			if peer, ok := r.admit(n, n == len(p), canonicalPort(from)); ok {
				r.count(&r.allocation.toClient, &r.server.counters.toClients, n)
				return n, r.peerAddr(peer), nil
			}
		case errors.Is(err, net.ErrClosed):
			<-r.closed
			r.allocation.gate.relays.Done()
			return 0, nil, err
		default:
			r.server.counters.readErrors.Add(1)
			if pause(backoff(failed), r.closed) {
				failed++
			}
		}
	}
}

// admit decides about a datagram from a peer and returns the address that the
// client knows this peer by. A datagram that fills the buffer may have been cut.
func (r *relayConn) admit(bytes int, full bool, from netip.AddrPort) (netip.AddrPort, bool) {
	peer := from
	if other := r.server.registry.find(from); other != nil {
		peer = other.relayed
	}
	switch {
	case full:
		r.server.counters.drop(dropOversize)
	case !r.server.policy.mayReachAgain(r.allocation.user, peer, &r.from):
		r.server.counters.drop(dropPeerDenied)
	case !r.allocation.permitted(peer.Addr()):
		r.server.counters.drop(dropNoPermission)
	default:
		return peer, r.spend(bytes)
	}
	return peer, false
}

func (r *relayConn) peerAddr(peer netip.AddrPort) *net.UDPAddr {
	if peer != r.lastPeer {
		r.lastPeer, r.lastPeerAddr = peer, net.UDPAddrFromAddrPort(peer)
	}
	return r.lastPeerAddr
}

// WriteTo sends a datagram to a peer. Nobody gains from an error here: the
// client gets none (RFC 8656 §11.2), so a datagram that cannot be sent is
// counted and forgotten.
func (r *relayConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	peer := canonicalPort(addrPortOf(addr))
	if !r.server.policy.mayReachAgain(r.allocation.user, peer, &r.to) {
		r.server.counters.drop(dropPeerDenied)
		return len(p), nil
	}
	if !r.spend(len(p)) {
		return len(p), nil
	}
	// An address that a NAT has for another caller is reached inside.
	if other := r.server.registry.find(peer); other != nil {
		peer = other.local
	}
	if _, err := r.socket.WriteToUDPAddrPort(p, peer); err != nil {
		r.server.counters.drop(dropSendFailed)
	} else {
		r.count(&r.allocation.toPeers, &r.server.counters.toPeers, len(p))
	}
	return len(p), nil
}

// spend takes bytes from the quotas, or counts a drop.
func (r *relayConn) spend(bytes int) bool {
	grant := r.allocation.grant
	if !grant.limited() {
		return true
	}
	reason, ok := grant.spend(bytes, r.server.quotas.clock())
	if !ok {
		r.server.counters.drop(reason)
	}
	return ok
}

func (r *relayConn) count(own, total *traffic, bytes int) {
	own.add(bytes)
	total.add(bytes)
}

// Close ends the allocation. It never fails: pion stops closing at an error.
// The relayed address is forgotten before the socket goes, and its port is
// free after: in between nobody takes another's socket for a caller's.
func (r *relayConn) Close() error {
	r.once.Do(func() {
		close(r.closed)
		r.server.ended(r.allocation)
		r.socket.Close()
		r.server.ports.free(r.allocation)
		if r.allocation.begun.Load() {
			r.allocation.gate.relays.Done()
		}
	})
	return nil
}

func (r *relayConn) isClosed() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}

// LocalAddr is where the socket is bound.
func (r *relayConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(r.allocation.local) }

// SetDeadline and SetReadDeadline do nothing: the allocation's lifetime is the
// only end of a read, and pion sets none.
func (r *relayConn) SetDeadline(time.Time) error     { return nil }
func (r *relayConn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline bounds the writes to come.
func (r *relayConn) SetWriteDeadline(t time.Time) error { return r.socket.SetWriteDeadline(t) }
