package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// ladder leads from whatever lies in the data folder to an open database:
// the file itself, else the commit before its last, else the newest good
// backup, else one that is fetched from elsewhere, else an empty file. What was
// replaced is kept.
type ladder struct {
	cfg      Config
	schema   schema
	log      *slog.Logger
	recovery Recovery
}

func (l *ladder) path() string    { return filepath.Join(l.cfg.Dir, fileName) }
func (l *ladder) backups() string { return filepath.Join(l.cfg.Dir, backupDir) }

func (l *ladder) climb() (*database, error) {
	l.sweep()
	db, found, problem := l.assess(l.path())
	if problem == nil && found.crooked != nil {
		db, problem = l.straighten(db, found.crooked)
	}
	if problem != nil {
		if !damaged(problem) && !errors.Is(problem, fs.ErrNotExist) {
			return nil, fmt.Errorf("open %s: %w", l.path(), problem)
		}
		if err := l.replace(found, problem); err != nil {
			return nil, fmt.Errorf("recover %s: %w", l.path(), err)
		}
		if db, found, problem = l.assess(l.path()); problem != nil {
			return nil, fmt.Errorf("open %s after recovery: %w", l.path(), problem)
		}
	}
	db, err := l.compact(db, found)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", l.path(), err)
	}
	if err := errors.Join(private(l.path()), l.settle(db)); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", l.path(), err), db.Close())
	}
	if text := l.recovery.String(); text != "" {
		l.log.Warn("database recovered", "reason", text)
	}
	return db, nil
}

// sweep tidies up after a crash. What cannot be removed does not matter now.
func (l *ladder) sweep() {
	if err := errors.Join(sweep(l.cfg.Dir), sweep(l.backups())); err != nil {
		l.log.Warn("unfinished files not removed", "err", err)
	}
}

// assess opens the file at path. The error is ErrDamaged when no program
// could, and ErrTooNew when only a newer one can; the survey may then still
// name an older state of the file that is whole.
func (l *ladder) assess(path string) (*database, survey, error) {
	found, err := inspectFile(path)
	if err == nil {
		err = asDamage(found.problem)
	}
	if err != nil {
		return nil, found, err
	}
	db, err := openBolt(path, l.cfg)
	if err != nil {
		return nil, found, err
	}
	if err := db.view(l.schema.accept); err != nil {
		return nil, found, errors.Join(err, db.Close())
	}
	return db, found, nil
}

// private takes the file away from other users; it holds keys.
func private(path string) error {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm() != 0o600 {
		err = os.Chmod(path, 0o600)
	}
	return err
}

func asDamage(problem error) error {
	if problem == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDamaged, problem)
}

// damaged tells a file that will never be usable from one that cannot be used
// now. An unreadable disk counts as damage: the file is only set aside.
func damaged(err error) bool {
	return errors.Is(err, ErrDamaged) || errors.Is(err, ErrFailed)
}

// replace puts the best state there is in place of an unusable or missing file.
func (l *ladder) replace(found survey, problem error) error {
	temp, err := l.previous(found)
	if temp == "" && err == nil {
		temp, err = l.backup(problem)
	}
	if temp == "" && err == nil {
		temp = l.fetched(problem)
	}
	if temp == "" && err == nil {
		temp, err = l.empty(problem)
	}
	if err != nil {
		return err
	}
	if l.recovery.Rung != RungNone {
		l.recovery.Time = time.Now()
		l.keepBad()
	}
	return install(temp, l.path())
}

// keepBad sets the bad file aside. When that fails, having a box that runs is
// worth more than having the bad file.
func (l *ladder) keepBad() {
	kept, err := keepAside(l.cfg.Dir, l.path())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("damaged file not kept", "err", err)
	}
	l.recovery.Kept = kept
}

// previous prepares a copy of the file without its newest commit, when the one
// before is whole. It happens when a disk confirms a write that it then loses.
func (l *ladder) previous(found survey) (string, error) {
	if found.problem == nil {
		return "", nil
	}
	temp, err := copyWithout(l.path(), found)
	if err != nil {
		return "", unlessDamaged(err)
	}
	if err := l.verify(temp); err != nil {
		err = errors.Join(unlessDamaged(err), os.Remove(temp))
		return "", err
	}
	l.recovery.Rung, l.recovery.Problem = RungPrevious, found.problem.Error()
	return temp, nil
}

// verify opens and closes a file.
func (l *ladder) verify(path string) error {
	db, found, err := l.assess(path)
	if err != nil {
		return err
	}
	return errors.Join(asDamage(found.crooked), db.Close())
}

// unlessDamaged keeps the errors that another rung would not cure: a full
// disk is no reason to start empty.
func unlessDamaged(err error) error {
	if damaged(err) {
		return nil
	}
	return err
}

// copyWithout copies a database and wipes its newest meta page.
func copyWithout(path string, found survey) (string, error) {
	src, err := os.Open(path)
	if err != nil {
		return "", err
	}
	temp, err := copyTemp(filepath.Dir(path), src)
	if err := errors.Join(err, src.Close()); err != nil {
		return "", err
	}
	f, err := os.OpenFile(temp, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	_, err = f.WriteAt(make([]byte, found.pageSize), found.bad)
	return temp, errors.Join(err, f.Sync(), f.Close())
}

// backup prepares a copy of the newest good backup.
func (l *ladder) backup(problem error) (string, error) {
	files, err := listNumbered(l.backups())
	if err != nil {
		return "", err
	}
	for _, b := range files {
		temp, err := l.prepareBackup(b.path)
		if err == nil {
			l.recovery = Recovery{Rung: RungBackup, Problem: describe(problem), Backup: b.path, BackupAt: b.at}
			return temp, nil
		}
		if !damaged(err) && !errors.Is(err, ErrTooNew) {
			return "", fmt.Errorf("use backup %s: %w", b.path, err)
		}
		l.log.Warn("backup not usable", "err", fmt.Errorf("%s: %w", b.path, err))
	}
	return "", nil
}

// prepareBackup copies a backup into the data folder, ready to be installed.
func (l *ladder) prepareBackup(path string) (temp string, err error) {
	found, err := inspectFile(path)
	if err == nil {
		err = asDamage(found.problem)
	}
	if err != nil {
		return "", err
	}
	src, err := os.Open(path)
	if err != nil {
		return "", err
	}
	temp, err = copyTemp(l.cfg.Dir, src)
	if err := errors.Join(err, src.Close()); err != nil {
		return "", err
	}
	if err := errors.Join(l.verify(temp), leapIncarnation(temp, l.cfg)); err != nil {
		return "", errors.Join(err, os.Remove(temp))
	}
	return temp, nil
}

// fetched prepares a backup from elsewhere. That there is none, or that it cannot
// be had now, is no reason to keep the box from starting.
func (l *ladder) fetched(problem error) string {
	if l.cfg.Fetch == nil {
		return ""
	}
	path, made, err := l.cfg.Fetch()
	if path == "" && err == nil {
		return ""
	}
	temp := ""
	if err == nil {
		temp, err = l.prepareBackup(path)
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		l.log.Warn("no backup from the cloud", "err", err)
		l.recovery = Recovery{Rung: RungEmpty, Problem: describe(problem), Cloud: err.Error()}
		return ""
	}
	l.recovery = Recovery{Rung: RungCloud, Problem: describe(problem), BackupAt: made}
	return temp
}

// empty prepares a new file, which on the first start is no recovery.
func (l *ladder) empty(problem error) (string, error) {
	kept, err := listNumbered(filepath.Join(l.cfg.Dir, keptDir))
	if err != nil {
		return "", err
	}
	backups, err := listNumbered(l.backups())
	if err != nil {
		return "", err
	}
	if len(kept)+len(backups) > 0 || !errors.Is(problem, fs.ErrNotExist) {
		l.recovery = Recovery{Rung: RungEmpty, Problem: describe(problem), Cloud: l.recovery.Cloud}
	}
	return create(l.cfg, l.schema)
}

func describe(problem error) string {
	if errors.Is(problem, fs.ErrNotExist) {
		return "the file is missing"
	}
	return strings.TrimPrefix(problem.Error(), ErrDamaged.Error()+": ")
}

// settle brings the open file to this program's schema and repairs records.
func (l *ladder) settle(db *database) error {
	if err := l.upgrade(db); err != nil {
		return err
	}
	if err := l.signProgram(db); err != nil { // as on a full disk: it matters to the next upgrade alone
		l.log.Warn("the version of the program is not noted", "err", err)
	}
	repaired, err := l.repair(db)
	if err == nil {
		err = ensureIdentity(db)
	}
	if err != nil {
		return err
	}
	if l.recovery.Records = repaired; len(repaired) > 0 && l.recovery.Rung == RungNone {
		l.recovery.Rung, l.recovery.Time = RungRepaired, time.Now()
	}
	return nil
}

// upgrade brings an older file to this program's schema, in one transaction
// and after a backup for the way back. A file that another version of the program
// has written is copied in any case.
func (l *ladder) upgrade(db *database) error {
	var m marks
	err := db.view(func(tx *bbolt.Tx) (err error) {
		m, err = readSchema(tx)
		return err
	})
	if err != nil {
		return err
	}
	switch _, any := l.schema.pending(m); {
	case m.version < l.schema.version:
		l.keepBeforeUpgrade(db, upgradeNote+strconv.Itoa(int(m.version)))
	case l.otherProgram(db):
		l.keepBeforeUpgrade(db, programNote)
		fallthrough
	default:
		if !any {
			return nil
		}
	}
	return db.update(func(tx *bbolt.Tx) error { return l.schema.migrate(tx, m) })
}
