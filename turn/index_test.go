package turn

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

func randomAddrPort(r *rand.Rand) netip.AddrPort {
	addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(16))})
	if r.IntN(2) == 0 {
		addr = netip.AddrFrom16([16]byte{0xfd, 15: byte(r.IntN(16))})
	}
	return netip.AddrPortFrom(addr, uint16(r.IntN(16)))
}

// The index does what a map does, while it grows and shrinks.
func TestIndexIsAMap(t *testing.T) {
	var x addrIndex[int]
	oracle, r := map[netip.AddrPort]*int{}, rand.New(rand.NewPCG(1, 2))
	for i := range 20000 {
		key := randomAddrPort(r)
		switch value := oracle[key]; r.IntN(4) {
		case 0:
			x.remove(key, value)
			delete(oracle, key)
		case 1:
			x.remove(key, new(int)) // another's value stays
		default:
			v := new(int)
			if before := x.put(key, v); before != value {
				t.Fatalf("step %d: put replaced %p, want %p", i, before, value)
			}
			oracle[key] = v
		}
		if got := x.find(key); got != oracle[key] || x.len() != len(oracle) {
			t.Fatalf("step %d: %v is %p of %d, want %p of %d", i, key, got, x.len(), oracle[key], len(oracle))
		}
	}
	if got := len(x.values()); got != len(oracle) {
		t.Errorf("%d values, want %d", got, len(oracle))
	}
}

// What stays in the index is found at every moment, whatever else changes.
func TestIndexWhileItChanges(t *testing.T) {
	var x addrIndex[int]
	stays, value := netip.MustParseAddrPort("192.0.2.1:1"), new(int)
	x.put(stays, value)
	var done atomic.Bool
	var looking sync.WaitGroup
	for range 2 {
		looking.Go(func() {
			for !done.Load() {
				if x.find(stays) != value {
					t.Error("not found")
					return
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		key := randomAddrPort(r)
		if v := x.find(key); v != nil {
			x.remove(key, v)
		} else {
			x.put(key, new(int))
		}
	}
	done.Store(true)
	looking.Wait()
}
