// Package authtest has the stores auth needs, in memory, for tests.
package authtest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"signalbox/appliance/auth"
)

// Invites is an auth.InviteStore in memory. The zero value is ready to use.
type Invites struct {
	mu   sync.Mutex
	byID map[string]auth.Invite
}

// PutInvite stores the invite.
func (s *Invites) PutInvite(_ context.Context, invite auth.Invite) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = make(map[string]auth.Invite)
	}
	s.byID[invite.ID] = invite
	return nil
}

// TakeInvite uses up one use of the invite with that hash.
func (s *Invites) TakeInvite(_ context.Context, hash string, now time.Time) (auth.Invite, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, invite := range s.byID {
		if invite.Hash != hash {
			continue
		}
		left, err := invite.Take(now)
		switch {
		case err != nil:
		case left.Uses == 0:
			delete(s.byID, id)
		default:
			s.byID[id] = left
		}
		return left, err
	}
	return auth.Invite{}, auth.ErrInviteUnknown
}

// Invites lists what is stored.
func (s *Invites) Invites() ([]auth.Invite, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.byID)), nil
}

// DeleteInvite removes the invite, if it is there.
func (s *Invites) DeleteInvite(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
	return nil
}

// Revocations is an auth.RevocationStore in memory. The zero value is ready to use.
type Revocations struct {
	mu    sync.Mutex
	byKey map[string]auth.Revocation
}

// PutRevocation stores r.
func (s *Revocations) PutRevocation(_ context.Context, r auth.Revocation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey == nil {
		s.byKey = make(map[string]auth.Revocation)
	}
	s.byKey[r.Key()] = r
	return nil
}

// DeleteRevocation removes one, if it is there.
func (s *Revocations) DeleteRevocation(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byKey, key)
	return nil
}

// Revocations lists what is stored.
func (s *Revocations) Revocations() ([]auth.Revocation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.byKey)), nil
}
