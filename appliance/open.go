package appliance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"signalbox/appliance/store"
	"signalbox/appliance/upgrade"
)

// openStore opens the state.
//
// After an upgrade that was taken back it may be in a form that only the newer
// program reads; then the copy from before the upgrade is put in place, and the
// newer file is kept. On a disk that has become read-only, as worn flash does,
// the box goes on from a copy in memory.
func (a *Appliance) openStore() (err error) {
	a.readVerdict(upgrade.Installed())
	cfg := &a.cfg.Store
	cfg.Dir, cfg.Logger, cfg.Program = a.cfg.Data, a.part("store"), a.cfg.Version
	cfg.Fetch, cfg.BackedUp = a.fetchBackup, a.backedUp
	memory := memoryOf(a.cfg.Data, a.cfg.Runtime)
	a.store, err = store.Open(*cfg)
	switch {
	case err == nil && memory != memoryNone:
		return a.leaveMemory(memory)
	case errors.Is(err, store.ErrTooNew) && a.verdict.From != "":
		return a.openBeforeUpgrade(err)
	case errors.Is(err, syscall.EROFS) && a.cfg.Runtime != "":
		return a.openInMemory(err)
	}
	return err
}

func (a *Appliance) openBeforeUpgrade(tooNew error) error {
	copies, err := store.BeforeUpgrade(a.cfg.Data, a.cfg.Version)
	if err != nil {
		return errors.Join(tooNew, err)
	}
	err = tooNew
	for _, backup := range copies {
		if err = store.Restore(a.cfg.Data, backup); errors.Is(err, store.ErrTooNew) || errors.Is(err, store.ErrDamaged) {
			continue
		}
		if err != nil {
			return errors.Join(tooNew, err)
		}
		if a.store, err = store.Open(a.cfg.Store); err != nil {
			return err
		}
		a.verdict.Reason += fmt.Sprintf("; its database was of no use to this version, which goes on with the copy from before the upgrade, %s", backup)
		return nil
	}
	return err
}

// MemoryDir is the folder below the service's own in memory for the state of a
// box whose disk cannot be written.
const MemoryDir = "state"

// originName is of the file that tells, beside a copy in memory, which state of
// the disk it began with.
const originName = "origin"

// memory is what the folder in memory holds, compared with the disk.
type memory int

const (
	memoryNone  memory = iota
	memoryAhead        // the disk is as it was when the copy was made
	memoryStale        // the disk was written since, and goes on from there
)

// memoryOf compares before anything opens the state on the disk.
func memoryOf(data, runtime string) memory {
	if runtime == "" {
		return memoryNone
	}
	dir := filepath.Join(runtime, MemoryDir)
	if _, err := os.Stat(filepath.Join(dir, databaseName)); err != nil {
		return memoryNone
	}
	if known, err := os.ReadFile(filepath.Join(dir, originName)); err == nil && string(known) == originOf(data) {
		return memoryAhead
	}
	return memoryStale
}

const databaseName = "signalbox.db"

// originOf tells states of the disk apart: every start writes to it.
func originOf(data string) string {
	info, err := os.Stat(filepath.Join(data, databaseName))
	if err != nil {
		return "none"
	}
	return fmt.Sprintf("%d bytes of %d", info.Size(), info.ModTime().UnixNano())
}

// openInMemory goes on with a copy of the state in memory. What is changed there
// lasts until the machine stops; a later start of the service finds it again,
// unless the disk was written meanwhile.
func (a *Appliance) openInMemory(readOnly error) error {
	dir := filepath.Join(a.cfg.Runtime, MemoryDir)
	found := memoryOf(a.cfg.Data, a.cfg.Runtime)
	if found == memoryStale {
		a.log.Error("a state in memory that is older than the disk's is not used", "component", "store")
		if err := os.RemoveAll(dir); err != nil {
			return errors.Join(readOnly, err)
		}
	}
	if found != memoryAhead {
		if err := a.copyToMemory(dir); err != nil {
			return errors.Join(readOnly, err)
		}
	}
	a.inMemory = fmt.Sprintf("%v; the box runs from memory, and what is changed now is lost when the machine stops", readOnly)
	a.log.Error("the box runs from memory", "component", "store", "err", readOnly)
	a.cfg.Data, a.cfg.Store.Dir = dir, dir
	var err error
	a.store, err = store.Open(a.cfg.Store)
	return err
}

func (a *Appliance) copyToMemory(dir string) error {
	if err := store.Restore(dir, filepath.Join(a.cfg.Data, databaseName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, originName), []byte(originOf(a.cfg.Data)), 0o600)
}

// leaveMemory has a box whose disk can be written again go on with what it has
// become in memory, revocations too. The file that it replaces is kept.
func (a *Appliance) leaveMemory(found memory) error {
	dir := filepath.Join(a.cfg.Runtime, MemoryDir)
	if found == memoryStale {
		a.log.Error("the disk was written while the box ran from memory, and what was changed there is lost", "component", "store")
		return os.RemoveAll(dir)
	}
	if err := a.store.Close(); err != nil {
		return err
	}
	restored := store.Restore(a.cfg.Data, filepath.Join(dir, databaseName))
	var err error
	if a.store, err = store.Open(a.cfg.Store); err != nil {
		return errors.Join(restored, err)
	}
	if restored != nil {
		a.log.Error("what was changed while the box ran from memory is lost", "component", "store", "err", restored)
	} else {
		a.log.Warn("the disk can be written again; the state from memory is back on it", "component", "store")
	}
	return os.RemoveAll(dir)
}

// readVerdict notes an upgrade that was taken back, while the program it went
// back to is the one that runs, and which version's state may be needed again.
func (a *Appliance) readVerdict(layout upgrade.Layout) {
	if trial, err := layout.ReadTrial(); err == nil {
		a.cfg.Store.Previous = trial.From
	}
	v, err := layout.ReadVerdict()
	switch {
	case errors.Is(err, upgrade.ErrNone):
	case err != nil:
		a.log.Warn("how the last upgrade went is not known", "component", "upgrade", "err", err)
	case !v.Good && v.From == a.cfg.Version:
		a.verdict, a.cfg.Store.Previous = v, v.From
		a.log.Error("the last upgrade was taken back", "component", "upgrade", "reason", v.String())
	}
}
