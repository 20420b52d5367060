package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signalbox/appliance/store"
)

// TestFetchedBackup loses a file and every backup beside it: what Fetch brings is
// used, and if that is nothing, or no good, the box starts empty and says why.
func TestFetchedBackup(t *testing.T) {
	made := time.Date(2026, 3, 4, 5, 6, 0, 0, time.UTC)
	elsewhere := filepath.Join(t.TempDir(), "copy.db")
	first, err := store.Open(store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	id := first.BoxID()
	if err := errors.Join(first.Backup(t.Context(), elsewhere), first.Close()); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		brings []byte // nil: nothing
		err    error
		lost   bool // the file is missing, not damaged
		rung   store.Rung
		says   string
	}{
		"good":                 {brings: good, rung: store.RungCloud, says: "The backup of 2026-03-04 05:06 UTC from the cloud is in use"},
		"good, file missing":   {brings: good, lost: true, rung: store.RungCloud, says: "the file is missing"},
		"damaged":              {brings: append([]byte(strings.Repeat("x", 20_000)), good[20_000:]...), rung: store.RungEmpty, says: "The cloud was asked for a backup"},
		"unreachable":          {err: errors.New("no route"), rung: store.RungEmpty, says: "The cloud was asked for a backup: no route."},
		"unreachable, missing": {err: errors.New("no route"), lost: true, rung: store.RungEmpty, says: "no route"},
		"nobody to ask":        {rung: store.RungEmpty, says: "there is no usable backup"},
		"first start":          {lost: true, rung: store.RungNone},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if !x.lost {
				if err := os.WriteFile(filepath.Join(dir, "signalbox.db"), []byte("not a database"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			asked := 0
			s, err := store.Open(store.Config{Dir: dir, Fetch: func() (string, time.Time, error) {
				if asked++; x.err != nil || x.brings == nil {
					return "", time.Time{}, x.err
				}
				path := filepath.Join(dir, ".new-cloud-1.db")
				return path, made, os.WriteFile(path, x.brings, 0o600)
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			r := s.Recovery()
			if r.Rung != x.rung || !strings.Contains(r.String(), x.says) || asked != 1 {
				t.Errorf("rung %q, %q, asked %d times; want %q and %q", r.Rung, r, asked, x.rung, x.says)
			}
			if same := s.BoxID() == id; same != (x.rung == store.RungCloud) {
				t.Errorf("box %s, of the backup %s", s.BoxID(), id)
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".new-*")); err != nil || len(left) != 0 {
				t.Errorf("left in the folder: %v, %v", left, err)
			}
		})
	}
}

// TestFetchIsTheLastResort wants a backup on the box to be preferred.
func TestFetchIsTheLastResort(t *testing.T) {
	told := 0
	cfg := store.Config{Dir: t.TempDir(), BackedUp: func() { told++ }, Fetch: func() (string, time.Time, error) {
		t.Error("the cloud was asked")
		return "", time.Time{}, nil
	}}
	s, err := store.Open(store.Config{Dir: cfg.Dir, BackedUp: cfg.BackedUp})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.NewestBackup(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("newest of none: %v, want ErrNotExist", err)
	}
	if err := s.BackupNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	file, at, err := s.NewestBackup()
	if err != nil || time.Since(at) > time.Hour || told != 1 {
		t.Errorf("newest is of %v, %v; told %d times, want once", at, err, told)
	}
	if err := errors.Join(file.Close(), s.Close(), os.WriteFile(filepath.Join(cfg.Dir, "signalbox.db"), []byte("not a database"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if s, err = store.Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r := s.Recovery(); r.Rung != store.RungBackup {
		t.Errorf("rung %q, want %q", r.Rung, store.RungBackup)
	}
}
