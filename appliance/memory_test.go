package appliance

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"signalbox/appliance/config"
)

// A disk turns read-only and can be written again, while the machine runs. What
// the box has become in memory is on the disk then; a state in memory that the
// disk has gone past is not gone back to.
func TestMemoryAndBack(t *testing.T) {
	data, runtime := t.TempDir(), t.TempDir()
	if err := syscall.Mount("none", data, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("a file system of its own cannot be mounted, which takes root: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(data, 0); err != nil {
			t.Error(err)
		}
	}()
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("none", data, "tmpfs", syscall.MS_REMOUNT|flags, "size=64m"); err != nil {
			t.Fatal(err)
		}
	}
	// start says which marks the state has, and adds one.
	start := func(mark string, inMemory bool) (found []string) {
		t.Helper()
		cfg := config.Default()
		cfg.Data, cfg.Store.Dir, cfg.Runtime, cfg.Discovery.Enabled = data, data, runtime, false
		cfg.HTTP.Listen, cfg.HTTP.HTTPS = []string{"127.0.0.1:0"}, nil
		cfg.Turn.Listen, cfg.Turn.TLSListen = []string{"127.0.0.1:0"}, nil
		cfg.Log.Level = slog.LevelError + 1
		b, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if (b.inMemory != "") != inMemory {
			t.Errorf("at %q the box runs from memory: %q", mark, b.inMemory)
		}
		err = b.store.Update(t.Context(), func(tx *bbolt.Tx) error {
			marks, err := tx.CreateBucketIfNotExists([]byte("test marks"))
			if err != nil {
				return err
			}
			if err := marks.ForEach(func(k, _ []byte) error { found = append(found, string(k)); return nil }); err != nil {
				return err
			}
			return marks.Put([]byte(mark), nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	want := func(got []string, n int) {
		t.Helper()
		if len(got) != n {
			t.Errorf("the state has %q, want %d marks", got, n)
		}
	}
	want(start("1 disk", false), 0)
	remount(syscall.MS_RDONLY)
	want(start("2 memory", true), 1)
	want(start("3 memory", true), 2) // again, while the disk is as it was
	remount(0)
	want(start("4 disk", false), 3) // nothing is lost
	remount(syscall.MS_RDONLY)
	want(start("5 memory", true), 4) // and not what memory was before
	remount(0)
	// Somebody writes to the disk by another way.
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(filepath.Join(data, databaseName), later, later); err != nil {
		t.Fatal(err)
	}
	remount(syscall.MS_RDONLY)
	want(start("6 memory", true), 4)
	remount(0)
	want(start("7 disk", false), 5)
	if left, err := os.ReadDir(runtime); err != nil || len(left) > 0 {
		t.Errorf("in memory are %v, %v", left, err)
	}
}
