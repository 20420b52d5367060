package store

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"signalbox/appliance/room"
)

// Rooms returns what State.Restore needs. A record that this program cannot
// read is left out and logged: the other rooms must not wait for it.
func (s *Store) Rooms() (entries []room.Entry, v room.Vector, err error) {
	err = s.View(func(tx *bbolt.Tx) error {
		entries, v = nil, room.Vector{}
		b, err := getSealed(tx, bucketBox, keyVector)
		if err == nil {
			v, err = room.DecodeVector(b)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			s.log.Error("room vector not readable", "err", err)
			v = room.Vector{} // Restore collects what the entries say
		}
		return eachSealed(tx, bucketRooms, func(name, value []byte) error {
			e, err := room.DecodeEntry(value)
			if err != nil {
				s.log.Error("room not readable", "room", string(name), "err", err)
				return nil
			}
			entries = append(entries, e)
			return nil
		})
	})
	return entries, v, err
}

// PutRoom stores a room and the vector taken with it, in one transaction; of an
// entry that is Deleted only the vector stays. Calls for one box must follow
// one another in the order in which the vectors were taken.
func (s *Store) PutRoom(ctx context.Context, e room.Entry, v room.Vector) error {
	put := func(tx *bbolt.Tx) error { return PutRoomTx(tx, e, v) }
	if e.Deleted() {
		return s.Reclaim(ctx, put)
	}
	return s.Update(ctx, put)
}

// PutRoomTx is PutRoom within a transaction of the caller's, so that a change
// and the news of it commit together.
func PutRoomTx(tx *bbolt.Tx, e room.Entry, v room.Vector) error {
	if err := putSealed(tx, bucketBox, keyVector, v.Encode()); err != nil {
		return err
	}
	if e.Deleted() {
		return deleteRecord(tx, bucketRooms, []byte(e.Name))
	}
	return putSealed(tx, bucketRooms, []byte(e.Name), e.Encode())
}
