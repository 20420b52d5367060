package appliance

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"signalbox/appliance/config"
	"signalbox/appliance/store"
	"signalbox/appliance/upgrade"
)

func record(t *testing.T, dir, name string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// An upgrade that failed concerns the version it went back to, not the one that
// is installed next; the state of the former is kept in both.
func TestVerdictConcernsWhatIsBack(t *testing.T) {
	dir := t.TempDir()
	record(t, dir, "verdict.json", upgrade.Verdict{From: "1.0", To: "2.0", Reason: "it ended"})
	record(t, dir, "pending.json", upgrade.Trial{From: "1.0"})
	for version, told := range map[string]bool{"1.0": true, "2.0": false, "3.0": false} {
		a := &Appliance{cfg: config.Config{Version: version}, log: slog.New(slog.DiscardHandler)}
		a.readVerdict(upgrade.Layout{Dir: dir})
		if got := a.verdict.String() != ""; got != told {
			t.Errorf("version %s tells of it: %v, want %v", version, got, told)
		}
		if a.cfg.Store.Previous != "1.0" {
			t.Errorf("version %s keeps the state of %q", version, a.cfg.Store.Previous)
		}
	}
}

// After 1.0, 2.0, 3.0 and 1.0 again, whose database only 3.0 reads, the box goes
// on with what 1.0 wrote.
func TestOpenBeforeUpgrade(t *testing.T) {
	dir := t.TempDir()
	put := func(s *store.Store, key, value string) {
		t.Helper()
		err := s.Update(t.Context(), func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("test"))
			if err != nil {
				return err
			}
			return b.Put([]byte(key), []byte(value))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"1.0", "2.0", "3.0"} {
		s, err := store.Open(store.Config{Dir: dir, Program: version, Previous: "1.0"})
		if err != nil {
			t.Fatal(err)
		}
		put(s, "by", version)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	a := &Appliance{cfg: config.Config{Version: "1.0", Data: dir}, log: slog.New(slog.DiscardHandler)}
	a.cfg.Store = store.Config{Dir: dir, Program: "1.0", Previous: "1.0"}
	a.verdict = upgrade.Verdict{From: "1.0", To: "3.0", Reason: "it ended"}
	if err := a.openBeforeUpgrade(store.ErrTooNew); err != nil {
		t.Fatal(err)
	}
	defer a.store.Close()
	err := a.store.View(func(tx *bbolt.Tx) error {
		if got := string(tx.Bucket([]byte("test")).Get([]byte("by"))); got != "1.0" {
			t.Errorf("the state is that of %q", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if !strings.Contains(a.verdict.Reason, "-v1.0-program.db") {
		t.Errorf("the reason does not name the copy: %s", a.verdict.Reason)
	}
}
