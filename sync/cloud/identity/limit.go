package identity

import (
	"sync"
	"time"
)

// Failed attempts to join that are let through before one has to wait, and how
// often another is. Attempts that succeed cost nothing: a plant may have five
// hundred boxes behind one address.
const (
	attempts      = 10
	attemptEvery  = 6 * time.Second
	maxRemembered = 4096 // sources, and tokens
)

// limiter slows down who fails often. The zero value is ready.
type limiter struct {
	mu     sync.Mutex
	failed map[string]tally
}

// tally is a bucket of failures that leaks one per attemptEvery.
type tally struct {
	level float64
	at    time.Time
}

func (t tally) now(now time.Time) float64 {
	return max(0, t.level-now.Sub(t.at).Seconds()/attemptEvery.Seconds())
}

// wait is how long key has to wait for its next attempt.
func (l *limiter) wait(key string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	over := l.failed[key].now(now) - attempts + 1
	if over <= 0 {
		return 0
	}
	return time.Duration(over * float64(attemptEvery))
}

// fail notes that an attempt of key has failed.
func (l *limiter) fail(key string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = make(map[string]tally)
	}
	old, known := l.failed[key]
	if !known && len(l.failed) >= maxRemembered {
		l.makeRoomLocked(now)
	}
	l.failed[key] = tally{min(old.now(now)+1, 2*attempts), now}
}

// makeRoomLocked forgets who has leaked empty, and else anybody: who can use
// that many addresses is not held by a limit per address.
func (l *limiter) makeRoomLocked(now time.Time) {
	for key, t := range l.failed {
		if t.now(now) == 0 {
			delete(l.failed, key)
		}
	}
	for key := range l.failed {
		if len(l.failed) < maxRemembered {
			return
		}
		delete(l.failed, key)
	}
}
