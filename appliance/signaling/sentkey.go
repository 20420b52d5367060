package signaling

import (
	"sync"
	"time"
)

const (
	keyTime = 2 * time.Minute
	keysMax = 8192 // over all subjects; the oldest goes first
)

// sentKey is a frame sent with an idempotency key.
type sentKey struct {
	subject, key string
	at           time.Time

	mu     sync.Mutex
	result string
}

func (k *sentKey) set(result string) {
	k.mu.Lock()
	if k.result != statusDelivered { // a later word about an earlier moment
		k.result = result
	}
	k.mu.Unlock()
}

// status is what is known of the frame so far.
func (k *sentKey) status() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.result == "" {
		return statusStored
	}
	return k.result
}

type keyName struct{ subject, key string }

// sentKeys remembers idempotency keys by subject, so that a frame sent again
// in another session is not delivered twice. The zero value is ready.
type sentKeys struct {
	mu    sync.Mutex
	known map[keyName]*sentKey
	order []*sentKey // oldest first
}

// begin registers a key. known is true when it is in use already: then the
// sentKey is the first frame's.
func (s *sentKeys) begin(subject string, key []byte, now time.Time) (k *sentKey, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = make(map[keyName]*sentKey)
	}
	for len(s.order) > 0 && (len(s.order) > keysMax || now.Sub(s.order[0].at) > keyTime) {
		s.dropLocked(s.order[0])
		s.order = s.order[1:]
	}
	name := keyName{subject, string(key)}
	if k := s.known[name]; k != nil {
		return k, true
	}
	k = &sentKey{subject: subject, key: name.key, at: now}
	s.known[name] = k
	s.order = append(s.order, k)
	return k, false
}

// forget frees a key whose frame was refused.
func (s *sentKeys) forget(k *sentKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(k)
}

func (s *sentKeys) dropLocked(k *sentKey) {
	name := keyName{k.subject, k.key}
	if s.known[name] == k {
		delete(s.known, name)
	}
}
