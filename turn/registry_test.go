package turn

import (
	"net/netip"
	"testing"
)

// A relayed address that replaces another is reported, and nothing is left of
// either when both have ended.
func TestRegistryReplacement(t *testing.T) {
	r := newRegistry()
	public := netip.MustParseAddrPort("203.0.113.5:50000")
	var relays []*relay
	for _, local := range []string{"192.168.1.5:50000", "10.20.0.5:50000"} {
		one := &relay{local: netip.MustParseAddrPort(local), relayed: public}
		one.allocation = &allocation{relays: [2]*relay{one}}
		relays = append(relays, one)
	}
	if replaced := r.add(relays[0].allocation); replaced != nil {
		t.Errorf("the first has replaced %v", replaced.local)
	}
	if replaced := r.add(relays[1].allocation); replaced != relays[0] {
		t.Errorf("the second has replaced %v, want the first", replaced)
	}
	for i, one := range relays {
		r.forget(one)
		r.forget(one) // as when an address goes and then the allocation
		r.remove(one.allocation)
		if left := r.hasRelayed(public.Addr()); left != (i == 0) || r.isRelayed(public) != left {
			t.Errorf("after the end of %v: relayed %v", one.local, left)
		}
	}
	if len(r.onAddr) != 0 || r.relayed.len() != 0 || r.count() != 0 {
		t.Errorf("left: %v, %d relayed addresses, %d allocations", r.onAddr, r.relayed.len(), r.count())
	}
}
