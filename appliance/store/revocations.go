package store

import (
	"context"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"signalbox/appliance/auth"
)

var _ auth.RevocationStore = (*Store)(nil)

// PutRevocation stores r under r.Key(). It may use the pages held back from
// ordinary writes: a full box must still be able to lock somebody out.
func (s *Store) PutRevocation(ctx context.Context, r auth.Revocation) error {
	value, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("revocation %q: %w", r.Key(), err)
	}
	return s.Reclaim(ctx, func(tx *bbolt.Tx) error {
		return putSealed(tx, bucketRevocations, []byte(r.Key()), value)
	})
}

// DeleteRevocation removes one; a key that is not there is no error.
func (s *Store) DeleteRevocation(ctx context.Context, key string) error {
	return s.Reclaim(ctx, func(tx *bbolt.Tx) error {
		return deleteRecord(tx, bucketRevocations, []byte(key))
	})
}

// Revocations lists all revocations in the order of their keys.
func (s *Store) Revocations() (all []auth.Revocation, err error) {
	err = s.View(func(tx *bbolt.Tx) error {
		all = nil
		return eachSealed(tx, bucketRevocations, func(key, value []byte) error {
			var r auth.Revocation
			if err := json.Unmarshal(value, &r); err != nil {
				return fmt.Errorf("%w: revocation %q: %w", ErrDamaged, key, err)
			}
			all = append(all, r)
			return nil
		})
	})
	return all, err
}
