package turn

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// challengeSlots bounds the memory of challengeLimit. Sources that share a
// slot share its rate.
const challengeSlots = 1 << 14

// challengeBurst is how many seconds of the rate may be used at once, as when
// all devices behind one router start together.
const challengeBurst = 5

// challengeLimit is a token bucket per source of unauthenticated requests. Such
// a source may be forged, and then its bucket is what keeps the answers from
// flooding whoever has the address. It takes 128 KiB whatever comes.
type challengeLimit struct {
	interval time.Duration // between two answers in the long run
	start    time.Time
	seed     maphash.Seed
	// slots hold, in nanoseconds since start, when a bucket will be full
	// again: one number is all of a token bucket's state.
	slots [challengeSlots]atomic.Int64
}

func newChallengeLimit(perSecond int) *challengeLimit {
	return &challengeLimit{
		interval: time.Second / time.Duration(perSecond),
		start:    time.Now(),
		seed:     maphash.MakeSeed(),
	}
}

// allow says whether source may be answered now, and takes a token if so.
func (c *challengeLimit) allow(source netip.Addr, now time.Time) bool {
	slot := c.slot(source)
	at := int64(now.Sub(c.start))
	for {
		full := slot.Load()
		next := max(full, at) + int64(c.interval)
		if next-at > int64(challengeBurst*time.Second) {
			return false
		}
		if slot.CompareAndSwap(full, next) {
			return true
		}
	}
}

func (c *challengeLimit) slot(source netip.Addr) *atomic.Int64 {
	return &c.slots[maphash.Comparable(c.seed, sourceOf(source))%challengeSlots]
}
