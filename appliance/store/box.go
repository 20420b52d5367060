package store

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"
)

var (
	keyBoxID       = []byte("id")
	keyIncarnation = []byte("incarnation")
	keyVector      = []byte("vector")
)

// incarnationLeap is the distance to which a restored file jumps: more starts
// than a box can have between two backups.
const incarnationLeap = 1 << 20

// newBoxID makes 10 characters of a-z and 2-7, 50 random bits.
func newBoxID() string {
	b := make([]byte, 7)
	_, _ = rand.Read(b) // never fails, by its contract
	return strings.ToLower(base32.StdEncoding.EncodeToString(b))[:10]
}

// writeIdentity gives a new file its box id.
func writeIdentity(tx *bbolt.Tx) error {
	return putSealed(tx, bucketBox, keyBoxID, []byte(newBoxID()))
}

// ensureIdentity gives a file that has lost its box id a new one.
func ensureIdentity(db *database) error {
	err := db.view(func(tx *bbolt.Tx) error {
		_, err := getSealed(tx, bucketBox, keyBoxID)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		err = db.update(writeIdentity)
	}
	return err
}

func (s *Store) readIdentity() error {
	return s.View(func(tx *bbolt.Tx) error {
		id, err := getSealed(tx, bucketBox, keyBoxID)
		s.boxID = string(id)
		return err
	})
}

// BoxID names this box: 10 characters of a-z and 2-7, made with the file and
// kept for life, through backups too.
func (s *Store) BoxID() string { return s.boxID }

// NextIncarnation counts the starts of this box, durably. A number is never
// given twice, even when an older state of the file comes back from a backup;
// then it jumps. It stays below 2^53.
func (s *Store) NextIncarnation(ctx context.Context) (uint64, error) {
	var next uint64
	// Reclaim: a full store must not keep the box from starting.
	err := s.Reclaim(ctx, func(tx *bbolt.Tx) error {
		last, err := incarnation(tx)
		if err != nil {
			return err
		}
		next = last + 1
		return putIncarnation(tx, next)
	})
	return next, err
}

func incarnation(tx *bbolt.Tx) (uint64, error) {
	b, err := getSealed(tx, bucketBox, keyIncarnation)
	switch {
	case errors.Is(err, ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(b) != 8:
		return 0, fmt.Errorf("%w: the incarnation has %d bytes, want 8", ErrDamaged, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

func putIncarnation(tx *bbolt.Tx, n uint64) error {
	return putSealed(tx, bucketBox, keyIncarnation, binary.BigEndian.AppendUint64(nil, n))
}

// leapTo returns an incarnation beyond all that may have been given out since
// last was written. The random part tells two restores of one backup apart.
func leapTo(last uint64) uint64 {
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	leaps := 1 + binary.BigEndian.Uint64(b)%(1<<24)
	return (last/incarnationLeap + leaps) * incarnationLeap
}

// leapIncarnation makes a copy of an older state safe to run: dots that the
// lost state gave out must not be given out again.
func leapIncarnation(path string, cfg Config) error {
	db, err := openBolt(path, cfg)
	if err != nil {
		return err
	}
	err = db.update(func(tx *bbolt.Tx) error {
		last, err := incarnation(tx)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return err
		}
		return putIncarnation(tx, leapTo(last))
	})
	return errors.Join(err, db.Close())
}
