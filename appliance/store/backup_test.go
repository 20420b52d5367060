package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"signalbox/appliance/store"
	"signalbox/appliance/store/storetest"
)

// footprint is every file below dir with its time of change and its content.
func footprint(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = fmt.Sprintf("%v %x", info.ModTime(), sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func backups(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "backups", "signalbox-*.db"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// runStore runs a store until the returned function is called.
func runStore(t *testing.T, s *store.Store) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}

func TestIdleStoreWritesNothing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir)
		stop := runStore(t, s)
		if err := put(s, "k", "v"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // the first backup
		files, stats := footprint(t, dir), s.Stats()
		if got := len(backups(t, dir)); got != 1 {
			t.Errorf("%d backups after the first change, want 1", got)
		}
		time.Sleep(30 * 24 * time.Hour)
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		if after := footprint(t, dir); !maps.Equal(after, files) {
			t.Errorf("an idle month changed files:\n%v\nbefore:\n%v", after, files)
		}
		if after := s.Stats(); after.Commits != stats.Commits || after.WrittenBytes != stats.WrittenBytes {
			t.Errorf("an idle month made commits: %+v, before: %+v", after, stats)
		}
		stop()
		closeStore(t, s)
	})
}

func TestScheduledBackups(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir)
		stop := runStore(t, s)
		for day := range 6 {
			if err := put(s, "day", fmt.Sprint(day)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(24 * time.Hour)
		}
		time.Sleep(time.Minute)
		made := backups(t, dir)
		if len(made) != 3 || !strings.Contains(made[2], "signalbox-000006-") {
			t.Errorf("backups after six days = %v, want the newest 3 of 6", made)
		}
		if st := s.Stats(); st.Backups != 6 || st.BackupFailed != 0 || time.Since(st.LastBackup) > 25*time.Hour {
			t.Errorf("Stats = %+v", st)
		}
		// A new key is copied at once.
		if _, err := s.CreateKey(t.Context(), "root", func() ([]byte, error) { return []byte("x"), nil }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		if made := backups(t, dir); !strings.Contains(made[2], "signalbox-000007-") {
			t.Errorf("backups after a new key = %v", made)
		}
		stop()
		closeStore(t, s)

		// The schedule goes on after a restart, it does not begin again.
		s = open(t, dir)
		stop = runStore(t, s)
		time.Sleep(23 * time.Hour)
		if got := s.Stats().Backups; got != 0 {
			t.Errorf("%d backups within 23 hours of the last", got)
		}
		time.Sleep(2 * time.Hour)
		if got := s.Stats().Backups; got != 1 {
			t.Errorf("%d backups 25 hours after the last, want 1", got)
		}
		stop()
		closeStore(t, s)
		for _, path := range backups(t, dir) {
			if err := store.Verify(path); err != nil {
				t.Error(err)
			}
		}
	})
}

// A box without a clock chip is in 1970 at first, or was in 2040 once.
func TestBackupsDoNotTrustTheClock(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "backups"), 0o700); err != nil {
		t.Fatal(err)
	}
	future := filepath.Join(dir, "backups", "signalbox-000009-20400101T000000Z.db")
	if err := os.WriteFile(future, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir)
		stop := runStore(t, s)
		if err := put(s, "k", "v"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * time.Hour)
		if made := backups(t, dir); len(made) != 2 || !strings.Contains(made[1], "signalbox-000010-20000102T") {
			t.Errorf("backups = %v, want one that comes after the one of 2040", made)
		}
		stop()
		closeStore(t, s)
	})
}

func TestFailedBackupIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir)
		inTheWay := filepath.Join(dir, "backups")
		if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		stop := runStore(t, s)
		time.Sleep(2 * time.Minute)
		if st := s.Stats(); st.BackupFailed != 1 || st.Backups != 0 {
			t.Errorf("Stats with a file in the place of the folder = %+v", st)
		}
		if err := os.Remove(inTheWay); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if st := s.Stats(); st.BackupFailed != 1 || st.Backups != 1 {
			t.Errorf("Stats an hour later = %+v", st)
		}
		stop()
		closeStore(t, s)
	})
}

// While it is written to, every backup is one moment of the store: of pairs
// that are always written together none is torn.
func TestBackupWhileWriting(t *testing.T) {
	s := storetest.Open(t)
	if err := put(s, "k", "v"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				err := s.Update(context.Background(), func(tx *bbolt.Tx) error {
					b, err := tx.CreateBucketIfNotExists(bucketTest)
					if err != nil {
						return err
					}
					value := fmt.Appendf(nil, "%d%s", i, strings.Repeat("x", i%3000))
					return errors.Join(
						b.Put(fmt.Appendf(nil, "left %d", w), value),
						b.Put(fmt.Appendf(nil, "right %d", w), value),
						b.Put(fmt.Appendf(nil, "fill %d %d", w, i%50), value))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 10 {
		path := filepath.Join(t.TempDir(), "copy.db")
		if err := s.Backup(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if err := store.Verify(path); err != nil {
			t.Fatal(err)
		}
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketTest)
			for w := range 4 {
				left, right := b.Get(fmt.Appendf(nil, "left %d", w)), b.Get(fmt.Appendf(nil, "right %d", w))
				if string(left) != string(right) {
					t.Errorf("backup %d: a pair is torn", i)
				}
			}
			return nil
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	wg.Wait()
}

func TestBackupIsPrivateAndReplacesOnlyByAWholeOne(t *testing.T) {
	s := storetest.Open(t)
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(path, []byte("older"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the caller left")
	cancel(why)
	if err := s.Backup(ctx, path); !errors.Is(err, why) {
		t.Errorf("Backup = %v, want the cause of the cancellation", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "older" {
		t.Errorf("a backup that failed left %q", b)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := s.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	storetest.CheckFile(t, path)
	if err := s.Backup(t.Context(), s.Path()); err == nil {
		t.Error("Backup over the database itself: no error")
	}
	if err := s.Backup(t.Context(), filepath.Join(path, "no", "folder")); err == nil {
		t.Error("Backup into a folder that is not there: no error")
	}
}

func TestRestore(t *testing.T) {
	dir, boxID, incarnation := lived(t)
	backup := backups(t, dir)[0]
	if err := store.Restore(dir, backup); err != nil {
		t.Fatal(err)
	}
	kept, _ := filepath.Glob(filepath.Join(dir, "kept", "*.db"))
	if len(kept) != 1 {
		t.Fatalf("kept files = %v, want the replaced one", kept)
	}
	storetest.CheckFile(t, kept[0])
	s := open(t, dir)
	if a, b := get(t, s, "a"), get(t, s, "b"); a != "1" || b != "" || s.BoxID() != boxID {
		t.Errorf("a = %q, b = %q, box %s, want the backup's state of box %s", a, b, s.BoxID(), boxID)
	}
	first, err := s.NextIncarnation(t.Context())
	if err != nil || first <= incarnation || first >= 1<<53 {
		t.Errorf("NextIncarnation = %d, %v; %d was given out before", first, err, incarnation)
	}
	closeStore(t, s)
	// The same backup once more: again an incarnation of its own.
	if err := store.Restore(dir, backup); err != nil {
		t.Fatal(err)
	}
	s = storetest.OpenConfig(t, store.Config{Dir: dir})
	if second, err := s.NextIncarnation(t.Context()); err != nil || second == first {
		t.Errorf("NextIncarnation = %d after restoring twice, %v", second, err)
	}
}

func TestRestoreIntoAnEmptyFolder(t *testing.T) {
	dir, boxID, _ := lived(t)
	fresh := filepath.Join(t.TempDir(), "new")
	if err := store.Restore(fresh, backups(t, dir)[0]); err != nil {
		t.Fatal(err)
	}
	s := storetest.OpenConfig(t, store.Config{Dir: fresh})
	if s.BoxID() != boxID || s.Recovery().Rung != store.RungNone {
		t.Errorf("box %s, %v", s.BoxID(), s.Recovery())
	}
}

func TestRestoreRefusesWhatIsNoBackup(t *testing.T) {
	dir, _, _ := lived(t)
	path := filepath.Join(dir, "signalbox.db")
	before := footprint(t, dir)
	other := filepath.Join(t.TempDir(), "other.db")
	db, err := bbolt.Open(other, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(damaged, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for backup, want := range map[string]error{other: store.ErrDamaged, damaged: store.ErrDamaged, path + ".gone": fs.ErrNotExist, path: nil} {
		if err := store.Restore(dir, backup); err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), backup) {
			t.Errorf("Restore of %s = %v, want %v", backup, err, want)
		}
	}
	after := footprint(t, dir)
	delete(after, filepath.Join(dir, "signalbox.lock"))
	delete(before, filepath.Join(dir, "signalbox.lock"))
	if !maps.Equal(after, before) {
		t.Errorf("a refused restore changed files:\n%v\nbefore:\n%v", after, before)
	}
}

func TestFileIsCompactedAtOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 400 {
		if err := put(s, fmt.Sprintf("%04d", i), strings.Repeat("v", 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Update(t.Context(), func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketTest)
		if err := b.SetSequence(77); err != nil {
			return err
		}
		for i := range 350 {
			if err := b.Delete(fmt.Appendf(nil, "%04d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	large := s.Stats().FileBytes

	s = storetest.OpenConfig(t, store.Config{Dir: dir})
	if small := s.Stats().FileBytes; small > large/3 {
		t.Errorf("the file has %d bytes after opening, %d before", small, large)
	}
	for i := 350; i < 400; i++ {
		if got := get(t, s, fmt.Sprintf("%04d", i)); len(got) != 10_000 {
			t.Errorf("record %d has %d bytes", i, len(got))
		}
	}
	err = s.View(func(tx *bbolt.Tx) error {
		if got := tx.Bucket(bucketTest).Sequence(); got != 77 {
			t.Errorf("the sequence of the bucket = %d, want 77", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Recovery().Rung != store.RungNone {
		t.Errorf("Recovery = %v", s.Recovery())
	}
}
