package store_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"signalbox/appliance/store"
	"signalbox/appliance/store/storetest"
)

// open opens a store that the test closes itself.
func open(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(store.Config{Dir: dir})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	return s
}

func closeStore(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close store: %v", err)
	}
}

var bucketTest = []byte("test")

// put stores one record of the tests' own.
func put(s *store.Store, key, value string) error {
	return s.Update(context.Background(), func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketTest)
		if err != nil {
			return err
		}
		return b.Put([]byte(key), []byte(value))
	})
}

func get(t testing.TB, s *store.Store, key string) (value string) {
	t.Helper()
	err := s.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(bucketTest); b != nil {
			value = string(b.Get([]byte(key)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestOpenCreatesPrivateFolderAndFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var", "data")
	s := storetest.OpenConfig(t, store.Config{Dir: dir})
	if got := s.Recovery(); got.Rung != store.RungNone || got.String() != "" {
		t.Errorf("Recovery of a first start = %+v", got)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, s.Path(): 0o600, filepath.Join(dir, "signalbox.lock"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s = %v, want %v", path, got, want)
		}
	}
}

func TestOpenTakesTheFileFromOtherUsers(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	closeStore(t, s)
	if err := os.Chmod(s.Path(), 0o644); err != nil {
		t.Fatal(err)
	}
	storetest.OpenConfig(t, store.Config{Dir: dir}) // checks the mode at the end
}

func TestWritesOutliveTheStore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := put(s, "k", "v"); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	closeStore(t, s) // a second time is harmless
	again := storetest.OpenConfig(t, store.Config{Dir: dir})
	if got := get(t, again, "k"); got != "v" {
		t.Errorf("after reopening k = %q, want v", got)
	}
	if err := put(s, "k", "w"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Update of a closed store = %v, want ErrClosed", err)
	}
	if err := s.View(func(*bbolt.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("View of a closed store = %v, want ErrClosed", err)
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "b.db")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Backup of a closed store = %v, want ErrClosed", err)
	}
}

func TestIdentityStaysAndIncarnationGrows(t *testing.T) {
	dir := t.TempDir()
	var id string
	var last uint64
	for start := range 3 {
		s := open(t, dir)
		if start == 0 {
			id = s.BoxID()
		}
		if got := s.BoxID(); got != id || !regexp.MustCompile(`^[a-z2-7]{10}$`).MatchString(got) {
			t.Errorf("start %d: BoxID = %q, want %q of 10 characters a-z2-7", start, got, id)
		}
		n, err := s.NextIncarnation(t.Context())
		if err != nil || n <= last {
			t.Errorf("start %d: NextIncarnation = %d, %v, want more than %d", start, n, err, last)
		}
		last = n
		closeStore(t, s)
	}
}

func TestKeysAreMadeOnce(t *testing.T) {
	s := storetest.Open(t)
	if _, err := s.Key("turn"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Key before CreateKey = %v, want ErrNotFound", err)
	}
	type result struct {
		key []byte
		err error
	}
	results := make(chan result)
	for i := range 8 {
		go func() {
			key, err := s.CreateKey(t.Context(), "turn", func() ([]byte, error) { return []byte{byte(i)}, nil })
			results <- result{key, err}
		}()
	}
	first := <-results
	for range 7 {
		if r := <-results; r.err != nil || !bytes.Equal(r.key, first.key) {
			t.Errorf("CreateKey = %x, %v, want %x for every caller", r.key, r.err, first.key)
		}
	}
	if got, err := s.Key("turn"); err != nil || !bytes.Equal(got, first.key) {
		t.Errorf("Key = %x, %v, want %x", got, err, first.key)
	}
	boom := errors.New("no entropy")
	if _, err := s.CreateKey(t.Context(), "other", func() ([]byte, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Errorf("CreateKey = %v, want the error of make", err)
	}
	if _, err := s.CreateKey(t.Context(), "", nil); err == nil {
		t.Error("CreateKey without a name: no error")
	}
}

func TestSessions(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	write := func(changed map[string][]byte) {
		t.Helper()
		if err := s.PutSessions(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
	}
	write(nil)
	write(map[string][]byte{"a": []byte("1"), "b": []byte("2"), "c": {}})
	write(map[string][]byte{"a": nil, "b": []byte("3"), "never": nil})
	write(map[string][]byte{"c": nil})
	closeStore(t, s)

	s = storetest.OpenConfig(t, store.Config{Dir: dir})
	got := map[string]string{}
	err := s.Sessions(func(id string, record []byte) error {
		got[id] = string(record)
		return nil
	})
	if err != nil || len(got) != 1 || got["b"] != "3" {
		t.Errorf("Sessions = %v, %v, want b = 3 alone", got, err)
	}
	boom := errors.New("enough")
	if err := s.Sessions(func(string, []byte) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("Sessions = %v, want the error of fn", err)
	}
}

func TestSecondOpenSaysWhoHasTheFolder(t *testing.T) {
	s := storetest.Open(t)
	_, err := store.Open(store.Config{Dir: s.Dir(), LockTimeout: 100 * time.Millisecond})
	if !errors.Is(err, store.ErrLocked) {
		t.Fatalf("second Open = %v, want ErrLocked", err)
	}
	for _, want := range []string{s.Dir(), "process " + strconv.Itoa(os.Getpid()), "--data"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
	if err := store.Restore(s.Dir(), s.Path()); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Restore of a running box = %v, want ErrLocked", err)
	}
}

func TestOpenWaitsForALockThatIsLetGo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	go func() {
		time.Sleep(100 * time.Millisecond)
		_ = s.Close()
	}()
	storetest.OpenConfig(t, store.Config{Dir: dir})
}

// Another program, such as bbolt's own tool, may hold the file itself.
func TestOpenDoesNotTakeAForeignLockForDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	closeStore(t, s)
	db, err := bbolt.Open(s.Path(), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing written
	if _, err := store.Open(store.Config{Dir: dir, LockTimeout: 100 * time.Millisecond}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Open = %v, want ErrLocked", err)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "kept", "*")); len(kept) > 0 {
		t.Errorf("the locked file was set aside: %v", kept)
	}
}

func TestOpenRefusesWhatItCannotUse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "signalbox.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		cfg  store.Config
		want string
	}{
		{"no folder", store.Config{}, "--data"},
		{"a file as the folder", store.Config{Dir: file}, "is a file, not a folder"},
		{"a folder as the file", store.Config{Dir: folder}, "is not a file"},
		{"tiny limit", store.Config{Dir: folder, MaxBytes: 3}, "store.max_bytes: got 3, want a size from 4MiB"},
		{"hasty backups", store.Config{Dir: folder, BackupEvery: time.Second}, "store.backup_every: got 1s, want at least 1m"},
		{"no backups", store.Config{Dir: folder, BackupKeep: -1}, "store.backup_keep: got -1, want 1 to 100"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := store.Open(test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open = %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestCheckAndStats(t *testing.T) {
	s := storetest.Open(t)
	if err := put(s, "k", "v"); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Errorf("Check = %v", err)
	}
	st := s.Stats()
	if st.Updates != 1 || st.Commits != 1 || st.WrittenBytes < 8<<10 || st.FileBytes == 0 || st.MaxBytes != 256<<20 || st.LastCommit <= 0 {
		t.Errorf("Stats after one update = %+v", st)
	}
}
