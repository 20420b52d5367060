package signaling

import (
	"net/netip"
	"sync"
	"time"
)

// bucket is a token bucket. It is guarded by whatever holds it.
type bucket struct {
	tokens float64
	last   time.Time
}

// take removes n tokens at now; false, and how long until there are enough,
// when there are not.
func (b *bucket) take(n, rate, burst float64, now time.Time) (wait time.Duration, ok bool) {
	if d := now.Sub(b.last); d > 0 {
		b.tokens = min(burst, b.tokens+d.Seconds()*rate)
		b.last = now
	}
	if b.tokens >= n {
		b.tokens -= n
		return 0, true
	}
	return time.Duration((n - b.tokens) / rate * float64(time.Second)), false
}

// buckets are the rates of one session (PROTOCOL.md §8).
type buckets struct {
	control, negotiation, message, bytes bucket
	refusals                             int // in a row
}

// refusalsMax is how many frames in a row may exceed their rate before the
// socket is closed: answering a flood for ever would be a flood, too.
const refusalsMax = 100

func (c *Config) newBuckets(now time.Time) buckets {
	full := func(rate float64, burst float64) bucket { return bucket{tokens: rate * burst, last: now} }
	return buckets{
		control: full(c.ControlRate, 3), negotiation: full(c.NegotiationRate, 2),
		message: full(c.MessageRate, 2), bytes: full(c.ByteRate, 2),
	}
}

// take holds a frame against the rates of its class.
func (b *buckets) take(c *Config, k kind, size int, now time.Time) error {
	var wait time.Duration
	ok, counts := true, true
	switch {
	case k == kindMessage:
		wait, ok = b.message.take(1, c.MessageRate, 2*c.MessageRate, now)
	case k.negotiation():
		wait, ok = b.negotiation.take(1, c.NegotiationRate, 2*c.NegotiationRate, now)
	case k == kindAck, k == kindPong: // bounded by bytes alone, and no sign of better conduct
		counts = false
	default:
		wait, ok = b.control.take(1, c.ControlRate, 3*c.ControlRate, now)
	}
	if ok {
		wait, ok = b.bytes.take(float64(size), c.ByteRate, 2*c.ByteRate, now)
	}
	if ok {
		if counts {
			b.refusals = 0
		}
		return nil
	}
	wait = max(wait, time.Millisecond)
	if b.refusals++; b.refusals > refusalsMax {
		return &farewell{closeRateLimited, codeRateLimited, "too many frames above the rate", true, 5 * time.Second}
	}
	return refuseForNow(codeRateLimited, wait, "too many %s frames; wait %v", k, wait.Round(time.Millisecond))
}

const (
	sourcesMax   = 4096
	connectBurst = 10 // seconds' worth of connect_rate at once: a whole line coming back
	penalty      = 10 // handshakes that a refused token costs
)

// sources limits handshakes per address.
type sources struct {
	rate float64

	mu   sync.Mutex
	from map[netip.Addr]*bucket
}

func newSources(rate float64) *sources {
	return &sources{rate: rate, from: make(map[netip.Addr]*bucket)}
}

// allow takes one handshake from an address.
func (s *sources) allow(addr netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.bucket(addr, now).take(1, s.rate, connectBurst*s.rate, now)
	return ok
}

// penalise makes a refused token cost its source more than a handshake.
func (s *sources) penalise(addr netip.Addr, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bucket(addr, now)
	b.tokens = max(0, b.tokens-penalty)
}

func (s *sources) bucket(addr netip.Addr, now time.Time) *bucket {
	if addr.Is6() && addr.IsGlobalUnicast() && !addr.IsPrivate() { // one host out there has a whole /64
		if p, err := addr.Prefix(64); err == nil {
			addr = p.Addr()
		}
	}
	b := s.from[addr]
	if b == nil {
		if len(s.from) >= sourcesMax {
			s.prune(now)
		}
		b = &bucket{tokens: connectBurst * s.rate, last: now}
		s.from[addr] = b
	}
	return b
}

// prune forgets sources whose buckets are full again, and others if need be.
func (s *sources) prune(now time.Time) {
	for addr, b := range s.from {
		if now.Sub(b.last) > connectBurst*time.Second {
			delete(s.from, addr)
		}
	}
	for addr := range s.from { // a few at random rather than everybody
		if len(s.from) < sourcesMax*7/8 {
			return
		}
		delete(s.from, addr)
	}
}
