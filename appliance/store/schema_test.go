package store

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"signalbox/appliance/auth"
	"signalbox/appliance/room"
)

// version is a program of that schema version, which refuses to be older than
// minReader, and notes in the file which of its steps ran.
func version(n, minReader uint32) schema {
	s := schema{version: n, minReader: minReader, buckets: sealedBuckets, steps: []func(*bbolt.Tx) error{createBuckets}}
	for i := uint32(1); i < n; i++ {
		s.steps = append(s.steps, func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("steps"))
			if err != nil {
				return err
			}
			key := fmt.Appendf(nil, "to %d", i+1)
			return b.Put(key, append(bytes.Clone(b.Get(key)), '.'))
		})
	}
	return s
}

func steps(t *testing.T, s *Store) string {
	t.Helper()
	var ran []string
	err := s.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("steps"))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			ran = append(ran, string(k)+string(v))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(ran, " ")
}

// run opens dir with a program and closes it again.
func run(t *testing.T, dir string, program schema, check func(*Store)) {
	t.Helper()
	s, err := open(Config{Dir: dir}, program)
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Recovery(); r.Rung != RungNone {
		t.Errorf("Recovery = %v", r)
	}
	if check != nil {
		check(s)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCurrentSchemaKeepsTheWayBackOpen(t *testing.T) {
	if len(current.steps) != int(current.version) {
		t.Errorf("schema %d has %d steps", current.version, len(current.steps))
	}
	if current.version > 1 && current.minReader >= current.version {
		t.Errorf("schema %d cannot be opened by %d: an upgrade that goes wrong cannot be undone", current.version, current.version-1)
	}
}

func TestUpgradeRunsEachStepOnceAndKeepsABackup(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, version(1, 1), func(s *Store) {
		if got := steps(t, s); got != "" {
			t.Errorf("steps of schema 1 = %q", got)
		}
	})
	run(t, dir, version(3, 2), func(s *Store) {
		if got := steps(t, s); got != "to 2. to 3." {
			t.Errorf("steps = %q, want each once", got)
		}
	})
	run(t, dir, version(3, 2), func(s *Store) {
		if got := steps(t, s); got != "to 2. to 3." {
			t.Errorf("steps after another start = %q", got)
		}
	})
	files, err := listNumbered(filepath.Join(dir, backupDir))
	if err != nil || len(files) != 1 || files[0].note != "schema1" {
		t.Fatalf("backups = %+v, %v, want one from before the upgrade", files, err)
	}
	back := t.TempDir()
	if err := Restore(back, files[0].path); err != nil {
		t.Fatal(err)
	}
	run(t, back, version(1, 1), nil)
}

func TestBackupBeforeUpgradeOutlivesTheScheduledOnes(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, version(1, 1), nil)
	run(t, dir, version(2, 1), func(s *Store) {
		for range 5 {
			if _, err := s.backupNumbered(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
	run(t, dir, version(3, 2), nil)
	files, err := listNumbered(filepath.Join(dir, backupDir))
	if err != nil {
		t.Fatal(err)
	}
	var notes []string
	for _, f := range files {
		notes = append(notes, fmt.Sprint(f.number, f.note))
	}
	if want := []string{"7schema2", "6", "5", "4"}; !slices.Equal(notes, want) {
		t.Errorf("backups = %v, want %v", notes, want)
	}
}

func TestVersionBeforeOpensTheFileOfTheNext(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, version(1, 1), nil)
	run(t, dir, version(2, 1), nil)
	run(t, dir, version(1, 1), func(s *Store) { // back after an upgrade that went wrong
		if _, err := s.CreateKey(t.Context(), "made by the old one", func() ([]byte, error) { return []byte("k"), nil }); err != nil {
			t.Error(err)
		}
	})
	run(t, dir, version(1, 1), nil)
	run(t, dir, version(2, 1), func(s *Store) {
		if _, err := s.Key("made by the old one"); err != nil {
			t.Error(err)
		}
		if got := steps(t, s); got != "to 2.." {
			t.Errorf("steps = %q; the old program has written since, so the step runs again", got)
		}
	})
}

func TestFileOfANewerProgramIsNotTouched(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, version(3, 2), nil)
	path := filepath.Join(dir, fileName)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	was, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = open(Config{Dir: dir}, version(1, 1))
	if !errors.Is(err, ErrTooNew) || !strings.Contains(err.Error(), "its schema is 3 and needs a program of at least 2, this one has 1") {
		t.Errorf("Open = %v, want ErrTooNew with the numbers", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file has changed: %v", err)
	}
	if is, err := os.Stat(path); err != nil || is.Mode() != was.Mode() || !is.ModTime().Equal(was.ModTime()) {
		t.Errorf("the file was touched: %v, %v before; %v", is, was, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(left) > 0 {
		t.Errorf("refusing has left %v", left)
	}
}

func TestRecoveryPassesOverBackupsOfANewerProgram(t *testing.T) {
	dir := t.TempDir()
	for i, program := range []schema{version(1, 1), version(3, 3)} {
		s, err := open(Config{Dir: filepath.Join(dir, fmt.Sprint(i))}, program)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "box", backupDir, fmt.Sprintf("signalbox-%06d-20260102T150405Z.db", i))
		err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), s.Backup(t.Context(), path), s.Close())
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := open(Config{Dir: filepath.Join(dir, "box")}, version(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Recovery(); r.Rung != RungBackup || !strings.Contains(r.Backup, "signalbox-000000-") {
		t.Errorf("Recovery = %+v, want the older backup", r)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFailedUpgradeLeavesTheFileAsItWas(t *testing.T) {
	for name, step := range map[string]func(*bbolt.Tx) error{
		"error": func(*bbolt.Tx) error { return errors.New("no good") },
		"panic": func(*bbolt.Tx) error { panic("no good") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			run(t, dir, version(1, 1), nil)
			broken := version(2, 1)
			broken.steps[1] = func(tx *bbolt.Tx) error {
				if err := tx.DeleteBucket(bucketKeys); err != nil {
					return err
				}
				return step(tx)
			}
			if _, err := open(Config{Dir: dir}, broken); err == nil || !strings.Contains(err.Error(), "no good") {
				t.Errorf("Open = %v, want the fault of the step", err)
			}
			run(t, dir, version(1, 1), nil)
			run(t, dir, version(2, 1), nil)
		})
	}
}

func TestFileOfAnotherProgramIsSetAside(t *testing.T) {
	dir := t.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("theirs"))
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, Config{Dir: dir})
	if r := s.Recovery(); r.Rung != RungEmpty || !strings.Contains(r.String(), "not one of Signalbox") {
		t.Errorf("Recovery = %v", r)
	}
}

var update = flag.Bool("update", false, "write the fixture of the current schema")

// The fixture was written by the first release of schema 1. Every later
// program must open it.
func TestFixtureOfSchema1(t *testing.T) {
	fixture := filepath.Join("testdata", "schema-1.db.gz")
	if *update {
		writeFixture(t, fixture)
	}
	dir := t.TempDir()
	f, err := os.Open(fixture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	image, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), image, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, Config{Dir: dir})
	if r := s.Recovery(); r.Rung != RungNone {
		t.Fatalf("Recovery = %v", r)
	}
	got := describeStore(t, s)
	want, err := os.ReadFile(filepath.Join("testdata", "schema-1.json"))
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("the fixture holds\n%s\nwant\n%s", got, want)
	}
	if n, err := s.NextIncarnation(t.Context()); err != nil || n != 3 {
		t.Errorf("NextIncarnation = %d, %v, want 3", n, err)
	}
}

func writeFixture(t *testing.T, path string) {
	t.Helper()
	ctx := t.Context()
	s := openTest(t, Config{Dir: t.TempDir()})
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	rooms := room.New(room.Origin{Box: s.BoxID(), Incarnation: 2}, room.Limits{})
	_, err := rooms.Create(room.Info{
		Name: "line-3", Description: "press and robot", Capacity: 4, Pinned: true, Allow: []string{"cam-*"},
		Metadata: map[string]room.Value{"shift": {Data: json.RawMessage(`"night"`)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	entry, _ := rooms.Durable("line-3")
	_, err1 := s.NextIncarnation(ctx)
	_, err2 := s.NextIncarnation(ctx)
	_, err3 := s.CreateKey(ctx, "turn", func() ([]byte, error) { return []byte("secret"), nil })
	err = errors.Join(err1, err2, err3,
		s.PutRoom(ctx, entry, rooms.Vector()),
		s.PutSessions(ctx, map[string][]byte{"s1": []byte("record 1"), "s2": []byte("record 2")}),
		s.PutRevocation(ctx, auth.Revocation{Subject: "cam-9", Before: at, At: at, Reason: "stolen"}),
		s.PutInvite(ctx, auth.Invite{
			ID: "i1", Hash: "00ff", Kind: auth.KindDevice, Uses: 2, Created: at, Expires: at.Add(time.Hour),
			Grant: auth.Grant{Subject: "cam-*", Rooms: []string{"line-3"}, Rights: auth.DeviceRights, TTL: time.Hour},
		}))
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	_, err = z.Write(image)
	if err := errors.Join(err, z.Close(), os.MkdirAll("testdata", 0o755), os.WriteFile(path, packed.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	again, err := Open(Config{Dir: s.Dir()})
	if err != nil {
		t.Fatal(err)
	}
	text := describeStore(t, again)
	if err := errors.Join(again.Close(), os.WriteFile(strings.TrimSuffix(path, ".db.gz")+".json", []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// describeStore is everything the typed reads return, as JSON.
func describeStore(t *testing.T, s *Store) string {
	t.Helper()
	key, err := s.Key("turn")
	if err != nil {
		t.Error(err)
	}
	invites, err := s.Invites()
	if err != nil {
		t.Error(err)
	}
	revocations, err := s.Revocations()
	if err != nil {
		t.Error(err)
	}
	entries, vector, err := s.Rooms()
	if err != nil {
		t.Error(err)
	}
	rooms := []room.Info{}
	for _, e := range entries {
		rooms = append(rooms, e.Info())
	}
	sessions := map[string]string{}
	err = s.Sessions(func(id string, record []byte) error {
		sessions[id] = string(record)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	known := map[string]uint64{}
	for origin, n := range vector {
		known[fmt.Sprint(origin.Box == s.BoxID(), origin.Incarnation)] = n
	}
	text, err := json.MarshalIndent(map[string]any{
		"key": string(key), "invites": invites, "revocations": revocations,
		"rooms": rooms, "vector": known, "sessions": sessions,
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}
