package upgrade

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// unfinished is the name of a file that is being written. A crash may leave it.
const unfinished = ".signalbox-new-*"

// locked runs do while nobody else changes records or programs. It waits for
// whoever does, which is at most for as long as systemctl may take.
func (l Layout) locked(do func() error) error {
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(l.Dir)
	if err != nil {
		return err
	}
	defer dir.Close() // which unlocks
	err = unix.EINTR
	for errors.Is(err, unix.EINTR) {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", l.Dir, err)
	}
	return do()
}

// sweep removes what a crash has left unfinished: it takes as much room as a
// program. What cannot be removed does not matter now.
func (l Layout) sweep() {
	for _, dir := range []string{filepath.Dir(l.Program), filepath.Dir(l.Previous), l.Dir} {
		left, _ := filepath.Glob(filepath.Join(dir, unfinished)) // the pattern is ours
		for _, path := range left {
			_ = os.Remove(path)
		}
	}
}

// place puts the program at from into to as well, in one step: whoever runs to
// meanwhile goes on with what it was. It is a copy; on a full disk it is a second
// name for the same file, as packages never write into a program that is there.
func place(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	err = replace(to, 0o755, func(f *os.File) error {
		_, err := io.Copy(f, src)
		return err
	})
	if isFull(err) {
		if named := placeName(from, to); named != nil {
			return errors.Join(err, named)
		}
		return nil
	}
	return err
}

func placeName(from, to string) error {
	temp := filepath.Join(filepath.Dir(to), unfinished[:len(unfinished)-1]+"name")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(from, temp); err != nil {
		return err
	}
	if err := os.Rename(temp, to); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(to))
}

// isFull reports whether err is for want of room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// replace writes a file so that a power cut leaves the old one or the new one.
func replace(path string, mode fs.FileMode, fill func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), unfinished)
	if err != nil {
		return err
	}
	err = errors.Join(fill(f), f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
