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
	a.store, err = store.Open(*cfg)
	switch {
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

// openInMemory goes on with a copy of the state in memory. What is changed there
// lasts until the machine stops; a later start of the service finds it again.
func (a *Appliance) openInMemory(readOnly error) error {
	dir := filepath.Join(a.cfg.Runtime, MemoryDir)
	if _, err := os.Stat(filepath.Join(dir, "signalbox.db")); errors.Is(err, fs.ErrNotExist) {
		if err := store.Restore(dir, filepath.Join(a.cfg.Data, "signalbox.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
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
