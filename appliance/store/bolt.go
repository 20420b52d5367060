package store

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// create makes a complete database under a temporary name: bbolt itself fills
// a new file in place, and a power cut in between leaves it unusable.
func create(cfg Config, want schema) (string, error) {
	return fillTemp(cfg, func(db *database) error {
		return db.update(func(tx *bbolt.Tx) error {
			return errors.Join(want.migrate(tx, marks{}), writeIdentity(tx))
		})
	})
}

// fillTemp makes a new, synced database in the data folder.
func fillTemp(cfg Config, fill func(*database) error) (string, error) {
	f, err := createTemp(cfg.Dir)
	if err != nil {
		return "", err
	}
	path, err := f.Name(), f.Close()
	var db *database
	if err == nil {
		db, err = openBolt(path, cfg)
	}
	if err == nil {
		err = errors.Join(fill(db), db.Close(), syncFile(path))
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	return path, nil
}

// database is an open bbolt file. When bbolt panics in a commit it keeps its
// locks, and Close of bbolt would wait for them for ever; this one does not.
type database struct {
	*bbolt.DB
	file   *os.File
	broken atomic.Bool
}

// openBolt opens a file that inspect has passed, or a new one.
func openBolt(path string, cfg Config) (*database, error) {
	var db database
	err := catchAll(func() (err error) {
		db.DB, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:         cfg.LockTimeout,
			NoFreelistSync:  true,
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: int(cfg.MaxBytes), // never remapped, so readers never hold up a writer
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				db.file, err = os.OpenFile(name, flag, mode)
				return db.file, err
			},
		})
		return err
	})
	switch {
	case err == nil:
		db.AllocSize = allocBytes
		return &db, nil
	case damaged(err):
		if db.file != nil {
			_ = db.abandon() // bbolt does not get to it when it panics
		}
		return nil, err
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w: another program has %s open; stop it", ErrLocked, path)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil, err
}

// update is one write transaction. A panic of bbolt becomes ErrDamaged, and a
// fault of the disk ErrFailed.
func (d *database) update(fn func(*bbolt.Tx) error) error {
	d.broken.Store(true) // unless it comes back
	return catchAll(func() error {
		err := d.Update(fn)
		d.broken.Store(false)
		return err
	})
}

// view is one read transaction, with panics as in update.
func (d *database) view(fn func(*bbolt.Tx) error) error {
	return catchAll(func() error { return d.View(fn) })
}

// Close waits for open transactions, but for one that has panicked.
func (d *database) Close() error {
	if d.broken.Load() {
		return d.abandon()
	}
	return d.DB.Close()
}

// abandon gives up the file but for its mapping, which stays until the process
// ends and would hold bbolt's lock too.
func (d *database) abandon() error {
	return errors.Join(syscall.Flock(int(d.file.Fd()), syscall.LOCK_UN), d.file.Close())
}
