package turn

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v2"
)

// Lifetimes of RFC 8656. pion has the same ones for permissions and channels.
const (
	permissionLifetime = 5 * time.Minute  // §9
	channelLifetime    = 10 * time.Minute // §12

	minLifetime = 10 * time.Minute // §7.2: what a client gets that asks for less
	// maxLifetime is a second below the hour that §7.2 suggests: pion turns a
	// full hour into ten minutes.
	maxLifetime = time.Hour - time.Second
)

// allocation is one client's relayed address. Its existence is decided by
// pion, which closes relay at the end; the permissions and channels are kept
// here as well as there, because pion tells nobody about its own.
type allocation struct {
	id         uint64
	gate       *gate
	client     netip.AddrPort
	clientAddr net.Addr // client as pion wants it, made once
	tuple      net.Addr // see gate.LocalAddr
	user       string
	local      netip.AddrPort // where relay is bound
	relayed    netip.AddrPort // how it is handed out
	request    [stun.TransactionIDSize]byte
	token      *reservationToken // of the port reserved with this allocation, or nil
	created    time.Time
	relay      *relayConn
	grant      *grant
	owner      atomic.Pointer[identity] // who made it, or has refreshed it since
	begun      atomic.Bool              // pion has it: it will read relay and close it

	toPeers, toClient traffic

	mu          sync.Mutex
	expires     time.Time
	permissions map[netip.Addr]time.Time // until
	channels    map[uint16]channel
	channelOf   map[netip.AddrPort]uint16
}

// channel is a channel number bound to a peer.
type channel struct {
	peer  netip.AddrPort
	until time.Time
}

// adopt makes a newer credential of the owner the one that counts: what is
// revoked is a credential, not what was once made with it.
func (a *allocation) adopt(id *identity) {
	if held := a.owner.Load(); id.user == a.user && id != held && id.issued >= held.issued {
		a.owner.Store(id)
	}
}

func (a *allocation) addresses() []netip.AddrPort {
	if a.relayed == a.local {
		return []netip.AddrPort{a.local}
	}
	return []netip.AddrPort{a.local, a.relayed}
}

// checkPermissions says whether permissions for peers would stay below max.
func (a *allocation) checkPermissions(peers []netip.AddrPort, max int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expireLocked(time.Now())
	added := map[netip.Addr]bool{}
	for _, peer := range peers {
		if _, ok := a.permissions[peer.Addr()]; !ok {
			added[peer.Addr()] = true
		}
	}
	n := len(a.permissions) + len(added)
	return n <= max && a.grant.holdPermissions(n)
}

// permit creates or refreshes permissions.
func (a *allocation) permit(peers []netip.AddrPort) {
	until := time.Now().Add(permissionLifetime)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, peer := range peers {
		a.permissions[peer.Addr()] = until
	}
}

// permitted says whether the client has a permission for peer.
func (a *allocation) permitted(peer netip.Addr) bool {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	return now.Before(a.permissions[peer])
}

// checkChannel returns the error code for a binding of number to peer that may
// not be made: RFC 8656 §12.2 wants each of them bound once.
func (a *allocation) checkChannel(number uint16, peer netip.AddrPort, max int) stun.ErrorCode {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expireLocked(time.Now())
	bound, numberUsed := a.channels[number]
	_, peerUsed := a.channelOf[peer]
	switch {
	case numberUsed && bound.peer == peer:
		return 0
	case numberUsed || peerUsed:
		return stun.CodeBadRequest
	case len(a.channels) >= max, !a.grant.holdChannels(len(a.channels) + 1):
		return stun.CodeInsufficientCapacity
	}
	return 0
}

// bind creates or refreshes a channel, and the permission that goes with it.
func (a *allocation) bind(number uint16, peer netip.AddrPort) {
	a.permit([]netip.AddrPort{peer})
	until := time.Now().Add(channelLifetime)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.channels[number] = channel{peer: peer, until: until}
	a.channelOf[peer] = number
}

// isBound says whether channel number leads to a peer.
func (a *allocation) isBound(number uint16) bool {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	return now.Before(a.channels[number].until)
}

// refreshed sets how long the allocation lives from now.
func (a *allocation) refreshed(lifetime time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expires = time.Now().Add(lifetime)
}

// sweep gives back to the quotas what has ended.
func (a *allocation) sweep(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expireLocked(now)
	a.grant.holdPermissions(len(a.permissions))
	a.grant.holdChannels(len(a.channels))
}

// expireLocked forgets permissions and channels that have ended.
func (a *allocation) expireLocked(now time.Time) {
	for addr, until := range a.permissions {
		if !now.Before(until) {
			delete(a.permissions, addr)
		}
	}
	for number, c := range a.channels {
		if !now.Before(c.until) {
			delete(a.channels, number)
			delete(a.channelOf, c.peer)
		}
	}
}
