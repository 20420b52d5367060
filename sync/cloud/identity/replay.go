package identity

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxReplay bounds each of the two generations of proofs that are remembered.
const maxReplay = 1 << 16

// replays remembers the proofs of the last nonceLife at least, so that none
// works twice on a node. Beyond maxReplay good proofs a minute it remembers for
// less long; those who could reach that are boxes that joined.
type replays struct {
	mu         sync.Mutex
	turned     time.Time
	now, older map[[16]byte]struct{}
}

// first reports whether the signature has not been seen.
func (r *replays) first(signature []byte, now time.Time) bool {
	sum := sha256.Sum256(signature)
	id := [16]byte(sum[:16])
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil || len(r.now) >= maxReplay || now.Sub(r.turned) > nonceLife+nonceAhead {
		r.now, r.older, r.turned = make(map[[16]byte]struct{}), r.now, now
	}
	_, seen := r.now[id]
	_, before := r.older[id]
	r.now[id] = struct{}{}
	return !seen && !before
}
