package turn

import (
	"crypto/rand"
	"errors"
	"net/netip"
	"time"

	"github.com/pion/stun/v2"
)

// checkAllocate checks an Allocate request (RFC 8656 §7.2) and makes ready the
// allocation, so that every reason against it is known before pion begins.
func (g *gate) checkAllocate() refusal {
	r := &g.request
	if r.allocation != nil {
		if r.allocation.request == r.id && r.allocation.user == r.user {
			return 0 // sent again: pion repeats its answer
		}
		return stun.CodeAllocMismatch
	}
	transport, present, ok := fixed(&g.message, stun.AttrRequestedTransport, 4)
	switch {
	case !present || !ok:
		return stun.CodeBadRequest
	case transport[0] != protocolUDP:
		return stun.CodeUnsupportedTransProto
	}
	if family, ok := g.familyAsked(g.local.Addr()); !ok {
		return stun.CodeBadRequest
	} else if !family {
		return stun.CodeAddrFamilyNotSupported
	}
	if r.lifetime, ok = lifetimeOf(&g.message, false); !ok {
		return stun.CodeBadRequest
	}
	want, token, code := g.pairing()
	if code != 0 {
		return code
	}
	return g.prepare(want, token)
}

// pairing reads EVEN-PORT and RESERVATION-TOKEN.
func (g *gate) pairing() (pairing, *reservationToken, refusal) {
	even, wantsEven, evenOK := fixed(&g.message, stun.AttrEvenPort, 1)
	claim, claims, claimOK := fixed(&g.message, stun.AttrReservationToken, len(reservationToken{}))
	switch {
	case !evenOK, !claimOK, wantsEven && claims,
		claims && g.message.Contains(stun.AttrRequestedAddressFamily):
		return 0, nil, stun.CodeBadRequest
	case claims:
		token := reservationToken(claim)
		return anyPort, &token, 0
	case wantsEven && even[0]&0x80 != 0:
		return portPair, nil, 0
	case wantsEven:
		return evenPort, nil, 0
	}
	return anyPort, nil, 0
}

// prepare makes the allocation of the request at hand: quota, port, socket.
func (g *gate) prepare(want pairing, claimed *reservationToken) refusal {
	r, s := &g.request, g.server
	grant, code := s.quotas.admit(r.user, r.from.Addr())
	if code != 0 {
		return code
	}
	a := &allocation{
		gate: g, client: r.from, clientAddr: netAddr(g.transport, r.from),
		user: r.user, request: r.id, created: time.Now(), grant: grant,
		permissions: map[netip.Addr]time.Time{},
		channels:    map[uint16]channel{},
		channelOf:   map[netip.AddrPort]uint16{},
	}
	a.owner.Store(r.identity)
	if err := g.bind(a, want, claimed); err != nil {
		grant.release()
		if !errors.Is(err, errNoReservation) { // that is the client's mistake
			s.failures.Warn("relay socket not bound", "remote", r.from, "user", r.user, "err", err)
		}
		return stun.CodeInsufficientCapacity
	}
	s.registry.add(a)
	r.allocation, r.fresh = a, true
	return 0
}

// bind gives an allocation its socket, on the address that the client spoke to.
func (g *gate) bind(a *allocation, want pairing, claimed *reservationToken) error {
	ports := g.server.ports
	var port, next relayPort
	var err error
	if claimed != nil {
		port, err = ports.claim(*claimed, a.user)
	} else {
		port, next, err = ports.listen(g.local.Addr(), want)
	}
	if err != nil {
		return err
	}
	if want == portPair {
		a.token = new(reservationToken)
		_, _ = rand.Read(a.token[:]) // never fails
		ports.reserve(*a.token, next, a.user)
	}
	_ = port.socket.SetWriteDeadline(time.Now().Add(udpWriteTimeout)) // a new socket takes one
	a.local = port.at
	a.relayed = netip.AddrPortFrom(advertise(g.server.config.External, a.local.Addr()), a.local.Port())
	a.relay = &relayConn{server: g.server, allocation: a, socket: port.socket, closed: make(chan struct{})}
	return nil
}

// begun makes an allocation that pion has taken known to its gate.
func (g *gate) begun(a *allocation) {
	g.relays.Add(2) // its reader, and who closes it
	a.begun.Store(true)
	g.server.counters.created.Add(1)
	g.mu.Lock()
	g.allocations[a.client] = a
	g.link.setAllocated(true)
	g.mu.Unlock()
	g.server.log.Debug("allocation created", "alloc", a.id, "user", a.user, "remote", a.client, "conn", g.transport)
	if g.server.isRevoked(a) { // since it was authenticated
		_ = a.relay.Close() // never fails
	}
}

// ended forgets an allocation whose relayConn is being closed.
func (s *Server) ended(a *allocation) {
	s.registry.remove(a)
	a.grant.release()
	g := a.gate
	g.mu.Lock()
	if g.allocations[a.client] == a { // not one that was prepared and refused
		delete(g.allocations, a.client)
		g.link.setAllocated(len(g.allocations) > 0)
	}
	g.mu.Unlock()
	s.log.Debug("allocation ended", "alloc", a.id, "user", a.user, "dur", time.Since(a.created))
}
