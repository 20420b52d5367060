package registry

import (
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// apply takes in one change.
func (r *Registry) apply(e jetstream.KeyValueEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applyLocked(e)
	r.seenLocked(max(r.seen, e.Revision()))
}

// replace takes in everything: what it does not name is gone. last is the
// revision of the bucket when the reading began; its message may be gone too.
func (r *Registry) replace(all []jetstream.KeyValueEntry, last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	present := make(map[string]bool, len(all))
	for _, e := range all {
		present[e.Key()] = true
		last = max(last, e.Revision())
		r.applyLocked(e)
	}
	for kind, t := range r.tables {
		for _, key := range t.keysLocked() {
			if full := kind + "." + key; !present[full] && t.removeLocked(key) {
				r.tellLocked(Change{Kind: kind, Key: key, Gone: true, Revision: last})
			}
		}
	}
	// Not the greater of the two: a bucket made anew counts from 1 again.
	r.seenLocked(last)
}

func (r *Registry) applyLocked(e jetstream.KeyValueEntry) {
	kind, key, _ := strings.Cut(e.Key(), ".")
	t := r.tables[kind]
	if t == nil {
		return // of a version of Signalbox that has more
	}
	if e.Operation() != jetstream.KeyValuePut {
		if t.removeLocked(key) {
			r.tellLocked(Change{Kind: kind, Key: key, Gone: true, Revision: e.Revision()})
		}
		return
	}
	if t.hasLocked(key, e.Revision()) {
		return // read again, and as it was
	}
	if err := t.applyLocked(key, e.Revision(), e.Created(), e.Value()); err != nil {
		// What was there before stays: a record that cannot be read must not let a
		// revoked box in nor lock anybody out.
		r.log.Error("a record cannot be read", "kind", kind, "key", key, "revision", e.Revision(), "err", err)
		return
	}
	r.tellLocked(Change{Kind: kind, Key: key, Revision: e.Revision()})
}

// seenLocked tells those who wait for a revision.
func (r *Registry) seenLocked(revision uint64) {
	if revision == r.seen {
		return
	}
	r.seen = revision
	close(r.newer)
	r.newer = make(chan struct{})
}
