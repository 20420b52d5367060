package turn

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
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
			r.lifetime = r.allocation.lifetime
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
	want, code := g.families()
	if code != 0 {
		return code
	}
	if r.lifetime, ok = lifetimeOf(&g.message, false); !ok {
		return stun.CodeBadRequest
	}
	if want.pairing, want.claimed, code = g.pairing(want); code != 0 {
		return code
	}
	return g.prepare(want)
}

// wanted are the relayed addresses that an Allocate asks for.
type wanted struct {
	addr    netip.Addr   // the local address of the first
	second  netip.Addr   // of an additional IPv6 one; invalid if none is to be had
	missing addressError // which one of the two is not to be had although both were asked for
	pairing pairing
	claimed *reservationToken
}

// families reads REQUESTED-ADDRESS-FAMILY and ADDITIONAL-ADDRESS-FAMILY (RFC
// 8656 §7.2) and finds addresses of the box for them.
func (g *gate) families() (want wanted, _ refusal) {
	requested, ok := familyAsked(&g.message, stun.AttrRequestedAddressFamily)
	additional, ok2 := familyAsked(&g.message, additionalFamily(&g.message))
	if !ok || !ok2 || additional != 0 && additional != familyIPv6 || requested != 0 && additional != 0 {
		return want, stun.CodeBadRequest
	}
	local := g.request.link.local().Addr()
	v4, v6 := g.server.relayAddr(local, netip.Addr.Is4), g.server.relayAddr(local, netip.Addr.Is6)
	switch {
	case additional != 0:
		want.both(v4, v6)
	case requested == familyIPv4:
		want.addr = v4
	case requested == familyIPv6:
		want.addr = v6
	case requested == 0:
		// None means IPv4, whatever the client speaks to the relay: there all
		// callers can meet. On a box without IPv4 the RFC wants 440, which
		// would leave browsers nothing, for they never ask for a family and
		// take what they get.
		if want.addr = v4; !v4.IsValid() {
			want.addr = v6
		}
	}
	if !want.addr.IsValid() {
		return want, stun.CodeAddrFamilyNotSupported
	}
	return want, 0
}

// additionalFamily is the attribute by which m would ask for a second family.
func additionalFamily(m *stun.Message) stun.AttrType {
	if m.Contains(attrAdditionalAddressFamily) {
		return attrAdditionalAddressFamily
	}
	return attrCoturnAdditionalFamily
}

// both takes an address of each family. Of one that is not to be had the client
// is told, and it gets the other (RFC 8656 §7.2).
func (w *wanted) both(v4, v6 netip.Addr) {
	switch {
	case !v4.IsValid():
		w.addr, w.missing = v6, addressError{familyIPv4, stun.CodeAddrFamilyNotSupported}
	case !v6.IsValid():
		w.addr, w.missing = v4, addressError{familyIPv6, stun.CodeAddrFamilyNotSupported}
	default:
		w.addr, w.second = v4, v6
	}
}

// pairing reads EVEN-PORT and RESERVATION-TOKEN, which do not go with some of
// the families asked for.
func (g *gate) pairing(want wanted) (pairing, *reservationToken, refusal) {
	even, wantsEven, evenOK := fixed(&g.message, stun.AttrEvenPort, 1)
	claim, claims, claimOK := fixed(&g.message, stun.AttrReservationToken, len(reservationToken{}))
	pair := wantsEven && evenOK && even[0]&0x80 != 0
	both := g.message.Contains(additionalFamily(&g.message))
	switch {
	case !evenOK, !claimOK, wantsEven && claims, pair && both,
		claims && (both || g.message.Contains(stun.AttrRequestedAddressFamily)):
		return 0, nil, stun.CodeBadRequest
	case claims:
		token := reservationToken(claim)
		return anyPort, &token, 0
	case pair:
		return portPair, nil, 0
	case wantsEven:
		return evenPort, nil, 0
	}
	return anyPort, nil, 0
}

// prepare makes the allocation of the request at hand: quota, ports, sockets.
func (g *gate) prepare(want wanted) refusal {
	r, s := &g.request, g.server
	if want.pairing == portPair && !s.ports.mayReserve(r.user, s.config.MaxAllocationsPerUser, s.config.MaxAllocations) {
		return stun.CodeAllocQuotaReached
	}
	grant, code := s.quotas.admit(r.user, r.from.Addr())
	if code != 0 {
		return code
	}
	if s.Draining() { // asked after the place is taken, see settleDrain
		s.giveBack(grant)
		r.because = drainingError
		s.counters.refusedDraining.Add(1)
		return stun.CodeInsufficientCapacity
	}
	a := &allocation{
		server: s, gate: g, link: r.link, client: r.from,
		user: r.user, request: r.id, lifetime: r.lifetime, created: time.Now(), missing: want.missing,
		peers: peers{clock: &s.clock, grant: grant},
	}
	a.owner.Store(r.identity)
	a.countInto(s.counters.flow(r.link.transport()))
	if err := g.bind(a, want); err != nil {
		s.giveBack(grant)
		if !errors.Is(err, errNoReservation) { // that is the client's mistake
			s.failures.Warn("relay socket not bound", "remote", r.from, "user", r.user, "err", err)
		}
		return stun.CodeInsufficientCapacity
	}
	if other := s.registry.add(a); other != nil {
		s.failures.Warn("relayed address of another allocation replaced", "alloc", other.allocation.id, "remote", r.from, "user", r.user)
	}
	r.allocation, r.fresh = a, true
	return 0
}

// bind gives an allocation its sockets.
func (g *gate) bind(a *allocation, want wanted) error {
	ports := g.server.ports
	var port, next relayPort
	var err error
	if want.claimed != nil {
		port, err = ports.claim(*want.claimed, a.user)
	} else {
		port, next, err = ports.listen(want.addr, want.pairing)
	}
	if err != nil && want.second.IsValid() {
		a.missing = addressError{familyIPv4, stun.CodeInsufficientCapacity}
		want.addr, want.second = want.second, netip.Addr{}
		port, next, err = ports.listen(want.addr, want.pairing)
	}
	if err != nil {
		return err
	}
	if want.pairing == portPair {
		a.token = new(reservationToken)
		_, _ = rand.Read(a.token[:]) // never fails
		ports.reserve(*a.token, next, a.user)
	}
	a.add(port)
	if want.second.IsValid() {
		if second, _, err := ports.listen(want.second, anyPort); err == nil {
			a.add(second)
		} else {
			a.missing = addressError{familyIPv6, stun.CodeInsufficientCapacity}
		}
	}
	a.conn = &relayConn{allocation: a}
	return nil
}

// add makes a bound port a relayed address of the allocation.
func (a *allocation) add(port relayPort) {
	a.relays[family(port.at.Addr())] = &relay{
		allocation: a, socket: port.socket, local: port.at,
		relayed: a.server.ports.advertise(port.at),
	}
}

// begun makes an allocation that pion has taken known to its gate.
func (g *gate) begun(a *allocation) {
	r := &g.request
	g.relays.Add(2) // its reader, and who closes it
	a.conn.begun = true
	g.server.counters.created.Add(1)
	if !a.link.setAllocated(a) {
		a.lifetime, r.lifetime = 0, 0 // the client has gone meanwhile
	}
	for _, relay := range a.relays {
		if relay == nil {
			continue
		}
		if err := g.server.loopFor(a.link).Add(relay.socket, relay); err != nil {
			g.server.failures.Warn("relay socket not read", "remote", a.client, "user", a.user, "err", err)
			a.lifetime, r.lifetime = 0, 0
		}
	}
	if g.server.log.Enabled(context.Background(), slog.LevelDebug) { // what it is told costs 300 bytes
		g.server.log.Debug("allocation created", "alloc", a.id, "user", a.user, "remote", a.client, "conn", a.link.transport())
	}
	if g.server.isRevoked(a) { // since it was authenticated
		a.lifetime, r.lifetime = 0, 0
	}
}

// ended forgets an allocation whose relayConn is being closed.
func (s *Server) ended(a *allocation) {
	s.registry.remove(a)
	a.grant.release()
	a.link.setEnded(a)
	a.stopTimer()
	s.settleDrain()
	s.log.Debug("allocation ended", "alloc", a.id, "user", a.user, "dur", time.Since(a.created))
}
