package upgrade_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"signalbox/appliance/upgrade"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// installed is a layout in a temporary folder, with the program "old" kept and
// "new" installed.
func installed(t *testing.T, cloud bool) upgrade.Layout {
	t.Helper()
	dir := t.TempDir()
	l := upgrade.Layout{
		Program: filepath.Join(dir, "bin", "signalbox"), Previous: filepath.Join(dir, "previous", "signalbox"),
		Dir: filepath.Join(dir, "state"), Unit: "signalbox.service", BootID: filepath.Join(dir, "boot"),
	}
	if err := os.Mkdir(filepath.Dir(l.Program), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, l.Program, "old")
	if kept, err := l.Keep(upgrade.Before{Version: "1.0", Cloud: cloud, Judged: true}); err != nil || !kept {
		t.Fatalf("keep: %v, %v", kept, err)
	}
	write(t, l.Program, "new")
	return l
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// manager plays systemd: state is how the unit is so long after the start.
type manager struct {
	began time.Time
	state func(after time.Duration) upgrade.State
	calls []string
}

func (m *manager) State(context.Context, string) (upgrade.State, error) {
	return m.state(time.Since(m.began)), nil
}

func (m *manager) Stop(context.Context, string) error {
	m.calls = append(m.calls, "stop")
	return nil
}

func (m *manager) Start(context.Context, string) error {
	m.calls = append(m.calls, "start")
	return nil
}

func up(pid int) upgrade.State {
	return upgrade.State{Active: true, PID: pid, Watchdog: 30 * time.Second, Fed: 10 * time.Second}
}

// is a program that says it is version.
func is(version string) func(context.Context, string) string {
	return func(context.Context, string) string { return version }
}

// watcher judges a version 1.1 that answers well, in the times of the packages.
func watcher(l upgrade.Layout, m upgrade.Manager) upgrade.Watcher {
	return upgrade.Watcher{
		Layout: l, Manager: m, Version: is("1.1"), Health: func(context.Context, bool) (string, error) { return "1.1", nil },
		Hold: time.Minute, Patience: time.Minute, Deaths: 3, Every: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
	}
}

var down = upgrade.State{Result: "exit-code, status 1"}

// A new program passes or fails, and the old one is back exactly when it fails.
func TestWatch(t *testing.T) {
	for _, test := range []struct {
		name   string
		cloud  bool
		state  func(after time.Duration) upgrade.State
		health func(cloud bool) error
		reason string // "" for a program that passes
		within time.Duration
	}{
		{name: "well", state: func(time.Duration) upgrade.State { return up(7) }, within: 62 * time.Second},
		{name: "late, then well", state: func(after time.Duration) upgrade.State {
			if after < 50*time.Second {
				return upgrade.State{PID: 7}
			}
			return up(7)
		}, within: 112 * time.Second},
		{name: "restarted by hand", state: func(after time.Duration) upgrade.State {
			switch {
			case after < 30*time.Second:
				return up(7)
			case after < 33*time.Second:
				return upgrade.State{Stopped: true}
			}
			return up(8)
		}, within: 100 * time.Second},
		{name: "waits for its turn at boot", state: func(after time.Duration) upgrade.State {
			if after < 3*time.Minute {
				return upgrade.State{Queued: true}
			}
			return up(7)
		}, within: 242 * time.Second},
		{name: "ends at once", state: func(after time.Duration) upgrade.State {
			s := down
			s.Restarts = int(after / (2100 * time.Millisecond))
			return s
		}, reason: "it ended 3 times, the last time with exit-code, status 1", within: 10 * time.Second},
		{
			name: "never ready", state: func(time.Duration) upgrade.State { return upgrade.State{PID: 7} },
			reason: "not well for 1m0s: the service is not ready", within: 62 * time.Second,
		},
		{
			name: "does not answer", state: func(time.Duration) upgrade.State { return up(7) },
			health: func(bool) error { return errors.New("store: disk failed") }, reason: "not well for 1m0s: store: disk failed", within: 62 * time.Second,
		},
		{
			name: "no cloud", cloud: true, state: func(time.Duration) upgrade.State { return up(7) },
			health: func(cloud bool) error {
				if cloud {
					return errors.New("no cloud")
				}
				return nil
			}, reason: "not well for 1m0s: no cloud", within: 62 * time.Second,
		},
		{name: "dies later, again and again", state: func(after time.Duration) upgrade.State {
			s := up(7 + int(after/(20*time.Second)))
			s.Restarts, s.Result = int(after/(20*time.Second)), "watchdog, status 6"
			return s
		}, reason: "it ended 3 times, the last time with watchdog, status 6", within: 62 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := installed(t, test.cloud)
				m := &manager{began: time.Now(), state: test.state}
				w := upgrade.Watcher{
					Layout: l, Manager: m, Version: is("1.1"),
					Health: func(_ context.Context, cloud bool) (string, error) {
						if test.health == nil {
							return "", nil
						}
						return "", test.health(cloud)
					},
					Hold: time.Minute, Patience: time.Minute, Deaths: 3, Every: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
				}
				v, err := w.Watch(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if v.Good != (test.reason == "") || v.Reason != test.reason || v.From != "1.0" || v.To != "1.1" {
					t.Errorf("verdict %+v, want the reason %q", v, test.reason)
				}
				if took := time.Since(m.began); took > test.within {
					t.Errorf("took %v, want at most %v", took, test.within)
				}
				program, calls := "new", []string(nil)
				if !v.Good {
					program, calls = "old", []string{"stop", "start"}
				}
				if got := read(t, l.Program); got != program || !slices.Equal(m.calls, calls) {
					t.Errorf("the program is %q after %q, want %q after %q", got, m.calls, program, calls)
				}
				if again, err := l.ReadVerdict(); err != nil || !again.Time.Equal(v.Time) || again.String() != v.String() || again.Good != v.Good {
					t.Errorf("the record says %+v, %v", again, err)
				}
				if _, err := w.Watch(t.Context()); !errors.Is(err, upgrade.ErrNoTrial) {
					t.Errorf("after the verdict: %v, want no trial", err)
				}
			})
		})
	}
}

// Whoever stops the service ends the trial without a verdict.
func TestWatchStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := installed(t, false)
		m := &manager{began: time.Now(), state: func(after time.Duration) upgrade.State {
			if after < 10*time.Second {
				return up(7)
			}
			return upgrade.State{Stopped: true}
		}}
		w := watcher(l, m)
		if _, err := w.Watch(t.Context()); !errors.Is(err, upgrade.ErrStopped) {
			t.Errorf("got %v, want that the service was stopped", err)
		}
		if _, err := l.ReadTrial(); err != nil || read(t, l.Program) != "new" {
			t.Errorf("the trial is over: %v", err)
		}
	})
}
