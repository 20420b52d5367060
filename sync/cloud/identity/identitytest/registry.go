// Package identitytest has a registry in memory for tests of those who need boxes
// that have joined.
package identitytest

import (
	"context"
	"encoding/json"
	"sync"

	"signalbox/sync/cloud/identity"
	"signalbox/sync/wire"
)

// Registry is an identity.Registry in memory with the same rules as the real
// one: a change is made to a copy, and made again if somebody was faster.
type Registry struct {
	mu     sync.Mutex
	sites  map[[2]string]bool
	boxes  map[wire.BoxID]record
	tokens map[string]record
	fault  error
	retry  int // changes that had to be made again
}

type record struct {
	revision uint64
	content  []byte
}

// NewRegistry has these sites of the default tenant.
func NewRegistry(sites ...string) *Registry {
	r := &Registry{sites: map[[2]string]bool{}, boxes: map[wire.BoxID]record{}, tokens: map[string]record{}}
	for _, site := range sites {
		r.sites[[2]string{wire.DefaultTenant, site}] = true
	}
	return r
}

// RemoveSite forgets a site, not its boxes.
func (r *Registry) RemoveSite(site string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sites, [2]string{wire.DefaultTenant, site})
}

// Forget forgets a box.
func (r *Registry) Forget(box wire.BoxID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.boxes, box)
}

// Break makes every change fail, nil none.
func (r *Registry) Break(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = err
}

// Retries counts the changes that had to be made again.
func (r *Registry) Retries() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.retry
}

// Token gives a token.
func (r *Registry) Token(id string) (t identity.Token) {
	r.mu.Lock()
	defer r.mu.Unlock()
	read(r.tokens[id].content, &t)
	return t
}

// HasSite is Registry's.
func (r *Registry) HasSite(tenant, site string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sites[[2]string{tenant, site}]
}

// Box is Registry's.
func (r *Registry) Box(id wire.BoxID) (b identity.Box, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	stored, ok := r.boxes[id]
	if ok {
		read(stored.content, &b)
	}
	return b, ok
}

// Places is Registry's.
func (r *Registry) Places(box string) (places []wire.BoxID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.boxes {
		if id.Box == box {
			places = append(places, id)
		}
	}
	return places
}

// ChangeBox is Registry's.
func (r *Registry) ChangeBox(_ context.Context, id wire.BoxID, change func(*identity.Box) error) error {
	return swap(r, r.boxes, id, true, change)
}

// AddToken is Registry's.
func (r *Registry) AddToken(_ context.Context, token identity.Token) error {
	return swap(r, r.tokens, token.ID, true, func(t *identity.Token) error {
		*t = token
		return nil
	})
}

// ChangeToken is Registry's.
func (r *Registry) ChangeToken(_ context.Context, id string, change func(*identity.Token) error) error {
	return swap(r, r.tokens, id, false, change)
}

// swap compares and swaps until nobody was faster.
func swap[K comparable, V any](r *Registry, in map[K]record, key K, create bool, change func(*V) error) error {
	for {
		r.mu.Lock()
		old, known := in[key]
		fault := r.fault
		r.mu.Unlock()
		switch {
		case fault != nil:
			return fault
		case !known && !create:
			return identity.ErrNotFound
		}
		var value V
		read(old.content, &value)
		if err := change(&value); err != nil {
			return err
		}
		content, err := json.Marshal(value)
		if err != nil {
			return err
		}
		r.mu.Lock()
		if in[key].revision == old.revision {
			in[key] = record{old.revision + 1, content}
			r.mu.Unlock()
			return nil
		}
		r.retry++
		r.mu.Unlock()
	}
}

func read(content []byte, into any) {
	if content == nil {
		return
	}
	if err := json.Unmarshal(content, into); err != nil {
		panic(err) // written by swap
	}
}
