package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signalbox/appliance/store"
	"signalbox/appliance/store/storetest"
)

var page = os.Getpagesize()

// spoil changes the file of a closed store.
func spoil(t testing.TB, path string, edit func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, edit(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// backUp copies the database as a scheduled backup would.
func backUp(t testing.TB, s *store.Store, number int) string {
	t.Helper()
	dir := filepath.Join(s.Dir(), "backups")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fmt.Sprintf("signalbox-%06d-20260102T150405Z.db", number))
	if err := s.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// lived is a data folder whose store has a backup with a = "1", and later
// changes a = "2" and b = "2".
func lived(t testing.TB) (dir, boxID string, incarnation uint64) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir)
	if err := put(s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	backUp(t, s, 1)
	incarnation, err := s.NextIncarnation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		if err := put(s, key, "2"); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	return dir, s.BoxID(), incarnation
}

func zero(b []byte) { clear(b) }

var damages = []struct {
	name string
	edit func([]byte) []byte
}{
	{"empty", func([]byte) []byte { return nil }},
	{"one byte", func(b []byte) []byte { return b[:1] }},
	{"half a page", func(b []byte) []byte { return b[:page/2] }},
	{"two pages", func(b []byte) []byte { return b[:2*page] }},
	{"three and a half pages", func(b []byte) []byte { return b[:3*page+page/2] }},
	{"all zero", func(b []byte) []byte { zero(b); return b }},
	{"meta pages zero", func(b []byte) []byte { zero(b[:2*page]); return b }},
	{"all but the meta pages zero", func(b []byte) []byte { zero(b[2*page:]); return b }},
	{"meta pages flipped", func(b []byte) []byte { b[30] ^= 4; b[page+30] ^= 4; return b }},
	{"text", func([]byte) []byte { return []byte(strings.Repeat("this is not a database\n", 5000)) }},
	{"noise", func(b []byte) []byte {
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}},
	{"noise behind the meta pages", func(b []byte) []byte {
		rng := rand.New(rand.NewPCG(2, 2))
		for i := range b[2*page:] {
			b[2*page+i] = byte(rng.Uint32())
		}
		return b
	}},
	{"pages swapped", func(b []byte) []byte {
		for at := 2 * page; at+2*page <= len(b); at += 2 * page {
			tmp := bytes.Clone(b[at : at+page])
			copy(b[at:], b[at+page:at+2*page])
			copy(b[at+page:], tmp)
		}
		return b
	}},
	{"every page says it is a leaf of 65535", func(b []byte) []byte {
		for at := 2 * page; at < len(b); at += page {
			binary.NativeEndian.PutUint16(b[at+8:], 2)
			binary.NativeEndian.PutUint16(b[at+10:], 0xFFFF)
		}
		return b
	}},
}

func TestDamagedFileComesBackFromTheBackup(t *testing.T) {
	for _, damage := range damages {
		t.Run(damage.name, func(t *testing.T) {
			dir, boxID, incarnation := lived(t)
			path := filepath.Join(dir, "signalbox.db")
			spoil(t, path, damage.edit)
			bad, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}

			s := storetest.OpenConfig(t, store.Config{Dir: dir})
			r := s.Recovery()
			if r.Rung != store.RungBackup || !strings.Contains(r.String(), "The backup of 2026-01-02 15:04 UTC is in use") {
				t.Fatalf("Recovery = %+v: %q", r, r)
			}
			if kept, err := os.ReadFile(r.Kept); err != nil || !bytes.Equal(kept, bad) {
				t.Errorf("the bad file is not kept as it was: %v", err)
			}
			if a, b := get(t, s, "a"), get(t, s, "b"); a != "1" || b != "" {
				t.Errorf("a = %q, b = %q, want the state of the backup", a, b)
			}
			if s.BoxID() != boxID {
				t.Errorf("BoxID = %q, want %q as before", s.BoxID(), boxID)
			}
			if n, err := s.NextIncarnation(t.Context()); err != nil || n <= incarnation {
				t.Errorf("NextIncarnation = %d, %v; %d was given out before", n, err, incarnation)
			}
			if err := put(s, "c", "3"); err != nil {
				t.Errorf("update after recovery: %v", err)
			}
		})
	}
}

func TestDamagedFileWithoutBackupStartsEmpty(t *testing.T) {
	for _, damage := range damages {
		t.Run(damage.name, func(t *testing.T) {
			dir, boxID, _ := lived(t)
			if err := os.RemoveAll(filepath.Join(dir, "backups")); err != nil {
				t.Fatal(err)
			}
			spoil(t, filepath.Join(dir, "signalbox.db"), damage.edit)
			s := storetest.OpenConfig(t, store.Config{Dir: dir})
			r := s.Recovery()
			if r.Rung != store.RungEmpty || !strings.Contains(r.String(), "signalbox restore FILE") || !strings.Contains(r.String(), r.Kept) {
				t.Fatalf("Recovery = %+v: %q", r, r)
			}
			if s.BoxID() == boxID {
				t.Error("an empty box has the identity of the lost one")
			}
			if err := put(s, "c", "3"); err != nil {
				t.Errorf("update after recovery: %v", err)
			}
		})
	}
}

func TestRecoveryIsToldOnce(t *testing.T) {
	dir, _, _ := lived(t)
	spoil(t, filepath.Join(dir, "signalbox.db"), func([]byte) []byte { return nil })
	s := open(t, dir)
	closeStore(t, s)
	s = storetest.OpenConfig(t, store.Config{Dir: dir})
	if r := s.Recovery(); r.Rung != store.RungNone {
		t.Errorf("Recovery of the start after = %v", r)
	}
}

func TestNewestUsableBackupIsTaken(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 4 {
		if err := put(s, "a", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		path := backUp(t, s, i+1)
		switch i {
		case 2:
			spoil(t, path, func(b []byte) []byte { return b[:3*page] })
		case 3:
			spoil(t, path, func(b []byte) []byte { return nil })
		}
	}
	closeStore(t, s)
	spoil(t, s.Path(), func(b []byte) []byte { zero(b); return b })
	s = storetest.OpenConfig(t, store.Config{Dir: dir})
	if got := get(t, s, "a"); got != "1" {
		t.Errorf("a = %q, want 1 from the second backup: %v", got, s.Recovery())
	}
}

func TestMissingFileComesBackFromTheBackup(t *testing.T) {
	dir, _, _ := lived(t)
	if err := os.Remove(filepath.Join(dir, "signalbox.db")); err != nil {
		t.Fatal(err)
	}
	s := storetest.OpenConfig(t, store.Config{Dir: dir})
	if r := s.Recovery(); r.Rung != store.RungBackup || !strings.Contains(r.String(), "the file is missing") || r.Kept != "" {
		t.Errorf("Recovery = %+v", r)
	}
	if got := get(t, s, "a"); got != "1" {
		t.Errorf("a = %q, want 1", got)
	}
}

// A disk that confirms a sync and loses the pages anyway leaves a meta page
// that points nowhere, and the state before it untouched.
func TestLostPagesOfTheLastCommitLoseOnlyThat(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 5 {
		if err := put(s, "a", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := put(s, "a", "last"); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	spoil(t, s.Path(), func(b []byte) []byte {
		for at := 2 * page; at < len(b); at += page {
			if at >= len(before) || !bytes.Equal(b[at:at+page], before[at:at+page]) {
				zero(b[at : at+page]) // only the meta page arrived
			}
		}
		return b
	})
	s = storetest.OpenConfig(t, store.Config{Dir: dir})
	if r := s.Recovery(); r.Rung != store.RungPrevious || r.Kept == "" || !strings.Contains(r.String(), "that one change is lost") {
		t.Errorf("Recovery = %+v: %q", r, r)
	}
	if got := get(t, s, "a"); got != "4" {
		t.Errorf("a = %q, want 4", got)
	}
}

func TestKeptFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	for range 6 {
		s := open(t, dir)
		closeStore(t, s)
		spoil(t, s.Path(), func([]byte) []byte { return nil })
	}
	kept, err := filepath.Glob(filepath.Join(dir, "kept", "*.db"))
	if err != nil || len(kept) != 3 {
		t.Errorf("%d files are kept, want 3: %v, %v", len(kept), kept, err)
	}
	if !strings.Contains(kept[2], "signalbox-000005-") {
		t.Errorf("the newest kept file is %s, want number 5", kept[2])
	}
}

func TestFlippedRecordComesFromTheBackup(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	secrets := map[string]string{"in the backup": "0123456789abcdef", "made later": "fedcba9876543210"}
	createKey := func(name string) {
		t.Helper()
		_, err := s.CreateKey(t.Context(), name, func() ([]byte, error) { return []byte(secrets[name]), nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	createKey("in the backup")
	backUp(t, s, 1)
	createKey("made later")
	if err := put(s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	spoil(t, s.Path(), func(b []byte) []byte {
		for _, secret := range secrets { // all copies, in pages of old states too
			b = bytes.ReplaceAll(b, []byte(secret), []byte(strings.ToUpper(secret)))
		}
		return b
	})

	s = storetest.OpenConfig(t, store.Config{Dir: dir})
	r := s.Recovery()
	if r.Rung != store.RungRepaired || r.Kept == "" {
		t.Fatalf("Recovery = %+v", r)
	}
	for _, want := range []string{`keys "in the backup" (taken from a backup)`, `keys "made later" (lost)`, r.Kept} {
		if !strings.Contains(r.String(), want) {
			t.Errorf("Recovery = %q, want it to say %q", r, want)
		}
	}
	if key, err := s.Key("in the backup"); err != nil || string(key) != secrets["in the backup"] {
		t.Errorf("Key = %q, %v", key, err)
	}
	if _, err := s.Key("made later"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Key = %v, want ErrNotFound", err)
	}
	if got := get(t, s, "a"); got != "1" {
		t.Errorf("a = %q: what was whole is gone", got)
	}
}

func TestBoxIDComesBackOrIsMadeAnew(t *testing.T) {
	for _, backup := range []bool{true, false} {
		t.Run(fmt.Sprint("backup ", backup), func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			if backup {
				backUp(t, s, 1)
			}
			first, err := s.NextIncarnation(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
			id := s.BoxID()
			spoil(t, s.Path(), func(b []byte) []byte {
				b = bytes.ReplaceAll(b, []byte(id), []byte("XXXXXXXXXX"))
				return bytes.ReplaceAll(b, []byte("incarnation\x00"), []byte("incarnation\x01"))
			})
			s = storetest.OpenConfig(t, store.Config{Dir: dir})
			if got := s.BoxID(); (got == id) != backup || len(got) != 10 {
				t.Errorf("BoxID = %q, before the damage %q: %v", got, id, s.Recovery())
			}
			if n, err := s.NextIncarnation(t.Context()); err != nil || n <= first {
				t.Errorf("NextIncarnation = %d, %v; %d was given out before", n, err, first)
			}
		})
	}
}

// A key whose first byte lies in its own page only: readable, but bbolt would
// lose it at the next change. Nothing of it is lost by rewriting the file.
func TestCrookedTreeIsRewritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 40 {
		if err := put(s, fmt.Sprintf("key-%03d.", i), strings.Repeat("v", 400)); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	spoil(t, s.Path(), func(b []byte) []byte {
		for at := 2 * page; at < len(b); at += page {
			// The first key of every leaf but the first grows in the order.
			first := at + 16 + int(binary.NativeEndian.Uint32(b[at+20:]))
			if binary.NativeEndian.Uint16(b[at+8:]) == 2 && first+8 < len(b) &&
				bytes.HasPrefix(b[first:], []byte("key-")) && !bytes.HasPrefix(b[first:], []byte("key-000")) {
				b[first+7]++
			}
		}
		return b
	})
	s = storetest.OpenConfig(t, store.Config{Dir: dir})
	r := s.Recovery()
	if r.Rung != store.RungRepaired || !strings.Contains(r.String(), "repaired without loss") || r.Kept == "" {
		t.Fatalf("Recovery = %+v: %q", r, r)
	}
	for i := range 40 {
		a, b := get(t, s, fmt.Sprintf("key-%03d.", i)), get(t, s, fmt.Sprintf("key-%03d/", i))
		if len(a)+len(b) != 400 {
			t.Errorf("key %d has %d bytes", i, len(a)+len(b))
		}
	}
	if err := put(s, "key-020", "changed"); err != nil {
		t.Error(err)
	}
}

func TestUnfinishedFilesAreSwept(t *testing.T) {
	dir, _, _ := lived(t)
	for _, name := range []string{".new-1.db", "backups/.new-2.db"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := storetest.OpenConfig(t, store.Config{Dir: dir})
	if r := s.Recovery(); r.Rung != store.RungNone {
		t.Errorf("Recovery = %v", r)
	}
	for _, pattern := range []string{".new-*", "backups/.new-*"} {
		if left, _ := filepath.Glob(filepath.Join(dir, pattern)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// The disk fails under a running store: a file that is cut off answers reads
// of its mapping with SIGBUS, as a bad sector does.
func TestFaultOfTheDiskIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 100 {
		if err := put(s, fmt.Sprintf("%03d", i), strings.Repeat("v", 400)); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error)
	go func() { ended <- s.Run(t.Context()) }()
	if err := os.Truncate(s.Path(), int64(2*page)); err != nil {
		t.Fatal(err)
	}
	err := s.Sessions(func(string, []byte) error { return nil })
	if !errors.Is(err, store.ErrFailed) {
		t.Fatalf("reading = %v, want ErrFailed", err)
	}
	if err := <-ended; !errors.Is(err, store.ErrFailed) {
		t.Errorf("Run = %v, want ErrFailed", err)
	}
	if err := put(s, "a", "1"); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Update after the fault = %v, want ErrFailed", err)
	}
	if err := s.Check(); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Check after the fault = %v, want ErrFailed", err)
	}
	closeStore(t, s)
}
