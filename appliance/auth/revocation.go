package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"signalbox/internal/order"
)

// MaxRevocations bounds the revocation list.
const MaxRevocations = 16384

// Revocation takes back one token (TokenID and Issuer set) or everything a
// subject was given up to a moment (Subject and Before set).
type Revocation struct {
	TokenID string    `json:"token_id,omitempty"`
	Issuer  string    `json:"issuer,omitempty"` // of TokenID; "" when asked for: this box
	Subject string    `json:"subject,omitempty"`
	Before  time.Time `json:"before,omitzero"`  // tokens issued up to and in that second; zero when asked for: now
	Expires time.Time `json:"expires,omitzero"` // may be forgotten after; zero: kept until lifted
	At      time.Time `json:"at"`
	Reason  string    `json:"reason,omitempty"`
}

// Key names the revocation in a store; a later one with the same key replaces it.
func (r Revocation) Key() string {
	if r.Subject != "" {
		return subjectKey(r.Subject)
	}
	return tokenKey(r.Issuer, r.TokenID)
}

func subjectKey(subject string) string  { return "subject:" + subject }
func tokenKey(issuer, id string) string { return "token:" + issuer + "#" + id }
func (r Revocation) past(now time.Time) bool {
	return !r.Expires.IsZero() && now.After(r.Expires.Add(Leeway))
}

// RevocationStore keeps revocations durably. Its methods may be called concurrently.
type RevocationStore interface {
	// PutRevocation stores r under r.Key().
	PutRevocation(ctx context.Context, r Revocation) error
	// DeleteRevocation removes one; a key that is not there is no error.
	DeleteRevocation(ctx context.Context, key string) error
	Revocations() ([]Revocation, error)
}

// revocations is the list in memory, over the one in the store.
type revocations struct {
	store RevocationStore // nil: memory only

	mu     sync.RWMutex
	byKey  map[string]Revocation
	tellMu sync.Mutex
	tell   []func(Revocation)
}

func loadRevocations(store RevocationStore) (*revocations, error) {
	l := &revocations{store: store, byKey: make(map[string]Revocation)}
	if store == nil {
		return l, nil
	}
	all, err := store.Revocations()
	if err != nil {
		return nil, fmt.Errorf("read revocations: %w", err)
	}
	for _, r := range all {
		l.byKey[r.Key()] = r
	}
	return l, nil
}

// Revoke takes back a token, or a subject's tokens issued so far: those in use
// now are reported through OnRevoke, later ones are refused by Verify. A token
// without a jti can only be revoked by its subject. ErrRevocationsFull when the
// list is full of revocations that are still needed. When storing fails the
// revocation is in force all the same, until the process ends.
func (a *Authority) Revoke(ctx context.Context, r Revocation) error {
	switch {
	case (r.TokenID == "") == (r.Subject == ""):
		return errors.New("a revocation names either a token id or a subject")
	case len(r.TokenID)+len(r.Subject)+len(r.Issuer)+len(r.Reason) > 2048:
		return errors.New("a revocation has at most 2048 bytes of text")
	}
	now := time.Now().UTC()
	r.At = now
	if r.TokenID != "" {
		r.Before = time.Time{}
		if r.Issuer == "" {
			r.Issuer = a.self
		}
	} else {
		r.Issuer = ""
		// A clock that went back must not spare the tokens made before.
		latest := now
		if newest := time.Unix(a.newest.Load(), 0).UTC(); newest.After(now) {
			latest = newest
		}
		if r.Before.IsZero() {
			r.Before = latest
		}
		if r.Before.After(latest) {
			return fmt.Errorf("before is %s, want no later than now: a revocation covers what has been issued", stamp(r.Before))
		}
		r.Before = r.Before.UTC().Truncate(time.Second)
	}
	return a.revoked.add(ctx, r, now)
}

// ErrNotRevoked is returned by Lift when there is nothing to lift.
var ErrNotRevoked = errors.New("not revoked")

// Lift ends the revocation of a token or of a subject: what it took back is
// good again as far as its time goes. Those told through OnRevoke are told, so
// that they look at the list again. When storing fails the revocation is
// lifted until the next start. ErrNotRevoked when there is none.
func (a *Authority) Lift(ctx context.Context, r Revocation) error {
	if r.TokenID != "" && r.Issuer == "" {
		r.Issuer = a.self
	}
	l := a.revoked
	l.mu.Lock()
	_, known := l.byKey[r.Key()]
	delete(l.byKey, r.Key())
	l.mu.Unlock()
	if !known {
		return fmt.Errorf("%w: %s", ErrNotRevoked, cmp.Or(r.Subject, r.TokenID))
	}
	l.announce(r)
	if l.store == nil {
		return nil
	}
	if err := l.store.DeleteRevocation(ctx, r.Key()); err != nil {
		return fmt.Errorf("forget revocation, which is lifted until the next start: %w", err)
	}
	return nil
}

// announce tells whoever asked that the list has changed because of r.
func (l *revocations) announce(r Revocation) {
	l.tellMu.Lock()
	tell := slices.Clone(l.tell)
	l.tellMu.Unlock()
	for _, fn := range tell {
		fn(r)
	}
}

// add puts r in force, tells whoever asked, and stores it.
func (l *revocations) add(ctx context.Context, r Revocation, now time.Time) error {
	l.mu.Lock()
	var gone []string
	if _, known := l.byKey[r.Key()]; !known && len(l.byKey) >= MaxRevocations {
		gone = l.pruneLocked(now)
		if len(l.byKey) >= MaxRevocations {
			l.mu.Unlock()
			return fmt.Errorf("%w: %d are in force; lift some, or revoke by subject", ErrRevocationsFull, MaxRevocations)
		}
	}
	l.byKey[r.Key()] = r
	l.mu.Unlock()

	l.announce(r)
	if l.store == nil {
		return nil
	}
	for _, key := range gone {
		if err := l.store.DeleteRevocation(ctx, key); err != nil {
			return fmt.Errorf("forget expired revocation: %w", err)
		}
	}
	if err := l.store.PutRevocation(ctx, r); err != nil {
		return fmt.Errorf("store revocation, which is in force until the next start: %w", err)
	}
	return nil
}

// pruneLocked forgets what has expired. It is called only when the list is
// full: a clock that runs ahead for a moment should not lift a revocation.
func (l *revocations) pruneLocked(now time.Time) (gone []string) {
	for key, r := range l.byKey {
		if r.past(now) {
			delete(l.byKey, key)
			gone = append(gone, key)
		}
	}
	return gone
}

// after gives a time for a token of that subject to be issued at: now, or the
// first second that the subject's revocation does not cover.
func (l *revocations) after(subject string, now time.Time) time.Time {
	l.mu.RLock()
	defer l.mu.RUnlock()
	r, ok := l.byKey[subjectKey(subject)]
	if !ok || now.Truncate(time.Second).After(r.Before) {
		return now
	}
	return r.Before.Add(time.Second)
}

// IsRevoked reports whether id, verified earlier perhaps, is revoked now. A
// token that does not say when it was issued falls to any revocation of its subject.
func (a *Authority) IsRevoked(id Identity) bool {
	l := a.revoked
	l.mu.RLock()
	defer l.mu.RUnlock()
	if id.TokenID != "" {
		if _, ok := l.byKey[tokenKey(id.Issuer, id.TokenID)]; ok {
			return true
		}
	}
	r, ok := l.byKey[subjectKey(id.Subject)]
	return ok && !id.Issued.Truncate(time.Second).After(r.Before)
}

// OnRevoke has fn called after each revocation, so that live sessions can be
// ended: those for whose identity IsRevoked holds. fn must not call Revoke.
func (a *Authority) OnRevoke(fn func(Revocation)) {
	a.revoked.tellMu.Lock()
	defer a.revoked.tellMu.Unlock()
	a.revoked.tell = append(a.revoked.tell, fn)
}

// Unrevoke lifts the revocation with that key; one that is not there is no error.
func (a *Authority) Unrevoke(ctx context.Context, key string) error {
	l := a.revoked
	if l.store != nil {
		if err := l.store.DeleteRevocation(ctx, key); err != nil {
			return fmt.Errorf("lift revocation: %w", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byKey, key)
	return nil
}

// Revocations lists what is revoked, newest first, without what has expired.
func (a *Authority) Revocations() []Revocation {
	a.revoked.mu.RLock()
	defer a.revoked.mu.RUnlock()
	now := time.Now()
	all := make([]Revocation, 0, len(a.revoked.byKey))
	for _, r := range a.revoked.byKey {
		if !r.past(now) {
			all = append(all, r)
		}
	}
	order.By(all, func(x, y Revocation) int {
		if c := y.At.Compare(x.At); c != 0 {
			return c
		}
		return strings.Compare(x.Key(), y.Key())
	})
	return all
}
