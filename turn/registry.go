package turn

import (
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/pion/stun/v2"
)

// registry holds the live allocations of the whole relay and counts them
// against the quotas.
type registry struct {
	maxTotal, maxPerUser int

	mu      sync.RWMutex
	lastID  uint64
	total   int // reserved and live
	perUser map[string]int
	all     map[uint64]*allocation
	onAddr  map[netip.Addr]int // relayed addresses, by address alone

	// relayed finds relayed addresses, as bound and as handed out.
	relayed addrIndex[relay]
}

func newRegistry(maxTotal, maxPerUser int) *registry {
	return &registry{
		maxTotal: maxTotal, maxPerUser: maxPerUser,
		perUser: map[string]int{}, all: map[uint64]*allocation{}, onAddr: map[netip.Addr]int{},
	}
}

// reserve takes user's place for one allocation, or returns the error code for
// a quota that is used up (RFC 8656 §7.2). add or cancel follows.
func (r *registry) reserve(user string) stun.ErrorCode {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.perUser[user] >= r.maxPerUser:
		return stun.CodeAllocQuotaReached
	case r.total >= r.maxTotal:
		return stun.CodeInsufficientCapacity
	}
	r.total++
	r.perUser[user]++
	return 0
}

// cancel gives back a place that reserve has taken.
func (r *registry) cancel(user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancelLocked(user)
}

func (r *registry) cancelLocked(user string) {
	r.total--
	if r.perUser[user]--; r.perUser[user] == 0 {
		delete(r.perUser, user)
	}
}

// add numbers an allocation and puts it in its place.
func (r *registry) add(a *allocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastID++
	a.id = r.lastID
	a.tuple = tupleOf(a.id)
	r.all[a.id] = a
	for _, relay := range a.relays {
		if relay == nil {
			continue
		}
		for _, addr := range relay.addresses() {
			r.relayed.put(addr, relay)
			r.onAddr[addr.Addr()]++
		}
	}
}

// remove forgets an allocation, whose relays end by themselves, and gives its
// place back.
func (r *registry) remove(a *allocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancelLocked(a.user)
	delete(r.all, a.id)
}

// forget makes a relayed address unknown before its allocation ends.
func (r *registry) forget(relay *relay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgetLocked(relay)
}

func (r *registry) forgetLocked(relay *relay) {
	for _, addr := range relay.addresses() {
		if r.relayed.find(addr) != relay {
			continue // forgotten already
		}
		r.relayed.remove(addr, relay)
		if r.onAddr[addr.Addr()]--; r.onAddr[addr.Addr()] == 0 {
			delete(r.onAddr, addr.Addr())
		}
	}
}

// isRelayed says whether addr is the relayed address of an allocation.
func (r *registry) isRelayed(addr netip.AddrPort) bool { return r.relayed.find(addr) != nil }

// hasRelayed says whether addr has a port that is a relayed address.
func (r *registry) hasRelayed(addr netip.Addr) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.onAddr[addr] > 0
}

// taken is how many places are reserved or live.
func (r *registry) taken() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.total
}

// byID returns a live allocation, or nil.
func (r *registry) byID(id uint64) *allocation {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.all[id]
}

func (r *registry) live() []*allocation {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.all))
}

func (r *registry) count() (allocations, users int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.all), len(r.perUser)
}
