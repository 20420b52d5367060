package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	lockName  = "signalbox.lock"
	lockRetry = 50 * time.Millisecond
)

// lockDir takes the data folder for this process. The lock has a file of its
// own: bbolt locks the database file too, but that one is replaced by recovery,
// compaction and restore, and a lock on a file without a name locks nobody out.
func lockDir(dir string, timeout time.Duration) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	deadline := time.Now().Add(timeout)
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(lockedError(dir, f), f.Close())
		}
		time.Sleep(lockRetry)
	}
	// Who holds it, for the error above in other processes. Not worth failing.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

func lockedError(dir string, f *os.File) error {
	by := "another process"
	buf := make([]byte, 20)
	n, _ := f.ReadAt(buf, 0)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n]))); err == nil {
		by = "process " + strconv.Itoa(pid)
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
			by += " (" + strings.TrimSpace(string(name)) + ")"
		}
	}
	return fmt.Errorf("%w: %s is held by %s; stop it, or choose another folder with --data", ErrLocked, dir, by)
}
