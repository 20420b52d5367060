package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	fileName   = "upstream.db"
	badPrefix  = fileName + ".bad-"
	tempPrefix = ".new-upstream-"
	keepBad    = 2
	allocBytes = 1 << 20 // the file grows by it
)

// file is an open bbolt file. After a panic in a transaction bbolt keeps its
// locks, and its Close would wait for them for ever; broken files are abandoned.
type file struct {
	*bbolt.DB
	f      *os.File
	broken bool
}

// openFile opens a file that inspect has passed, or a new one.
func openFile(path string, cfg Config) (*file, error) {
	var db file
	err := guarded(func() (err error) {
		db.DB, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:         lockTimeout,
			NoFreelistSync:  true,
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: int(cfg.HardBytes), // never mapped anew, so that a reader never holds up a commit
			NoSync:          cfg.noSync,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, mode)
				db.f = f
				return f, err
			},
		})
		return err
	})
	switch {
	case err == nil:
		db.AllocSize = allocBytes
		return &db, nil
	case broken(err):
		if db.f != nil {
			db.broken = true
			_ = db.close()
		}
	case errors.Is(err, berrors.ErrTimeout):
		err = lockedError(path)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil, err
}

// update is one write transaction. It is not rolled back when fn finds damage or
// panics: bbolt would look for free pages again, and a bad page panics there
// where nobody can catch it. The file is broken then.
func (db *file) update(fn func(*bbolt.Tx) error) error {
	return guarded(func() error {
		tx, err := db.Begin(true)
		if err != nil {
			return err
		}
		db.broken = true // unless it comes back
		if err := fn(tx); err != nil {
			if !broken(err) {
				db.broken = false
				return errors.Join(err, tx.Rollback())
			}
			return err
		}
		err = tx.Commit()
		db.broken = false
		return err
	})
}

// broken tells whether err says that the file is not to be trusted.
func broken(err error) bool { return errors.Is(err, ErrDamaged) || errors.Is(err, ErrDisk) }

// view is one read transaction.
func (db *file) view(fn func(*bbolt.Tx) error) error {
	return guarded(func() error { return db.View(fn) })
}

// close releases the file. Of a broken one the mapping stays until the process
// ends.
func (db *file) close() error {
	if !db.broken {
		return db.Close()
	}
	return errors.Join(syscall.Flock(int(db.f.Fd()), syscall.LOCK_UN), db.f.Close())
}

// createFile makes a complete file under a temporary name and gives it its own
// at the end: bbolt fills a new one in place, and a power cut in between would
// leave one that cannot be used.
func createFile(cfg Config, fill func(*bbolt.Tx) error) error {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(cfg.Dir, tempPrefix+"*")
	if err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // unless it was renamed
	db, err := openFile(temp.Name(), cfg)
	if err != nil {
		return err
	}
	if err := errors.Join(db.update(fill), db.close()); err != nil {
		return err
	}
	if err := syncPath(temp.Name()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), cfg.path()); err != nil {
		return err
	}
	return syncPath(cfg.Dir)
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// moveAside renames a damaged file to upstream.db.bad-N and keeps the newest
// two such.
func moveAside(cfg Config) (string, error) {
	old, err := badFiles(cfg.Dir)
	if err != nil {
		return "", err
	}
	next := 1
	if len(old) > 0 {
		next = old[len(old)-1] + 1
	}
	name := badPrefix + strconv.Itoa(next)
	if err := os.Rename(cfg.path(), filepath.Join(cfg.Dir, name)); err != nil {
		return "", err
	}
	for _, n := range old[:max(len(old)-keepBad+1, 0)] {
		err = errors.Join(err, os.Remove(filepath.Join(cfg.Dir, badPrefix+strconv.Itoa(n))))
	}
	return name, errors.Join(err, syncPath(cfg.Dir))
}

func badFiles(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, e := range entries {
		if text, ok := strings.CutPrefix(e.Name(), badPrefix); ok {
			if n, err := strconv.Atoi(text); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// sweep removes what a crash in createFile has left.
func sweep(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
	for _, path := range left {
		_ = os.Remove(path)
	}
}
