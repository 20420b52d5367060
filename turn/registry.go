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
	all    map[*allocation]bool
	// relayed finds allocations by relayed address, as bound and as handed
	// out; onAddr counts them by address alone.
	relayed map[netip.AddrPort]*allocation
	onAddr  map[netip.Addr]int
}

func newRegistry() *registry {
	return &registry{
		all:     map[*allocation]bool{},
		relayed: map[netip.AddrPort]*allocation{}, onAddr: map[netip.Addr]int{},
	}
}

// add numbers an allocation and puts it in its place.
func (r *registry) add(a *allocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastID++
	a.id = r.lastID
	a.tuple = tupleOf(a.id)
	r.all[a] = true
	for _, addr := range a.addresses() {
		r.relayed[addr] = a
		r.onAddr[addr.Addr()]++
	}
}

// remove forgets an allocation.
func (r *registry) remove(a *allocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, a)
	for _, addr := range a.addresses() {
		delete(r.relayed, addr)
		if r.onAddr[addr.Addr()]--; r.onAddr[addr.Addr()] == 0 {
			delete(r.onAddr, addr.Addr())
		}
	}
}

// isRelayed says whether addr is the relayed address of an allocation.
func (r *registry) isRelayed(addr netip.AddrPort) bool { return r.find(addr) != nil }

// hasRelayed says whether addr has a port that is a relayed address.
func (r *registry) hasRelayed(addr netip.Addr) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.onAddr[addr] > 0
}

// find returns the allocation with a relayed address, as bound or as handed
// out, or nil.
func (r *registry) find(addr netip.AddrPort) *allocation {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.relayed[addr]
}

func (r *registry) live() []*allocation {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Keys(r.all))
}

func (r *registry) count() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.all)
}
