package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	// firstBackup is how soon a box with nothing to fall back on gets its
	// first backup, and a new key its first copy.
	firstBackup = time.Minute
	// retryBackup is when a backup that failed is tried again.
	retryBackup = time.Hour
	// backupMargin is what a scheduled backup leaves free on the disk.
	backupMargin = 16 << 20

	// In the name of a backup made before an upgrade: of the schema, or of the
	// program alone, and before that the version that wrote it.
	upgradeNote = "schema"
	programNote = "program"
	byMark      = "v"
	maxVersion  = 64 // bytes of a version in a name
)

// Backup writes a consistent copy of the running store to path, replacing a
// file of that name only once the copy is complete, synced and has been opened.
func (s *Store) Backup(ctx context.Context, path string) error {
	if abs, err := filepath.Abs(path); err != nil || abs == s.Path() {
		return fmt.Errorf("backup to %s: that is the database itself; choose another file", path)
	}
	l := ladder{cfg: s.cfg, schema: s.schema, log: s.log}
	err := l.copyTo(ctx, s.db, path)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	if err != nil {
		return fmt.Errorf("backup to %s: %w", path, err)
	}
	return nil
}

// Copy writes a consistent copy of the running store to what begin returns, which
// is told its size before. It holds a read transaction until all is written, so
// the file grows meanwhile by what is changed; it ends early with ctx.
func (s *Store) Copy(ctx context.Context, begin func(bytes int64) io.Writer) error {
	var failed error // bbolt reports it as text only
	err := s.View(func(tx *bbolt.Tx) error {
		to := begin(tx.Size())
		_, err := tx.WriteTo(writerFunc(func(b []byte) (n int, err error) {
			if failed = context.Cause(ctx); failed == nil {
				n, failed = to.Write(b)
			}
			return n, failed
		}))
		return err
	})
	if failed != nil {
		return failed
	}
	return err
}

// copyTo copies an open database to path, verified and synced.
func (l *ladder) copyTo(ctx context.Context, db *database, path string) error {
	dir := filepath.Dir(path)
	temp, err := createTemp(dir)
	if err != nil {
		return err
	}
	var failed error // bbolt reports it as text only
	untilDone := writerFunc(func(b []byte) (n int, err error) {
		if failed = context.Cause(ctx); failed == nil {
			n, failed = temp.Write(b)
		}
		return n, failed
	})
	err = db.view(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(untilDone)
		return err
	})
	if failed != nil {
		err = failed
	}
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = l.verify(temp.Name())
	}
	if err == nil {
		err = install(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}

// writerFunc is an io.Writer of one function.
type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(b []byte) (int, error) { return w(b) }

// untilBackup is the time to the next scheduled backup. It trusts the clock
// only within bounds, since many boxes start in 1970.
func (s *Store) untilBackup() time.Duration {
	last, ok := s.newestScheduled()
	if !ok {
		return firstBackup
	}
	return min(max(time.Until(last.at.Add(s.cfg.BackupEvery)), firstBackup), s.cfg.BackupEvery)
}

func (s *Store) newestScheduled() (numbered, bool) {
	files, _ := listNumbered(filepath.Join(s.cfg.Dir, backupDir)) // unreadable: as if there were none
	for _, f := range files {
		if f.note == "" {
			s.counts.lastBackup.Store(f.at.UnixNano())
			return f, true
		}
	}
	return numbered{}, false
}

// NewestBackup opens the newest scheduled backup, which stays readable when it is
// removed meanwhile; fs.ErrNotExist when there is none.
func (s *Store) NewestBackup() (file *os.File, made time.Time, err error) {
	files, err := listNumbered(filepath.Join(s.cfg.Dir, backupDir))
	if err != nil {
		return nil, made, err
	}
	for _, f := range files {
		if f.note == "" {
			file, err = os.Open(f.path)
			return file, f.at, err
		}
	}
	return nil, made, fs.ErrNotExist
}

// scheduledBackup makes a backup if something has changed since the last one,
// and returns when to come again. A failure is no reason to stop the box.
func (s *Store) scheduledBackup(ctx context.Context) time.Duration {
	if s.counts.changed.Load() && s.BackupNow(ctx) != nil {
		return min(retryBackup, s.cfg.BackupEvery)
	}
	return s.cfg.BackupEvery
}

// BackupNow makes a backup as Run does on schedule, whether or not something has
// changed. It may be called at any time between Open and Close.
func (s *Store) BackupNow(ctx context.Context) error {
	s.backingUp.Lock()
	defer s.backingUp.Unlock()
	s.counts.changed.Store(false) // what comes from now on may not be in it
	start := time.Now()
	path, err := s.backupNumbered(ctx)
	if err != nil {
		s.counts.changed.Store(true)
		if ctx.Err() == nil {
			s.counts.backupFailures.Add(1)
			s.log.Warn("backup failed", "err", err)
		}
		return err
	}
	s.counts.backups.Add(1)
	s.counts.lastBackup.Store(start.UnixNano())
	s.log.Info("backup made", "dur", time.Since(start), "bytes", fileSize(path))
	if s.cfg.BackedUp != nil {
		s.cfg.BackedUp()
	}
	return nil
}

func (s *Store) backupNumbered(ctx context.Context) (string, error) {
	dir := filepath.Join(s.cfg.Dir, backupDir)
	path, err := nextNumbered(dir, "")
	if err != nil {
		return "", err
	}
	if err := spaceFor(dir, fileSize(s.Path())+backupMargin); err != nil {
		return "", err
	}
	if err := s.Backup(ctx, path); err != nil {
		return "", err
	}
	return path, prune(dir, s.cfg.BackupKeep, func(f numbered) bool { return f.note == "" })
}

// keepBeforeUpgrade keeps one copy of the file as the old program left it, and the
// one of the program that may have to come back. A box without the space for it
// goes on.
func (l *ladder) keepBeforeUpgrade(db *database, note string) {
	last, _ := lastProgram(db) // "" where it is not noted
	if by := safeVersion(last); by != "" {
		note = byMark + by + "-" + note
	}
	path, err := nextNumbered(l.backups(), note)
	if err == nil {
		err = l.copyTo(context.Background(), db, path)
	}
	if err == nil {
		err = l.pruneBeforeUpgrade()
	}
	if err != nil {
		l.log.Warn("no backup before the upgrade", "err", err)
	}
}

// pruneBeforeUpgrade leaves the newest copy, and the newest that the program to go
// back to has written: after 1.0, 2.0 and 1.0 again the newest is 2.0's.
func (l *ladder) pruneBeforeUpgrade() error {
	needed, own := safeVersion(l.cfg.Previous), false
	return prune(l.backups(), 1, func(f numbered) bool {
		if !own && needed != "" && beforeUpgrade(f) && f.by == needed {
			own = true
			return false
		}
		return beforeUpgrade(f)
	})
}

// safeVersion is a version as it stands in a file's name.
func safeVersion(version string) string {
	safe := strings.Map(func(r rune) rune {
		if strings.ContainsRune(".+~-", r) || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, version)
	return safe[:min(len(safe), maxVersion)]
}

func beforeUpgrade(f numbered) bool {
	return strings.HasPrefix(f.note, upgradeNote) || f.note == programNote
}

// BeforeUpgrade are the copies of the file in dir from before an upgrade, those
// that the program of the given version has written before the others, each
// newest first.
func BeforeUpgrade(dir, version string) ([]string, error) {
	files, err := listNumbered(filepath.Join(dir, backupDir))
	if err != nil {
		return nil, err
	}
	version = safeVersion(version)
	var own, others []string
	for _, f := range files {
		switch {
		case !beforeUpgrade(f):
		case f.by == version:
			own = append(own, f.path)
		default:
			others = append(others, f.path)
		}
	}
	return append(own, others...), nil
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// spaceFor tells whether dir has room for n more bytes. Where that cannot be
// known it is worth trying.
func spaceFor(dir string, n int64) error {
	var disk syscall.Statfs_t
	known := syscall.Statfs(dir, &disk) == nil
	if free := int64(disk.Bavail) * int64(disk.Bsize); known && free < n {
		return fmt.Errorf("%d bytes free on the disk of %s, want %d; free some or lower store.backup_keep", free, dir, n)
	}
	return nil
}
