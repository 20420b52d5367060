package store

import (
	"context"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// How long a commit has taken is no matter of the wall clock, which jumps when a
// machine without a battery hears the time: that must not look like a dead disk.
func TestCommitAgeIsMonotonic(t *testing.T) {
	cfg := Default()
	cfg.Dir = t.TempDir()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	during := ""
	err = s.Update(context.Background(), func(*bbolt.Tx) error {
		if since := s.counts.commitSince.Load(); since != nil {
			during = since.String()
		}
		return nil
	})
	if err != nil || !strings.Contains(during, "m=") { // as time.Time prints that it has the reading
		t.Errorf("the commit runs since %q, %v", during, err)
	}
	if s.counts.commitSince.Load() != nil {
		t.Error("a commit that is done goes on")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
