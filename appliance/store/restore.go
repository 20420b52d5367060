package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Restore replaces the database in dir by a backup, for a box that does not
// run: it returns ErrLocked while one does. The backup is verified before
// anything is touched, and the replaced file is kept in dir/kept.
func Restore(dir, backup string) error {
	cfg := Config{Dir: dir}.withDefaults()
	if info, err := os.Stat(backup); err == nil && info.Size() > cfg.MaxBytes {
		cfg.MaxBytes = info.Size() // the box's own limit is not known here
	}
	if err := makeDir(dir); err != nil {
		return fmt.Errorf("create data folder: %w", err)
	}
	lock, err := lockDir(dir, cfg.LockTimeout)
	if err != nil {
		return err
	}
	l := ladder{cfg: cfg, schema: current, log: cfg.Logger}
	if err := l.restore(backup); err != nil {
		err = fmt.Errorf("restore %s: %w", backup, err)
		return errors.Join(err, lock.Close())
	}
	return lock.Close()
}

func (l *ladder) restore(backup string) error {
	if abs, err := filepath.Abs(backup); err == nil && abs == l.path() {
		return errors.New("that is the database itself; choose a backup")
	}
	temp, err := l.prepareBackup(backup)
	if err != nil {
		return err
	}
	if _, err := keepAside(l.cfg.Dir, l.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("keep the old database: %w", err), os.Remove(temp))
	}
	return install(temp, l.path())
}

// Verify opens a database or backup that nobody has open, and reads every
// record. It changes nothing.
func Verify(path string) error {
	cfg := Config{Dir: filepath.Dir(path)}.withDefaults()
	l := ladder{cfg: cfg, schema: current, log: cfg.Logger}
	if err := l.verify(path); err != nil {
		return fmt.Errorf("verify %s: %w", path, err)
	}
	db, err := openBolt(path, cfg)
	if err != nil {
		return fmt.Errorf("verify %s: %w", path, err)
	}
	bad, err := findBad(db)
	if err == nil && len(bad) > 0 {
		err = fmt.Errorf("%w: %d records, the first is %v", ErrDamaged, len(bad), bad[0])
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("verify %s: %w", path, err)
	}
	return nil
}
