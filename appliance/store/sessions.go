package store

import (
	"context"

	"go.etcd.io/bbolt"
)

// PutSessions stores the session records in changed, together or not at all; a
// nil record deletes its session. Callers collect changes and call this a few
// times a second at most: every commit costs some 16 KiB of flash, whatever it
// holds. One that only deletes works on a full store too.
func (s *Store) PutSessions(ctx context.Context, changed map[string][]byte) error {
	if len(changed) == 0 {
		return nil
	}
	write := func(tx *bbolt.Tx) error {
		for id, record := range changed {
			if record == nil {
				if err := deleteRecord(tx, bucketSessions, []byte(id)); err != nil {
					return err
				}
				continue
			}
			if err := putSealed(tx, bucketSessions, []byte(id), record); err != nil {
				return err
			}
		}
		return nil
	}
	for _, record := range changed {
		if record != nil {
			return s.Update(ctx, write)
		}
	}
	return s.Reclaim(ctx, write)
}

// Sessions calls fn for every stored session in the order of their ids. The
// record is valid only during the call.
func (s *Store) Sessions(fn func(id string, record []byte) error) error {
	return s.View(func(tx *bbolt.Tx) error {
		return eachSealed(tx, bucketSessions, func(id, record []byte) error { return fn(string(id), record) })
	})
}
