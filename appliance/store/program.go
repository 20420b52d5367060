package store

import (
	"errors"

	"go.etcd.io/bbolt"
)

// keyProgram is the version of the program that had the file last, in bucketBox.
var keyProgram = []byte("program")

// lastProgram reads it; "" when there is no readable record of it.
func lastProgram(db *database) (version string, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		v, err := getSealed(tx, bucketBox, keyProgram)
		version = string(v)
		return err
	})
	return version, err
}

// otherProgram reports whether another version of the program had the file
// before, or one from before this was noted. A new file is nobody's.
func (l *ladder) otherProgram(db *database) bool {
	if l.cfg.Program == "" {
		return false
	}
	last, err := lastProgram(db)
	if !errors.Is(err, ErrNotFound) {
		return last != l.cfg.Program
	}
	used := false
	err = db.view(func(tx *bbolt.Tx) error {
		started, err := incarnation(tx)
		used = started > 0
		return err
	})
	return used || err != nil
}

// signProgram notes the program's version in the file, if it is another.
func (l *ladder) signProgram(db *database) error {
	if l.cfg.Program == "" {
		return nil
	}
	if last, err := lastProgram(db); err == nil && last == l.cfg.Program {
		return nil
	}
	return db.update(func(tx *bbolt.Tx) error { return putSealed(tx, bucketBox, keyProgram, []byte(l.cfg.Program)) })
}
