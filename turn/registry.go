package turn

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// registry holds the live allocations of the whole relay.
type registry struct {
	mu     sync.RWMutex
	lastID uint64
	all    map[uint64]*allocation
	onAddr map[netip.Addr]int // how many keys of relayed have an address

	// relayed finds relayed addresses, as bound and as handed out.
	relayed addrIndex[relay]
}

func newRegistry() *registry {
	return &registry{
		all: map[uint64]*allocation{}, onAddr: map[netip.Addr]int{},
	}
}

// add numbers an allocation and puts it in its place. It returns a relayed
// address of another one that was known by the same address, or nil: who sends
// to it from within the relay reaches the new one.
func (r *registry) add(a *allocation) (replaced *relay) {
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
			if before := r.relayed.put(addr, relay); before != nil {
				replaced = before
			} else {
				r.onAddr[addr.Addr()]++
			}
		}
	}
	return replaced
}

// remove forgets an allocation, whose relays end by themselves.
func (r *registry) remove(a *allocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
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
			continue // forgotten already, or replaced
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

func (r *registry) count() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.all)
}
