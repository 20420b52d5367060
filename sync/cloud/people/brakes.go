package people

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Guessing is slowed down, for a source and for a name: from freeFailures on
// each failure doubles the wait. The wait for a name is short, or anybody could
// lock a person out; argon2 and the length of passwords do the rest.
const (
	freeFailures  = 5
	firstWait     = time.Second
	maxSourceWait = 5 * time.Minute
	maxNameWait   = 15 * time.Second
	maxBrakes     = 4096 // of each kind; beyond it the oldest are forgotten
	brakeMemory   = time.Hour
)

// SlowError is an ErrSlow with the time after which to try again.
type SlowError struct{ Retry time.Duration }

func (e *SlowError) Error() string {
	return fmt.Sprintf("%v; try again in %v", ErrSlow, e.Retry.Round(time.Second))
}

func (e *SlowError) Unwrap() error { return ErrSlow }

type brakes struct {
	mu   sync.Mutex
	held map[string]brake
}

type brake struct {
	failures int
	last     time.Time
	until    time.Time
}

func newBrakes() *brakes { return &brakes{held: map[string]brake{}} }

// network is what somebody has who has the address: of IPv6 a /64.
func network(source string) string {
	addr, err := netip.ParseAddr(source)
	if err != nil || addr.Unmap().Is4() {
		return source
	}
	prefix, _ := addr.WithZone("").Prefix(64) // fits an IPv6 address
	return prefix.String()
}

func brakeKeys(source, name string) []string {
	keys := []string{"source " + network(source)}
	if name != "" {
		keys = append(keys, "name "+strings.ToLower(shortened(name)))
	}
	return keys
}

func (b *brakes) check(source, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := time.Duration(0)
	for _, key := range brakeKeys(source, name) {
		wait = max(wait, time.Until(b.held[key].until))
	}
	if wait > 0 {
		return &SlowError{wait}
	}
	return nil
}

func (b *brakes) failed(source, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for i, key := range brakeKeys(source, name) {
		h := b.held[key]
		if now.Sub(h.last) > brakeMemory {
			h = brake{}
		}
		h.failures, h.last = h.failures+1, now
		if over := h.failures - freeFailures; over >= 0 {
			limit := maxSourceWait
			if i > 0 {
				limit = maxNameWait
			}
			h.until = now.Add(min(firstWait<<min(over, 20), limit))
		}
		if _, known := b.held[key]; !known && len(b.held) >= maxBrakes {
			b.forgetOldest()
		}
		b.held[key] = h
	}
}

func (b *brakes) succeeded(source, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range brakeKeys(source, name) {
		delete(b.held, key)
	}
}

func (b *brakes) forgetOldest() {
	oldest, at := "", time.Now()
	for key, h := range b.held {
		if !h.last.After(at) {
			oldest, at = key, h.last
		}
	}
	delete(b.held, oldest)
}
