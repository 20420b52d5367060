package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"signalbox/appliance/store"
)

// Root copies a box that is stopped to where its owner has no access. The program
// is built, as it becomes the owner in a process of its own.
func TestBackupByRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root, which becoming another user takes")
	}
	dir := t.TempDir()
	program, data, private := filepath.Join(dir, "signalbox"), filepath.Join(dir, "data"), filepath.Join(dir, "private")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cfg := store.Default()
	cfg.Dir = data
	made, err := store.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	const owner = 65534
	for _, path := range []string{filepath.Dir(dir), dir} { // where the program and the folder are, it may pass
		if err := os.Chmod(path, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	err = filepath.WalkDir(data, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, owner, owner)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(private, "box.db")
	cmd := exec.CommandContext(t.Context(), program, "backup", "--data", data, "--config", os.DevNull, backup)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "verified") {
		t.Errorf("%v: %s", err, out)
	}
	if err := store.Verify(backup); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(private); err != nil || len(left) != 1 {
		t.Errorf("in the folder are %v, %v", left, err)
	}
	// What the owner does not manage is said, and nothing is left.
	cmd = exec.CommandContext(t.Context(), program, "backup", "--data", filepath.Join(dir, "none"), "--config", os.DevNull, backup+".2")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "there is no box in") {
		t.Errorf("%v: %s", err, out)
	}
	if left, err := os.ReadDir(private); err != nil || len(left) != 1 {
		t.Errorf("in the folder are %v, %v", left, err)
	}
	if out, err := exec.CommandContext(t.Context(), "find", data, "!", "-user", "65534").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("not the owner's: %s, %v", out, err)
	}
}
