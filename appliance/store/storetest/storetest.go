// Package storetest opens real stores for tests.
package storetest

import (
	"context"
	"os"
	"testing"

	"signalbox/appliance/store"
)

// Open returns a store in a folder of the test's own, with Run going. When the
// test ends it is stopped and closed, and its file is checked.
func Open(t testing.TB) *store.Store {
	t.Helper()
	return OpenConfig(t, store.Config{})
}

// OpenConfig is Open with settings. A cfg.Dir that is set is used as it is.
func OpenConfig(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	s, err := store.Open(cfg)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run store: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
		CheckFile(t, s.Path())
	})
	return s
}

// CheckFile fails the test unless the database file of a closed store is
// sound, private, and can be opened again without any recovery.
func CheckFile(t testing.TB, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Errorf("database file: %v", err)
		return
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("database file mode = %v, want 0600", got)
	}
	if err := store.Verify(path); err != nil {
		t.Errorf("database file: %v", err)
	}
}
