package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"signalbox/appliance/store"
	"signalbox/appliance/store/storetest"
)

// smallDisk mounts a disk of that many bytes, which needs privileges.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", bytes)); err != nil {
		t.Skipf("mount a small disk: %v: full disks are not tested", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, 3<<20)
	dir := filepath.Join(disk, "data")
	s := open(t, dir)
	if err := put(s, "first", "1"); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(disk, "other")
	if err := os.WriteFile(other, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := 0, error(nil)
	for ; err == nil; n++ {
		err = put(s, fmt.Sprint(n), strings.Repeat("x", 10_000))
	}
	if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "no space left on the disk of "+dir) {
		t.Fatalf("Update %d on a full disk = %v, want ErrFull that names the disk", n, err)
	}
	if err := s.Backup(t.Context(), filepath.Join(disk, "copy.db")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Backup on a full disk = %v, want ENOSPC", err)
	}
	if err := s.Check(); err != nil {
		t.Errorf("Check on a full disk = %v", err)
	}
	if got := get(t, s, "first"); got != "1" {
		t.Errorf("first = %q", got)
	}
	// The box starts on a full disk, too.
	closeStore(t, s)
	s = storetest.OpenConfig(t, store.Config{Dir: dir})
	if _, err := s.NextIncarnation(t.Context()); err != nil {
		t.Errorf("NextIncarnation on a full disk: %v", err)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if err := put(s, "later", strings.Repeat("x", 10_000)); err != nil {
		t.Errorf("Update after space was freed: %v", err)
	}
}

// A full disk must not make a damaged box forget its backup and start empty.
func TestFullDiskIsNoReasonToStartEmpty(t *testing.T) {
	disk := smallDisk(t, 3<<20)
	dir := filepath.Join(disk, "data")
	s := open(t, dir)
	if err := put(s, "a", strings.Repeat("1", 400_000)); err != nil {
		t.Fatal(err)
	}
	backUp(t, s, 1)
	closeStore(t, s)
	spoil(t, s.Path(), func(b []byte) []byte { zero(b); return b })
	other := filepath.Join(disk, "other")
	if err := os.WriteFile(other, make([]byte, 4<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk = %v, want ENOSPC", err)
	}
	if _, err := store.Open(store.Config{Dir: dir}); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "use backup") {
		t.Errorf("Open on a full disk = %v, want ENOSPC with the step", err)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	s = storetest.OpenConfig(t, store.Config{Dir: dir})
	if got := get(t, s, "a"); len(got) != 400_000 {
		t.Errorf("a has %d bytes: %v", len(got), s.Recovery())
	}
}

func TestCheckReportsACommitThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir())
		done := make(chan error)
		go func() {
			done <- s.Update(t.Context(), func(*bbolt.Tx) error {
				time.Sleep(20 * time.Second)
				return nil
			})
		}()
		time.Sleep(10 * time.Second)
		if err := s.Check(); err != nil {
			t.Errorf("Check after 10 s = %v", err)
		}
		time.Sleep(6 * time.Second)
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), "waiting for the disk for 16s") {
			t.Errorf("Check after 16 s = %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Check(); err != nil {
			t.Errorf("Check after it came back = %v", err)
		}
		closeStore(t, s)
	})
}
