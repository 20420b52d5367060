package turn

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn/internal/udpio"
)

// Lifetimes of allocations.
const (
	minLifetime = 10 * time.Minute // RFC 8656 §7.2: what a client gets that asks for less
	// maxLifetime is below the hour that §7.2 suggests, with engineMargin: pion
	// turns a full hour into ten minutes.
	maxLifetime = time.Hour - time.Second - engineMargin
	// engineMargin is what pion's timer has more than ours, so that it never
	// ends an allocation by itself: it does not take care of the request that
	// may be at hand.
	engineMargin = time.Minute
)

// allocation is one client's relayed addresses: one, or one of each family
// (RFC 8656 §7.2, ADDITIONAL-ADDRESS-FAMILY). Its existence is decided by pion,
// which closes conn at the end; permissions and channels are kept here as well
// as there, because here is where packets go by.
type allocation struct {
	id         uint64
	server     *Server
	gate       *gate
	link       link
	client     netip.AddrPort
	clientAddr net.Addr // client as pion wants it, made once
	tuple      net.Addr // see gate.LocalAddr
	user       string
	request    [stun.TransactionIDSize]byte
	lifetime   time.Duration     // that the request was given
	token      *reservationToken // of the port reserved with this allocation, or nil
	created    time.Time
	conn       *relayConn
	// relays are by family, IPv4 first; one may be nil. They are set before
	// anyone knows the allocation.
	relays [2]*relay
	// missing is why there is only one address although two were asked for.
	missing addressError
	owner   atomic.Pointer[identity] // who made it, or has refreshed it since

	peers
	toPeers, toClient udpio.Meter // payload that has been relayed

	mu      sync.Mutex
	expires time.Time
	timer   *time.Timer // of expires; nil before the first lifetime is known
}

// countInto has what is relayed counted, and the quotas get back what they were
// charged for packets that are not sent.
func (a *allocation) countInto(f *flow) {
	a.toPeers.Parent, a.toClient.Parent = &f.toPeers, &f.toClients
	if a.grant.limited() {
		back := a.grant.giveBack
		a.toPeers.Lost, a.toClient.Lost = back, back
	}
}

// adopt makes a newer credential of the owner the one that counts: what is
// revoked is a credential, not what was once made with it.
func (a *allocation) adopt(id *identity) {
	if held := a.owner.Load(); id.user == a.user && id != held && id.issued >= held.issued {
		a.owner.Store(id)
	}
}

// family is the place of addr's family in allocation.relays.
func family(addr netip.Addr) int {
	if addr.Is4() {
		return 0
	}
	return 1
}

// relayFor is the relayed address that peers of addr's family are reached
// from, nil if there is none.
func (a *allocation) relayFor(addr netip.Addr) *relay {
	if r := a.relays[family(addr)]; r != nil && !r.socket.Closed() {
		return r
	}
	return nil
}

// first is the relayed address that the client got first.
func (a *allocation) first() *relay {
	if a.relays[0] != nil {
		return a.relays[0]
	}
	return a.relays[1]
}

// endOn ends the relayed addresses that are on an address of the box, and says
// whether others are left. Only the gate may call it: it may be telling the
// client of them.
func (a *allocation) endOn(addr netip.Addr) (left bool) {
	for _, r := range a.relays {
		if r != nil && r.local.Addr() == addr {
			r.end()
		}
		left = left || r != nil && !r.socket.Closed()
	}
	return left
}

// refreshed sets how long the allocation lives from now.
func (a *allocation) refreshed(lifetime time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expires = time.Now().Add(lifetime)
	if a.timer == nil {
		a.timer = time.AfterFunc(lifetime, func() { a.gate.end(a, true) })
	} else {
		a.timer.Reset(lifetime)
	}
}

// expiredAt says whether the lifetime is over at a moment.
func (a *allocation) expiredAt(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !now.Before(a.expires)
}

// stopTimer is for an allocation that has ended.
func (a *allocation) stopTimer() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
	}
}
