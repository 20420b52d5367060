package turn

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
)

// minBuckets is a power of two.
const minBuckets = 8

// addrIndex finds values by address, without a lock for those who look, since
// each packet does. Any goroutine may call any method.
type addrIndex[V any] struct {
	buckets atomic.Pointer[[]atomic.Pointer[indexEntry[V]]]

	mu    sync.Mutex // of those who change it
	count int
}

type indexEntry[V any] struct {
	key   netip.AddrPort
	value *V
	next  atomic.Pointer[indexEntry[V]]
}

// find returns the value of key, or nil.
func (x *addrIndex[V]) find(key netip.AddrPort) *V {
	buckets := x.buckets.Load()
	if buckets == nil {
		return nil
	}
	for e := bucketOf(*buckets, key).Load(); e != nil; e = e.next.Load() {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// put sets the value of key and returns the one it had before, or nil.
func (x *addrIndex[V]) put(key netip.AddrPort, value *V) (before *V) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if before = x.find(key); before != nil {
		x.removeLocked(key)
	}
	if b := x.buckets.Load(); b == nil || x.count >= len(*b) {
		x.growLocked()
	}
	x.count++
	insert(*x.buckets.Load(), key, value)
	return before
}

// remove forgets key if it has that value.
func (x *addrIndex[V]) remove(key netip.AddrPort, value *V) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.find(key) == value {
		x.removeLocked(key)
	}
}

func (x *addrIndex[V]) removeLocked(key netip.AddrPort) {
	buckets := x.buckets.Load()
	if buckets == nil {
		return
	}
	at := bucketOf(*buckets, key)
	for e := at.Load(); e != nil; e = at.Load() {
		if e.key == key {
			at.Store(e.next.Load()) // who stands on e goes on from there
			x.count--
			return
		}
		at = &e.next
	}
}

// growLocked makes room. Those who look go on in the old buckets meanwhile.
func (x *addrIndex[V]) growLocked() {
	grown := make([]atomic.Pointer[indexEntry[V]], minBuckets)
	if old := x.buckets.Load(); old != nil {
		grown = make([]atomic.Pointer[indexEntry[V]], 2*len(*old))
		for i := range *old {
			for e := (*old)[i].Load(); e != nil; e = e.next.Load() {
				insert(grown, e.key, e.value)
			}
		}
	}
	x.buckets.Store(&grown)
}

// len is the number of keys.
func (x *addrIndex[V]) len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count
}

// values lists the values at some moment during the call.
func (x *addrIndex[V]) values() []*V {
	x.mu.Lock()
	defer x.mu.Unlock()
	buckets := x.buckets.Load()
	if buckets == nil {
		return nil
	}
	var all []*V
	for i := range *buckets {
		for e := (*buckets)[i].Load(); e != nil; e = e.next.Load() {
			all = append(all, e.value)
		}
	}
	return all
}

func insert[V any](buckets []atomic.Pointer[indexEntry[V]], key netip.AddrPort, value *V) {
	at := bucketOf(buckets, key)
	e := &indexEntry[V]{key: key, value: value}
	e.next.Store(at.Load())
	at.Store(e)
}

func bucketOf[V any](buckets []atomic.Pointer[indexEntry[V]], key netip.AddrPort) *atomic.Pointer[indexEntry[V]] {
	return &buckets[hashAddr(key)&uint64(len(buckets)-1)]
}

// hashSeeds keep clients from choosing addresses that share a bucket.
var hashSeeds = [2]uint64{maphash.String(maphash.MakeSeed(), "a"), maphash.String(maphash.MakeSeed(), "b") | 1}

func hashAddr(key netip.AddrPort) uint64 {
	addr := key.Addr()
	port := uint64(key.Port())
	if addr.Is4() {
		b := addr.As4()
		high, low := bits.Mul64(uint64(binary.LittleEndian.Uint32(b[:]))|port<<32^hashSeeds[0], hashSeeds[1])
		return high ^ low
	}
	b := addr.As16()
	high, low := bits.Mul64(binary.LittleEndian.Uint64(b[:8])^hashSeeds[0], binary.LittleEndian.Uint64(b[8:])^hashSeeds[1])
	high, low = bits.Mul64(high^low^port, hashSeeds[1])
	return high ^ low
}
