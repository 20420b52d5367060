package upgrade_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"signalbox/appliance/upgrade"
)

// A verdict on a program is never one on another that was installed meanwhile:
// the newer one, which does not run, is taken back to the oldest.
func TestWatchUpgradedMeanwhile(t *testing.T) {
	for _, test := range []struct {
		name string
		keep bool // before the newer program is unpacked, as packages do
	}{{"by a package", true}, {"by a copy", false}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := installed(t, false)
				m := &manager{began: time.Now()}
				version, unpacked := "1.1", 55*time.Second
				m.state = func(after time.Duration) upgrade.State {
					if after >= unpacked && version == "1.1" {
						version = "1.2"
						if test.keep {
							if kept, err := l.Keep(upgrade.Before{Version: "1.1", Judged: true}); kept || err != nil {
								t.Errorf("keep: %v, %v", kept, err)
							}
						}
						write(t, l.Program, "newer")
					}
					if after < 3*time.Minute { // when the package is configured
						return up(7)
					}
					s := down
					s.Restarts = int((after - 3*time.Minute) / (2100 * time.Millisecond))
					return s
				}
				w := watcher(l, m)
				w.Version = func(context.Context, string) string { return version }
				v, err := w.Watch(t.Context())
				if err != nil || v.Good || v.From != "1.0" || v.To != "1.2" || read(t, l.Program) != "old" {
					t.Errorf("verdict %+v, %v; the program is %q", v, err, read(t, l.Program))
				}
			})
		})
	}
}

// Who goes back by hand ends the trial: the watcher does not praise what is gone.
func TestWatchRolledBackMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := installed(t, false)
		m := &manager{began: time.Now()}
		m.state = func(after time.Duration) upgrade.State {
			if after >= 30*time.Second && read(t, l.Program) == "new" {
				if _, err := l.RollbackNow(t.Context(), m, is("1.1"), "asked"); err != nil {
					t.Error(err)
				}
			}
			return up(7)
		}
		if v, err := watcher(l, m).Watch(t.Context()); !errors.Is(err, upgrade.ErrNoTrial) {
			t.Errorf("verdict %+v, %v", v, err)
		}
		if v, err := l.ReadVerdict(); err != nil || v.Good || v.Reason != "asked" {
			t.Errorf("the record says %+v, %v", v, err)
		}
	})
}

// A power cut at any point of going back leaves something that is finished.
func TestTakeBackCutShort(t *testing.T) {
	failed := upgrade.Verdict{From: "1.0", To: "1.1", Reason: "it ended"}
	for name, program := range map[string]string{"noted": "new", "put back": "old"} {
		t.Run(name, func(t *testing.T) {
			l := installed(t, false)
			trial, err := l.ReadTrial()
			if err != nil {
				t.Fatal(err)
			}
			trial.Failed = &failed
			text, err := json.Marshal(trial)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(l.Dir, "pending.json"), string(text))
			write(t, l.Program, program)
			m := &manager{}
			if _, err := watcher(l, m).Watch(t.Context()); err != nil {
				t.Fatal(err)
			}
			if v, err := l.ReadVerdict(); err != nil || v.String() != failed.String() || read(t, l.Program) != "old" || !slices.Equal(m.calls, []string{"stop", "start"}) {
				t.Errorf("verdict %+v, %v; the program is %q after %q", v, err, read(t, l.Program), m.calls)
			}
			if _, err := l.ReadTrial(); !errors.Is(err, upgrade.ErrNone) {
				t.Errorf("the trial is not over: %v", err)
			}
		})
	}
}

// failing is a service that cannot be stopped the first time.
type failing struct {
	*manager
	stops int
	atEnd func()
}

func (m *failing) Stop(context.Context, string) error {
	if m.stops++; m.stops == 1 {
		m.atEnd()
		return errors.New("it does not stop")
	}
	return nil
}

// That the program fails is on record before it is replaced, and stays so until
// the service was started again.
func TestTakeBackIsNotedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := installed(t, false)
		m := &failing{manager: &manager{began: time.Now(), state: func(time.Duration) upgrade.State { return upgrade.State{PID: 7} }}}
		m.atEnd = func() {
			if trial, err := l.ReadTrial(); err != nil || trial.Failed == nil || trial.Failed.To != "1.1" {
				t.Errorf("the record says %+v, %v", trial, err)
			}
		}
		if _, err := watcher(l, m).Watch(t.Context()); err == nil {
			t.Error("a service that does not stop is no error")
		}
		if _, err := watcher(l, m).Watch(t.Context()); err != nil || m.stops != 2 {
			t.Errorf("the second time: %v after %d stops", err, m.stops)
		}
	})
}

// The same version once more is no trial, and leaves none behind.
func TestWatchSameProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := installed(t, false)
		write(t, l.Program, "old")
		m := &manager{began: time.Now(), state: func(time.Duration) upgrade.State { return up(7) }}
		if _, err := watcher(l, m).Watch(t.Context()); !errors.Is(err, upgrade.ErrNoTrial) {
			t.Errorf("got %v", err)
		}
		if _, err := l.ReadTrial(); !errors.Is(err, upgrade.ErrNone) {
			t.Errorf("the trial goes on: %v", err)
		}
		if _, err := l.ReadVerdict(); !errors.Is(err, upgrade.ErrNone) {
			t.Errorf("there is a verdict: %v", err)
		}
	})
}

// A program with which the machine restarts again and again is taken back.
func TestWatchBoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := installed(t, false)
		for _, boot := range []string{"one", "one", "two", "three"} {
			write(t, l.BootID, boot+"\n")
			ctx, reset := context.WithTimeout(t.Context(), 20*time.Second)
			m := &manager{began: time.Now(), state: func(time.Duration) upgrade.State { return up(7) }}
			v, err := watcher(l, m).Watch(ctx)
			reset()
			if boot != "three" {
				if !errors.Is(err, context.DeadlineExceeded) || read(t, l.Program) != "new" {
					t.Fatalf("boot %s: %+v, %v", boot, v, err)
				}
				continue
			}
			if want := "the machine was started 3 times before it was well for 1m0s"; err != nil || v.Reason != want || read(t, l.Program) != "old" {
				t.Errorf("boot %s: %+v, %v, want %q", boot, v, err, want)
			}
		}
	})
}

// systemctl plays the command: it prints what props holds.
func systemctl(t *testing.T, props string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "systemctl"), "#!/bin/sh\ncase $* in *timestamp*) exit 1 ;; esac\nprintf '"+props+"'\n")
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// The unit's properties, as systemctl shows them without options that only newer
// ones know.
func TestSystemctl(t *testing.T) {
	for _, test := range []struct {
		props string
		want  upgrade.State
	}{
		{`ActiveState=inactive\nResult=success\nMainPID=0\n`, upgrade.State{Stopped: true}},
		{`ActiveState=inactive\nJob=812\nResult=success\nMainPID=0\n`, upgrade.State{Queued: true}},
		{`ActiveState=activating\nJob=812\nResult=exit-code\nMainPID=7\nNRestarts=2\n`, upgrade.State{PID: 7, Restarts: 2}},
		{`ActiveState=active\nMainPID=7\nWatchdogUSec=1min 30s\n`, upgrade.State{Active: true, PID: 7, Watchdog: 90 * time.Second}},
	} {
		systemctl(t, test.props)
		got, err := upgrade.Systemctl{}.State(t.Context(), "signalbox.service")
		got.Result = ""
		if err != nil || got != test.want {
			t.Errorf("%s: got %+v, %v, want %+v", test.props, got, err, test.want)
		}
	}
	for props, want := range map[string]bool{
		`ActiveState=active\nUnitFileState=disabled\n`: true, `ActiveState=inactive\nUnitFileState=enabled\n`: true,
		`ActiveState=inactive\nUnitFileState=disabled\n`: false, `ActiveState=inactive\nUnitFileState=\n`: false,
	} {
		systemctl(t, props)
		if got := (upgrade.Systemctl{}).Judged(t.Context(), "signalbox.service"); got != want {
			t.Errorf("%s: judged is %v", props, got)
		}
	}
}
