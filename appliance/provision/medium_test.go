package provision

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func stick(t *testing.T) (dir string, m *Medium) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, Name), []byte("[admin]\nlink = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m = Find([]string{dir})
	if m == nil {
		t.Fatal("the file is not found")
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir, m
}

// Links that somebody has put where the result goes are replaced, and what they
// point to stays as it is.
func TestResultFollowsNoLink(t *testing.T) {
	dir, m := stick(t)
	outside := filepath.Join(t.TempDir(), "signalbox.toml")
	if err := os.WriteFile(outside, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{resultName, reservedName} {
		if err := os.Symlink(outside, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Reserve(); err != nil {
		t.Fatal(err)
	}
	if err := m.Leave("done\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(outside); err != nil || string(got) != "precious" {
		t.Errorf("the file outside is %q, %v", got, err)
	}
	path := filepath.Join(dir, resultName)
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		t.Fatalf("the result is %v, %v", info, err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "done\r\n" {
		t.Errorf("the result is %q, %v", got, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// What takes the file's place after it was found is not read.
func TestReadFollowsNoLink(t *testing.T) {
	for what, put := range map[string]func(string) error{
		"link": func(path string) error { return os.Symlink("/etc/passwd", path) },
		"pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		dir, m := stick(t)
		path := filepath.Join(dir, Name)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := put(path); err != nil {
			t.Fatal(err)
		}
		if _, text, err := m.Read(); err == nil || text != nil {
			t.Errorf("a %s is read: %.20q", what, text)
		}
	}
}

// A medium without space is found out before anything depends on it.
func TestReserveNeedsSpace(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=8k"); err != nil {
		t.Skipf("a file system of its own cannot be mounted, which takes root: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	if err := os.WriteFile(filepath.Join(dir, Name), []byte("[admin]\nlink = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := Find([]string{dir})
	if m == nil {
		t.Fatal("the file is not found")
	}
	err := m.Reserve()
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a full medium: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
