package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	folderName  = "identity"
	currentLink = "current"
	lockFile    = "lock"
	joiningFile = "joining.pem" // the key of a join whose answer has not come
	unfinished  = ".new"
)

// folder is the identities of a box on disk: one in force, and at most one that
// waits to be tried. Only who holds the lock changes it.
type folder struct {
	dir  string
	step func() // nil but in tests: called before each change
}

func (f folder) before() {
	if f.step != nil {
		f.step()
	}
}

func name(n uint64) string { return fmt.Sprintf("%08d", n) }

func (f folder) path(n uint64) string { return filepath.Join(f.dir, name(n)) }

// current is the number of the one in force; fs.ErrNotExist if there is none.
func (f folder) current() (uint64, error) {
	target, err := os.Readlink(filepath.Join(f.dir, currentLink))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(target, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: got %.80q, want a number; restore the folder or join again", filepath.Join(f.dir, currentLink), target)
	}
	return n, nil
}

// newest is the highest number that is complete, 0 for none.
func (f folder) newest() (newest uint64, err error) {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name(), 10, 64); err == nil && e.IsDir() {
			newest = max(newest, n)
		}
	}
	return newest, err
}

// lock keeps others from changing the folder, which it makes if need be. What
// root makes in the folder of a service belongs to the service.
func (f folder) lock() (unlock func(), err error) {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, err
	}
	if err := f.own(f.dir); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(f.dir, lockFile), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.own(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", file.Name(), err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// ErrBusy is returned while somebody else joins or renews with the same folder.
var ErrBusy = errors.New("another process is joining or renewing; try again in a minute")

// own gives what root made to the owner of the box's data.
func (f folder) own(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(f.dir))
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	return os.Lchown(path, int(owner.Uid), int(owner.Gid))
}

// add writes an identity beside those there are. It is there whole or not at all.
func (f folder) add(g *generation) (uint64, error) {
	newest, err := f.newest()
	if err != nil {
		return 0, err
	}
	if current, err := f.current(); err == nil {
		newest = max(newest, current)
	}
	n := newest + 1
	temp := f.path(n) + unfinished
	files, err := g.files()
	if err != nil {
		return 0, err
	}
	f.before()
	if err := errors.Join(os.RemoveAll(temp), os.Mkdir(temp, 0o700), f.own(temp)); err != nil {
		return 0, err
	}
	for _, file := range files {
		f.before()
		path := filepath.Join(temp, file.name)
		if err := errors.Join(writeSynced(path, file.content), f.own(path)); err != nil {
			return 0, err
		}
	}
	f.before()
	return n, errors.Join(syncDir(temp), os.Rename(temp, f.path(n)), syncDir(f.dir))
}

// swap puts an identity in force.
func (f folder) swap(n uint64) error {
	link := filepath.Join(f.dir, currentLink)
	f.before()
	if err := os.Remove(link + unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f.before()
	if err := errors.Join(os.Symlink(name(n), link+unfinished), f.own(link+unfinished)); err != nil {
		return err
	}
	f.before()
	return errors.Join(os.Rename(link+unfinished, link), syncDir(f.dir))
}

// clean removes all but the one in force, and what was left unfinished.
func (f folder) clean() error {
	current, err := f.current()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		number, _ := strings.CutSuffix(e.Name(), unfinished)
		if n, err := strconv.ParseUint(number, 10, 64); err == nil && e.IsDir() && (n != current || number != e.Name()) {
			f.before()
			errs = append(errs, os.RemoveAll(filepath.Join(f.dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// writeSynced follows no link: root joins in a folder that the service owns, and
// must not write elsewhere for it.
func writeSynced(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
