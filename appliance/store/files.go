package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tempPrefix marks files that are being written; Open removes what a crash
// has left of them.
const tempPrefix = ".new-"

// makeDir creates dir with what leads to it, and makes the names survive a
// power cut.
func makeDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is a file, not a folder", dir)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// createTemp creates an empty file of mode 0600 in dir. The caller installs or
// removes it.
func createTemp(dir string) (*os.File, error) {
	return os.CreateTemp(dir, tempPrefix+"*.db")
}

// install gives the complete, synced file temp its name and makes the name
// survive a power cut.
func install(temp, path string) error {
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// copyTemp copies src into a synced temporary file in dir. That src cannot be
// read is ErrDamaged; all other errors are those of dir.
func copyTemp(dir string, src io.Reader) (path string, err error) {
	temp, err := createTemp(dir)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	var unread error
	_, err = io.Copy(temp, readerFunc(func(b []byte) (int, error) {
		n, err := src.Read(b)
		if err != nil && err != io.EOF {
			unread = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return n, err
	}))
	if unread != nil {
		err = unread
	}
	return temp.Name(), errors.Join(err, temp.Sync(), temp.Close())
}

// readerFunc is an io.Reader of one function.
type readerFunc func([]byte) (int, error)

func (r readerFunc) Read(b []byte) (int, error) { return r(b) }

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncDir makes the names in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sweep removes what an interrupted create, copy or compaction has left.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) && e.Type().IsRegular() {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
