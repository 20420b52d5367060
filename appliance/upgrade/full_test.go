package upgrade_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"signalbox/appliance/upgrade"
)

// On a full disk a program is kept, and put back, by a second name.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Skipf("mount a small disk: %v: full disks are not tested", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	l := upgrade.Layout{
		Program: filepath.Join(disk, "bin"), Previous: filepath.Join(disk, "previous", "bin"),
		Dir: t.TempDir(), Unit: "signalbox.service",
	}
	write(t, l.Program, "old"+string(make([]byte, 600<<10))) // two do not fit
	if kept, err := l.Keep(upgrade.Before{Version: "1.0", Judged: true}); !kept || err != nil {
		t.Fatalf("keep: %v, %v", kept, err)
	}
	unpacked := filepath.Join(disk, "unpacked")
	write(t, unpacked, "new")
	if err := os.Rename(unpacked, l.Program); err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(disk, "other"))
	m := &manager{}
	if _, err := l.RollbackNow(t.Context(), m, is("1.1"), "asked"); err != nil || read(t, l.Program)[:3] != "old" || len(m.calls) != 2 {
		t.Errorf("rollback: %v, then %q", err, m.calls)
	}
	left, err := filepath.Glob(filepath.Join(disk, ".signalbox-new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// fill writes until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}
