package appliance

import (
	"errors"
	"fmt"

	"signalbox/appliance/store"
	"signalbox/appliance/upgrade"
)

// openStore opens the state. After an upgrade that was taken back it may be in a
// form that only the newer program reads; then the copy from before the upgrade
// is put in place, and the newer file is kept.
func (a *Appliance) openStore() (err error) {
	a.readVerdict(upgrade.Installed())
	cfg := &a.cfg.Store
	cfg.Dir, cfg.Logger, cfg.Program = a.cfg.Data, a.part("store"), a.cfg.Version
	a.store, err = store.Open(*cfg)
	if !errors.Is(err, store.ErrTooNew) || a.verdict.From == "" {
		return err
	}
	backup, copyErr := store.BeforeUpgrade(cfg.Dir)
	if copyErr != nil || backup == "" {
		return errors.Join(err, copyErr)
	}
	if copyErr := store.Restore(cfg.Dir, backup); copyErr != nil {
		return errors.Join(err, copyErr)
	}
	if a.store, err = store.Open(*cfg); err != nil {
		return err
	}
	a.verdict.Reason += fmt.Sprintf("; its database was of no use to this version, which goes on with the copy from before the upgrade, %s", backup)
	return nil
}

// readVerdict notes an upgrade that was taken back, while the program it went
// back to is still the one that runs.
func (a *Appliance) readVerdict(layout upgrade.Layout) {
	v, err := layout.ReadVerdict()
	switch {
	case errors.Is(err, upgrade.ErrNone):
	case err != nil:
		a.log.Warn("how the last upgrade went is not known", "component", "upgrade", "err", err)
	case !v.Good && v.To != a.cfg.Version:
		a.verdict = v
		a.log.Error("the last upgrade was taken back", "component", "upgrade", "reason", v.String())
	}
}
