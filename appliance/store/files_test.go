package store

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"testing/iotest"
)

// A sector that cannot be read sends recovery to the next rung; a folder that
// cannot be written does not.
func TestCopyTempTellsWhoseFaultItIs(t *testing.T) {
	dir := t.TempDir()
	_, err := copyTemp(dir, iotest.ErrReader(syscall.EIO))
	if !damaged(err) || !errors.Is(err, syscall.EIO) {
		t.Errorf("copy from a bad disk = %v, want ErrDamaged and EIO", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := copyTemp(filepath.Join(dir, "missing"), nil); err == nil || damaged(err) {
		t.Errorf("copy into a missing folder = %v, want another error", err)
	}
}
