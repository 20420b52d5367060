package upgrade_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signalbox/appliance/upgrade"
)

// An upgrade in the middle of a trial keeps the program that has proven itself,
// and a program that cannot be replaced leaves the service as it is.
func TestKeepAndRollback(t *testing.T) {
	l := installed(t, false)
	before, err := l.ReadTrial()
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := l.Keep(upgrade.Before{Version: "1.1", Judged: true}); err != nil || kept || read(t, l.Previous) != "old" {
		t.Errorf("keep: %v, %v; the program kept is %q, want the old one", kept, err, read(t, l.Previous))
	}
	if again, err := l.ReadTrial(); err != nil || again.From != "1.0" || !again.Began.After(before.Began) {
		t.Errorf("the trial %+v, %v did not begin anew", again, err)
	}
	write(t, l.Program, "newer")
	m := &manager{}
	version := func(_ context.Context, program string) string {
		return map[string]string{"old": "1.0", "newer": "1.2"}[read(t, program)]
	}
	v, err := l.RollbackNow(t.Context(), m, version, "asked")
	if err != nil || v.From != "1.0" || v.To != "1.2" || v.Time.IsZero() || read(t, l.Program) != "old" {
		t.Errorf("rollback: %+v, %v; the program is %q", v, err, read(t, l.Program))
	}
	if _, err := l.RollbackNow(t.Context(), m, version, "asked"); err == nil {
		t.Error("a second rollback does not say that there is nothing to go back to")
	}
	write(t, l.Program, "newest")
	if err := os.Remove(l.Previous); err != nil {
		t.Fatal(err)
	}
	m = &manager{}
	if _, err := l.RollbackNow(t.Context(), m, version, "asked"); err == nil || len(m.calls) > 0 {
		t.Errorf("without a program to go back to: %v after %q", err, m.calls)
	}
}

// A record that outlived its package does not stand for a program that is kept.
func TestKeepWithoutPrevious(t *testing.T) {
	l := installed(t, false)
	if err := os.RemoveAll(filepath.Dir(l.Previous)); err != nil {
		t.Fatal(err)
	}
	if kept, err := l.Keep(upgrade.Before{Version: "1.1", Judged: true}); err != nil || !kept || read(t, l.Previous) != "new" {
		t.Errorf("keep: %v, %v", kept, err)
	}
	if trial, err := l.ReadTrial(); err != nil || trial.From != "1.1" {
		t.Errorf("the trial is %+v, %v", trial, err)
	}
}

// Where nobody would judge it there is no trial; going back by hand works, and
// starts no service that is not in use.
func TestKeepWithoutJudge(t *testing.T) {
	l := installed(t, false) // leaves a trial
	if kept, err := l.Keep(upgrade.Before{Version: "1.1"}); err != nil || !kept || read(t, l.Previous) != "new" {
		t.Errorf("keep: %v, %v", kept, err)
	}
	if _, err := l.ReadTrial(); !errors.Is(err, upgrade.ErrNone) {
		t.Errorf("there is a trial: %v", err)
	}
	write(t, l.Program, "newer")
	if v, err := l.RollbackNow(t.Context(), nil, is("1.1"), "asked"); err != nil || read(t, l.Program) != "new" {
		t.Errorf("rollback: %+v, %v", v, err)
	}
	if v, err := l.ReadVerdict(); err != nil || v.From != "1.1" || v.Reason != "asked" {
		t.Errorf("verdict %+v, %v", v, err)
	}
}

// What a crash left half written goes, with what others have there left alone.
func TestSweep(t *testing.T) {
	l := installed(t, false)
	bin := filepath.Dir(l.Program)
	write(t, filepath.Join(bin, ".signalbox-new-123"), "half")
	write(t, filepath.Join(bin, ".new-123"), "of somebody else")
	if _, err := l.Keep(upgrade.Before{Version: "1.1", Judged: true}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(bin)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != ".new-123 signalbox" {
		t.Errorf("left are %s", got)
	}
}
