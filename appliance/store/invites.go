package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"signalbox/appliance/auth"
)

var _ auth.InviteStore = (*Store)(nil)

// PutInvite stores the invite under its ID.
func (s *Store) PutInvite(ctx context.Context, invite auth.Invite) error {
	return s.Update(ctx, func(tx *bbolt.Tx) error { return putInvite(tx, invite) })
}

func putInvite(tx *bbolt.Tx, invite auth.Invite) error {
	value, err := json.Marshal(invite)
	if err != nil {
		return fmt.Errorf("invite %q: %w", invite.ID, err)
	}
	return putSealed(tx, bucketInvites, []byte(invite.ID), value)
}

// TakeInvite uses up one use of the invite with that hash and returns what is
// left of it; auth.ErrInviteUnknown or auth.ErrInviteExpired.
func (s *Store) TakeInvite(ctx context.Context, hash string, now time.Time) (auth.Invite, error) {
	var left auth.Invite
	take := func(tx *bbolt.Tx) error {
		invite, err := inviteByHash(tx, hash)
		if err != nil {
			return err
		}
		left, err = invite.Take(now)
		return err
	}
	// Guessed codes are turned away here, without a place in a commit.
	if err := s.View(take); err != nil {
		return auth.Invite{}, err
	}
	// Reclaim: to use up an invite needs no room.
	err := s.Reclaim(ctx, func(tx *bbolt.Tx) error {
		if err := take(tx); err != nil {
			return err
		}
		if left.Uses == 0 {
			return deleteRecord(tx, bucketInvites, []byte(left.ID))
		}
		return putInvite(tx, left)
	})
	if err != nil {
		return auth.Invite{}, err
	}
	return left, nil
}

// inviteByHash looks through all invites: there are at most auth.MaxInvites.
func inviteByHash(tx *bbolt.Tx, hash string) (found auth.Invite, err error) {
	found, err = auth.Invite{}, auth.ErrInviteUnknown
	each := eachInvite(tx, func(invite auth.Invite) {
		if hash != "" && invite.Hash == hash {
			found, err = invite, nil
		}
	})
	if each != nil {
		return auth.Invite{}, each
	}
	return found, err
}

func eachInvite(tx *bbolt.Tx, fn func(auth.Invite)) error {
	return eachSealed(tx, bucketInvites, func(id, value []byte) error {
		var invite auth.Invite
		if err := json.Unmarshal(value, &invite); err != nil {
			return fmt.Errorf("%w: invite %q: %w", ErrDamaged, id, err)
		}
		fn(invite)
		return nil
	})
}

// Invites lists all invites, used up ones excepted, in the order of their IDs.
func (s *Store) Invites() (all []auth.Invite, err error) {
	err = s.View(func(tx *bbolt.Tx) error {
		all = nil
		return eachInvite(tx, func(invite auth.Invite) { all = append(all, invite) })
	})
	return all, err
}

// DeleteInvite removes the invite; one that is not there is no error.
func (s *Store) DeleteInvite(ctx context.Context, id string) error {
	return s.Reclaim(ctx, func(tx *bbolt.Tx) error {
		return deleteRecord(tx, bucketInvites, []byte(id))
	})
}
