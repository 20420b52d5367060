package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// ErrTooNew is returned by Open for a file that a newer Signalbox wrote in a
// form this one cannot read. The file is not touched.
var ErrTooNew = errors.New("written by a newer Signalbox")

// schema is what a program knows about the layout of the file.
//
// To change the layout: append a step, and leave minReader at the version
// before unless that one would do damage, since an upgrade that goes wrong is
// undone by starting the old program. Steps must be safe to repeat: the old
// program may have written to the file in between, and then they run again.
type schema struct {
	version   uint32
	minReader uint32                  // the oldest program that may open what this one writes
	steps     []func(*bbolt.Tx) error // steps[i] leads from version i to i+1
	buckets   [][]byte                // that a file of this version has
}

var current = schema{
	version:   1,
	minReader: 1,
	steps:     []func(*bbolt.Tx) error{createBuckets},
	buckets:   sealedBuckets,
}

// Buckets of this package. Other parts keep theirs beside them under names of
// their own.
var (
	bucketSchema      = []byte("schema")
	bucketBox         = []byte("box")
	bucketRooms       = []byte("rooms")
	bucketKeys        = []byte("keys")
	bucketInvites     = []byte("invites")
	bucketRevocations = []byte("revocations")
	bucketSessions    = []byte("sessions")

	// sealedBuckets hold records with a checksum, see seal.
	sealedBuckets = [][]byte{bucketBox, bucketRooms, bucketKeys, bucketInvites, bucketRevocations, bucketSessions}
)

func createBuckets(tx *bbolt.Tx) error {
	for _, name := range sealedBuckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	return nil
}

// marks are the file's own words about its layout.
type marks struct {
	version   uint32 // of the newest program that had the file
	minReader uint32 // the oldest program that may open it
	writer    uint32 // of the last program that had the file
}

const marksSize = 12

var keyMarks = []byte("marks")

func (m marks) encode() []byte {
	b := binary.BigEndian.AppendUint32(nil, m.version)
	b = binary.BigEndian.AppendUint32(b, m.minReader)
	b = binary.BigEndian.AppendUint32(b, m.writer)
	return seal(keyMarks, b)
}

func decodeMarks(record []byte) (marks, error) {
	b, err := unseal(keyMarks, record)
	if err != nil {
		return marks{}, err
	}
	if len(b) < marksSize { // later versions may add to it
		return marks{}, fmt.Errorf("%w: %d bytes, want %d", ErrDamaged, len(b), marksSize)
	}
	return marks{
		version:   binary.BigEndian.Uint32(b),
		minReader: binary.BigEndian.Uint32(b[4:]),
		writer:    binary.BigEndian.Uint32(b[8:]),
	}, nil
}

// readSchema reads the marks. A file without them is a bbolt file of another
// program or has lost its root.
func readSchema(tx *bbolt.Tx) (marks, error) {
	b := tx.Bucket(bucketSchema)
	if b == nil {
		return marks{}, fmt.Errorf("%w: it is a database, but not one of Signalbox", ErrDamaged)
	}
	m, err := decodeMarks(b.Get(keyMarks))
	if err != nil {
		return marks{}, fmt.Errorf("schema: %w", err)
	}
	return m, nil
}

// accept tells whether a program of this schema may open the file of tx.
func (s schema) accept(tx *bbolt.Tx) error {
	m, err := readSchema(tx)
	if err != nil {
		return err
	}
	if m.minReader > s.version {
		return fmt.Errorf("%w: its schema is %d and needs a program of at least %d, this one has %d; install that version again",
			ErrTooNew, m.version, m.minReader, s.version)
	}
	if m.version < s.version {
		return nil // its buckets come with the migration
	}
	for _, name := range s.buckets {
		if tx.Bucket(name) == nil {
			return missingBucket(name)
		}
	}
	return nil
}

// pending returns the first step to run for a file with marks m, and whether
// there is anything to write at all.
func (s schema) pending(m marks) (from uint32, any bool) {
	return min(m.version, m.writer, s.version), m.version < s.version || m.writer != s.version
}

// migrate brings the file to this schema in the given transaction.
func (s schema) migrate(tx *bbolt.Tx, m marks) error {
	from, any := s.pending(m)
	if !any {
		return nil
	}
	for v := from; v < s.version; v++ {
		if err := s.steps[v](tx); err != nil {
			return fmt.Errorf("migrate from schema %d to %d: %w", v, v+1, err)
		}
	}
	if m.version < s.version {
		m.version, m.minReader = s.version, s.minReader
	}
	m.writer = s.version
	b, err := tx.CreateBucketIfNotExists(bucketSchema)
	if err != nil {
		return err
	}
	return b.Put(keyMarks, m.encode())
}
