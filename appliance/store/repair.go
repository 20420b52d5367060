package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// badRecord is a record whose checksum does not fit, although the tree around
// it is whole.
type badRecord struct {
	bucket, key []byte
}

func (r badRecord) String() string { return fmt.Sprintf("%s %q", r.bucket, r.key) }

// repair looks at every record of this package once, takes damaged ones from
// the newest backup that has them, drops the rest, and says what it did.
func (l *ladder) repair(db *database) (done []string, err error) {
	bad, err := findBad(db)
	if err != nil || len(bad) == 0 {
		return nil, err
	}
	if kept, err := l.keepCopy(db); err != nil {
		l.log.Warn("damaged file not kept", "err", err)
	} else if l.recovery.Kept == "" {
		l.recovery.Kept = kept
	}
	found := l.salvage(bad)
	err = db.update(func(tx *bbolt.Tx) error {
		for i, r := range bad {
			if err := r.replace(tx, found[i]); err != nil {
				return fmt.Errorf("repair %v: %w", r, err)
			}
		}
		return repairIncarnation(tx, bad)
	})
	for i, r := range bad {
		fate := " (lost)"
		if found[i] != nil {
			fate = " (taken from a backup)"
		}
		done = append(done, r.String()+fate)
	}
	return done, err
}

// replace puts record in place of the damaged one; nil only removes that.
func (r badRecord) replace(tx *bbolt.Tx, record []byte) error {
	b := tx.Bucket(r.bucket)
	err := b.Delete(r.key)
	if errors.Is(err, berrors.ErrIncompatibleValue) { // a flipped bit has made a bucket of it
		err = b.DeleteBucket(r.key)
	}
	if err != nil || record == nil {
		return err
	}
	return b.Put(r.key, record)
}

// repairIncarnation lets a box that has lost count of its starts go on where
// it cannot have been yet.
func repairIncarnation(tx *bbolt.Tx, bad []badRecord) error {
	lost := func(r badRecord) bool {
		return bytes.Equal(r.bucket, bucketBox) && bytes.Equal(r.key, keyIncarnation)
	}
	if !slices.ContainsFunc(bad, lost) {
		return nil
	}
	last, err := incarnation(tx)
	if err != nil {
		return err
	}
	return putIncarnation(tx, leapTo(last))
}

// findBad returns the damaged records.
func findBad(db *database) (bad []badRecord, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		for _, name := range sealedBuckets {
			err := tx.Bucket(name).ForEach(func(key, record []byte) error {
				if _, err := unseal(key, record); err != nil {
					bad = append(bad, badRecord{bucket: name, key: bytes.Clone(key)})
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return bad, err
}

// salvage returns the record in the newest backup that has it whole, or nil,
// for each of bad.
func (l *ladder) salvage(bad []badRecord) [][]byte {
	found := make([][]byte, len(bad))
	files, err := listNumbered(l.backups())
	if err != nil {
		l.log.Warn("backups not readable", "err", err)
	}
	for _, file := range files {
		if err := l.salvageFrom(file.path, bad, found); err != nil {
			l.log.Warn("backup not usable", "err", fmt.Errorf("%s: %w", file.path, err))
		}
	}
	return found
}

func (l *ladder) salvageFrom(path string, bad []badRecord, found [][]byte) error {
	db, _, err := l.assess(path)
	if err != nil {
		return err
	}
	err = db.view(func(tx *bbolt.Tx) error {
		for i, r := range bad {
			b := tx.Bucket(r.bucket)
			if found[i] != nil || b == nil {
				continue
			}
			record := bytes.Clone(b.Get(r.key))
			if _, err := unseal(r.key, record); err == nil {
				found[i] = record
			}
		}
		return nil
	})
	return errors.Join(err, db.Close())
}

// keepCopy copies the file as it is before the repair to the kept ones.
func (l *ladder) keepCopy(db *database) (string, error) {
	kept, err := nextNumbered(filepath.Join(l.cfg.Dir, keptDir), "")
	if err != nil {
		return "", err
	}
	if err := l.copyTo(context.Background(), db, kept); err != nil {
		return "", err
	}
	return kept, prune(filepath.Dir(kept), keptFiles, func(numbered) bool { return true })
}
