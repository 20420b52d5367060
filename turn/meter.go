package turn

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// meterBurst is how much of a bit rate may be used at once: enough for the
	// packets of one key frame of a camera, or for minBurstBytes if that is more.
	meterBurst    = 200 * time.Millisecond
	minBurstBytes = 64 << 10
	// costBits are the fraction bits of the nanoseconds that a byte costs.
	costBits = 16
)

// meterLimits are a bit rate and an amount of bytes in each period. Zero is no
// limit. The periods follow each other from the start of the relay.
type meterLimits struct {
	bytes   int64
	period  int64  // in nanoseconds
	perByte uint64 // nanoseconds with costBits behind the point
	burst   int64  // in nanoseconds
}

func newMeterLimits(bytes int64, period time.Duration, rate BitRate) meterLimits {
	l := meterLimits{bytes: bytes, period: int64(period)}
	if rate > 0 {
		l.perByte = max(1, (8*uint64(time.Second)<<costBits)/uint64(rate))
		l.burst = max(int64(meterBurst), l.cost(minBurstBytes))
	}
	return l
}

// any says whether there is a limit.
func (l *meterLimits) any() bool { return l.bytes > 0 || l.perByte > 0 }

// cost is how long so many bytes take at the rate, rounded.
func (l *meterLimits) cost(bytes int) int64 {
	return int64((uint64(bytes)*l.perByte + 1<<(costBits-1)) >> costBits)
}

// meter measures what an account relays against its limits. Times are of
// quotas.clock. All methods may be called concurrently.
type meter struct {
	limits *meterLimits
	// full is when the token bucket of the rate will be full again: one number
	// is all of its state.
	full atomic.Int64
	// What was relayed ever, and of that before the period at hand.
	relayed, before atomic.Int64
	until           atomic.Int64 // end of the period at hand
	renewing        sync.Mutex
}

// take counts bytes if they are within the limits.
func (m *meter) take(bytes int, now int64) (dropReason, bool) {
	if m.limits.perByte > 0 && !m.takeRate(m.limits.cost(bytes), now) {
		return dropBitRate, false
	}
	if m.limits.bytes > 0 && !m.takeBytes(int64(bytes), now) {
		if m.limits.perByte > 0 {
			m.full.Add(-m.limits.cost(bytes))
		}
		return dropByteQuota, false
	}
	return 0, true
}

func (m *meter) takeRate(cost, now int64) bool {
	for {
		full := m.full.Load()
		next := max(full, now) + cost
		if next-now > m.limits.burst {
			return false
		}
		if m.full.CompareAndSwap(full, next) {
			return true
		}
	}
}

func (m *meter) takeBytes(bytes, now int64) bool {
	if now >= m.until.Load() {
		m.renew(now)
	}
	if m.relayed.Add(bytes)-m.before.Load() > m.limits.bytes {
		m.relayed.Add(-bytes)
		return false
	}
	return true
}

// renew begins the period that now is in.
func (m *meter) renew(now int64) {
	m.renewing.Lock()
	defer m.renewing.Unlock()
	if now < m.until.Load() {
		return // begun meanwhile
	}
	m.before.Store(m.relayed.Load())
	m.until.Store((now/m.limits.period + 1) * m.limits.period)
}

// giveBack undoes take for a packet that is dropped after all.
func (m *meter) giveBack(bytes int) {
	if m.limits.perByte > 0 {
		m.full.Add(-m.limits.cost(bytes))
	}
	if m.limits.bytes > 0 {
		m.relayed.Add(-int64(bytes))
	}
}

// used are the bytes of the period at hand.
func (m *meter) used(now int64) int64 {
	if now >= m.until.Load() {
		return 0
	}
	return m.relayed.Load() - m.before.Load()
}

// usedUp says whether no byte of the period at hand is left.
func (m *meter) usedUp(now int64) bool { return m.limits.bytes > 0 && m.used(now) >= m.limits.bytes }

// isFresh says whether a new meter would say the same as this one.
func (m *meter) isFresh(now int64) bool {
	return (m.limits.bytes == 0 || m.used(now) == 0) && m.full.Load() <= now
}
