package gateway

import (
	"net/netip"
	"sync"
	"time"
)

// What a source address may do. Costs are of one purse, which fills with time: a
// proof that is refused costs 1, any other attempt a fiftieth, so that a
// thousand boxes behind one address may come at once while nobody tries proofs.
const (
	purse        = 120.0
	purseRefill  = 2.0 // a second
	attemptCost  = 1.0 / 50
	badProofCost = 1.0
	maxSources   = 20_000
)

// sources are the addresses that have attempted something lately. The zero value
// is ready.
type sources struct {
	mu    sync.Mutex
	known map[netip.Prefix]spent
}

// spent is what an address has used up at a time.
type spent struct {
	amount float64
	at     time.Time
}

func (s spent) now(now time.Time) float64 {
	return max(0, s.amount-now.Sub(s.at).Seconds()*purseRefill)
}

// prefixOf is the address, or the network of IPv6 that one customer has.
func prefixOf(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the zero Prefix for no address
	return p
}

// wait is how long the source must be quiet before its next attempt.
func (s *sources) wait(addr netip.Addr, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	over := s.known[prefixOf(addr)].now(now) + badProofCost - purse
	return max(0, time.Duration(over/purseRefill*float64(time.Second)))
}

// charge counts an attempt.
func (s *sources) charge(addr netip.Addr, bad bool, now time.Time) {
	cost := attemptCost
	if bad {
		cost = badProofCost
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = make(map[netip.Prefix]spent)
	}
	p := prefixOf(addr)
	if _, ok := s.known[p]; !ok && len(s.known) >= maxSources {
		s.makeRoomLocked(now)
	}
	s.known[p] = spent{s.known[p].now(now) + cost, now}
}

// makeRoomLocked forgets who has nothing to pay any more; if that is nobody, all:
// an attack from that many addresses is not stopped here.
func (s *sources) makeRoomLocked(now time.Time) {
	for p, used := range s.known {
		if used.now(now) == 0 {
			delete(s.known, p)
		}
	}
	if len(s.known) >= maxSources {
		clear(s.known)
	}
}
