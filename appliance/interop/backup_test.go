//go:build linux && interop

package interop_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/loadgen"
)

// TestBackupAndRestore takes a copy under traffic, goes on, and puts the copy
// back: the rooms are those of then, and the devices of now find their way.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	b := startBox(t, nil, "")
	b.cli("room", "create", "before", "--pinned", "--description", "made before the backup")
	camera, panel := b.device("camera"), b.device("panel")
	camera.join("line-3")
	panel.join("line-3")
	camera.send(loadgen.Send{Type: "set", Room: "before", Key: "layout", Data: []byte(`{"cols":2}`)})

	stop := make(chan struct{})
	sent := make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				sent <- nil
				return
			case <-time.After(5 * time.Millisecond):
			}
			if _, err := camera.Send(loadgen.Send{Type: "message", Room: "line-3", Data: fmt.Appendf(nil, "%d", n)}); err != nil {
				sent <- err
				return
			}
		}
	}()
	file := filepath.Join(t.TempDir(), "box.backup")
	b.cli("backup", file)
	time.Sleep(300 * time.Millisecond) // sessions move on from what the copy holds
	close(stop)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup is %v, %v; it holds keys, want it for its owner alone", info.Mode(), err)
	}
	b.cli("room", "create", "after", "--pinned")
	id := b.status().ID
	if _, stderr, code := b.try("restore", file); code == 0 || !strings.Contains(stderr, "is running; stop it first") {
		t.Errorf("restore on a running box: exit code %d, %q", code, stderr)
	}

	b.stop()
	b.cli("restore", file)
	b.start()
	rooms := map[string]api.Room{}
	for _, r := range cliJSON[[]api.Room](b, "room", "list") {
		rooms[r.Name] = r
	}
	if _, ok := rooms["after"]; ok || rooms["before"].Description != "made before the backup" || !rooms["before"].Pinned {
		t.Errorf("rooms after restoring: %+v, want before as it was and not after", rooms)
	}
	if s := b.status(); s.ID != id || s.Store.Recovery != "" {
		t.Errorf("box %s, recovery %q after restoring, want %s and none", s.ID, s.Store.Recovery, id)
	}
	if kept, err := os.ReadDir(filepath.Join(b.data, "kept")); err != nil || len(kept) == 0 {
		t.Errorf("what was replaced is not kept: %v, %v", kept, err)
	}
	meetAgain(t, camera, panel)
}

// meetAgain wants two devices to talk, however their sessions have ended up.
func meetAgain(t *testing.T, camera, panel *device) {
	t.Helper()
	for _, d := range []*device{camera, panel} {
		w := d.awaitThat("the welcome after the restore", func(f loadgen.Frame) bool { return f.Type == "welcome" })
		t.Logf("%s: resumed %v, reason %q", d.name, w.Resumed, w.Reason)
		d.join("line-4")
	}
	camera.tell("line-4", "back again")
	panel.hear("back again")
	for _, d := range []*device{camera, panel} {
		waitFor(t, d.name+" to be acknowledged", patience, func() bool { return d.Unacked() == 0 })
		if c := d.Counts(); c.Connects > 4 {
			t.Errorf("%s: %+v, want it to settle at once", d.name, c)
		}
	}
}

// TestDamagedDatabase starts a box on what is left of its file. It serves, and
// says what happened.
func TestDamagedDatabase(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func([]byte) []byte{
		"overwritten": func(db []byte) []byte {
			return append([]byte(strings.Repeat("not a database\n", 1000)), db[15_000:]...)
		},
		"cut off": func(db []byte) []byte { return db[:5000] },
		"empty":   func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := startBox(t, nil, "")
			b.cli("room", "create", "line-3", "--pinned")
			b.stop()
			path := filepath.Join(b.data, "signalbox.db")
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			bad := damage(before)
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			said := len(b.log.String())
			b.start()
			recovery := b.status().Store.Recovery
			for _, want := range []string{"could not be used", "started empty", "is kept as"} {
				if !strings.Contains(recovery, want) {
					t.Errorf("status says %q, want %q in it", recovery, want)
				}
			}
			if !strings.Contains(b.log.String()[said:], "could not be used") {
				t.Errorf("the log does not say it:\n%s", b.log.String()[said:])
			}
			if err := keptAside(b, bad); err != nil {
				t.Error(err)
			}
			camera := b.device("camera")
			camera.join("line-3")
		})
	}
}

// keptAside looks for the damaged file.
func keptAside(b *box, want []byte) error {
	kept, err := filepath.Glob(filepath.Join(b.data, "kept", "*"))
	if err != nil {
		return err
	}
	for _, path := range kept {
		if got, err := os.ReadFile(path); err == nil && string(got) == string(want) {
			return nil
		}
	}
	return errors.New("the damaged file is not among " + fmt.Sprint(kept))
}
