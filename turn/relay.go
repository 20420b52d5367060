package turn

import (
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"signalbox/turn/internal/udpio"
)

// relay is one relayed address of an allocation: a socket that a loop reads.
type relay struct {
	allocation *allocation
	socket     *udpio.Socket
	local      netip.AddrPort // where socket is bound
	relayed    netip.AddrPort // how it is handed out
	once       sync.Once
}

// end lets go of the address: it is forgotten before the socket goes, and its
// port is free after, so that in between nobody takes another's socket for a
// caller's.
func (r *relay) end() {
	r.once.Do(func() {
		s := r.allocation.server
		s.registry.forget(r)
		r.socket.Close()
		s.ports.release(r.local, anyPort)
	})
}

// Receive takes a datagram from a peer. The loop calls it.
func (r *relay) Receive(b *udpio.Batch, d udpio.Datagram) {
	r.allocation.fromPeer(b, delivery{
		peer: canonicalPort(d.From), payload: d.Data, tos: d.TOS,
		meters: [2]*udpio.Meter{&r.allocation.toClient},
	})
}

// addresses are those by which others may know a relayed address.
func (r *relay) addresses() []netip.AddrPort {
	if r.relayed == r.local {
		return []netip.AddrPort{r.local}
	}
	return []netip.AddrPort{r.local, r.relayed}
}

// relayConn is an allocation's relayed address as pion sees it: handing one out
// begins the allocation, and Close, which pion calls on every path, ends it.
// No data passes through it.
type relayConn struct {
	allocation *allocation
	once       sync.Once
	begun      bool // pion has it: it will read and close
}

var _ net.PacketConn = (*relayConn)(nil)

// ReadFrom ends the goroutine in which pion reads the relayed address. It would
// do nothing but wait for the end, and its stack and buffer are a third of what
// an allocation costs. pion hears of the end from gate.forget.
func (r *relayConn) ReadFrom([]byte) (int, net.Addr, error) {
	r.allocation.gate.relays.Done()
	runtime.Goexit()
	return 0, nil, net.ErrClosed // for the compiler
}

// WriteTo is not called: pion sees no data.
func (r *relayConn) WriteTo(p []byte, _ net.Addr) (int, error) { return len(p), nil }

// Close ends the allocation. It never fails: pion stops closing at an error.
func (r *relayConn) Close() error {
	r.once.Do(func() {
		a := r.allocation
		a.server.ended(a)
		for _, relay := range a.relays {
			if relay != nil {
				relay.end()
			}
		}
		if r.begun {
			a.gate.relays.Done()
		}
	})
	return nil
}

// LocalAddr is where the first socket is bound.
func (r *relayConn) LocalAddr() net.Addr {
	return net.UDPAddrFromAddrPort(r.allocation.first().local)
}

// The allocation's lifetime is the only end of a read, and pion sets no other.
func (r *relayConn) SetDeadline(time.Time) error      { return nil }
func (r *relayConn) SetReadDeadline(time.Time) error  { return nil }
func (r *relayConn) SetWriteDeadline(time.Time) error { return nil }
