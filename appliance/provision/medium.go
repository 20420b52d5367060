package provision

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Medium is the folder that a file for the first start lies in, held open. All
// is done through that handle, as root and on a file system that somebody else
// may have made: no link in it leads anywhere else, and nothing that has the
// name of the result is written to, only replaced.
type Medium struct {
	dir, name string
	root      *os.Root
	result    *os.File // reserved, under reservedName
}

const (
	resultName   = "signalbox-provision.result.txt"
	reservedName = ".signalbox-provision.new"
	// maxResultBytes is more than any result has; as much is reserved, so that
	// the medium cannot be found full when there is something to write.
	maxResultBytes = 16 << 10
)

// Find looks for the file in places, which are Places, in their order; nil when
// there is none. The caller closes the medium.
func Find(places []string) *Medium {
	for _, place := range places {
		if m, err := open(place, Name); err == nil {
			return m
		}
	}
	return nil
}

// Open is the medium of a file that somebody has named.
func Open(path string) (*Medium, error) { return open(filepath.Dir(path), filepath.Base(path)) }

// open goes by the folder above, which a mount point has from this machine: the
// last element may be a link on a stick, and must not lead out of it.
func open(place, name string) (*Medium, error) {
	place, err := filepath.Abs(place)
	if err != nil {
		return nil, err
	}
	above, err := os.OpenRoot(filepath.Dir(place))
	if err != nil {
		return nil, err
	}
	defer above.Close()
	root, err := above.OpenRoot(filepath.Base(place))
	if place == "/" {
		root, err = os.OpenRoot(place)
	}
	if err != nil {
		return nil, err
	}
	m := &Medium{dir: place, name: name, root: root}
	info, err := root.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", m.Path())
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return m, nil
}

// Path is where the file lies, for people.
func (m *Medium) Path() string { return filepath.Join(m.dir, m.name) }

// Read reads and checks the file. The error names everything that is wrong.
func (m *Medium) Read() (File, []byte, error) {
	// Not to wait for a pipe that has taken the file's place meanwhile.
	src, err := m.root.OpenFile(m.name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return File{}, nil, err
	}
	defer src.Close()
	if info, err := src.Stat(); err != nil || !info.Mode().IsRegular() {
		return File{}, nil, errors.Join(err, errors.New("it is no regular file"))
	}
	text, err := io.ReadAll(io.LimitReader(src, maxFileBytes+1))
	if err != nil {
		return File{}, nil, err
	}
	if len(text) > maxFileBytes {
		return File{}, text, fmt.Errorf("it has more than %d KiB", maxFileBytes>>10)
	}
	f, err := parse(text)
	return f, text, err
}

// Reserve proves that the medium can take the result, by taking the space for
// it. Leave needs it, once.
func (m *Medium) Reserve() error {
	if err := m.root.Remove(reservedName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := m.root.OpenFile(reservedName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(make([]byte, maxResultBytes)); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Close(), m.root.Remove(reservedName))
	}
	m.result = f
	return nil
}

// Leave writes what has happened beside the file, to be read on a laptop of any
// kind. What a power cut leaves is the result as a whole, or none.
func (m *Medium) Leave(text string) error {
	if m.result == nil {
		return errors.New("nothing is reserved")
	}
	f := m.result
	m.result = nil
	text = strings.ReplaceAll(text, "\n", "\r\n")
	text = text[:min(len(text), maxResultBytes)]
	_, err := f.WriteAt([]byte(text), 0)
	err = errors.Join(err, f.Truncate(int64(len(text))), f.Sync(), f.Close())
	if err == nil {
		err = m.root.Rename(reservedName, resultName)
	}
	if err != nil {
		return errors.Join(err, m.root.Remove(reservedName))
	}
	return m.sync()
}

// Take removes the file, which may hold a token or a password.
func (m *Medium) Take() error { return errors.Join(m.root.Remove(m.name), m.sync()) }

func (m *Medium) sync() error {
	dir, err := m.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Close gives what was reserved back.
func (m *Medium) Close() error {
	var err error
	if m.result != nil {
		err = errors.Join(m.result.Close(), m.root.Remove(reservedName))
		m.result = nil
	}
	return errors.Join(err, m.root.Close())
}
