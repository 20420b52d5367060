package upstream

import (
	"math/rand/v2"
	"time"
)

// Waiting between attempts to connect: full jitter, so that two thousand boxes
// whose cloud has restarted come back one after the other.
const (
	backoffFirst = time.Second
	backoffMost  = 2 * time.Minute
)

// backoff counts attempts that failed in a row.
type backoff struct{ failed int }

// next is how long to wait before the next attempt: anything up to a bound that
// doubles from one second to two minutes.
func (b *backoff) next() time.Duration {
	bound := backoffMost
	if b.failed < 7 {
		bound = min(bound, backoffFirst<<b.failed)
	}
	b.failed++
	return rand.N(bound) + 1
}

func (b *backoff) reset() { b.failed = 0 }
