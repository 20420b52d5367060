// Package control is the way from a command line to the box that runs on the
// same data folder: a unix socket DIR/control.sock. Whoever may open it is an
// administrator; the folder and the socket are for their owner alone.
package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// Name is the socket's name in the data folder.
const Name = "control.sock"

// ErrStopped is returned by Dial when no box runs on the data folder.
var ErrStopped = errors.New("no box runs on this data folder")

// maxPath is the longest path that fits into a socket address with the zero
// byte that ends it (unix(7)).
const maxPath = 107

// Listen opens the socket of the box whose data folder is dir. A socket that is
// left over is replaced, so only the one who holds the folder's lock may call it.
func Listen(dir string) (net.Listener, error) {
	d, err := openDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	l, err := d.listen()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open control socket: %w", err), d.Close())
	}
	return l, nil
}

// Dial connects to the box that runs on dir, or fails with ErrStopped.
func Dial(ctx context.Context, dir string) (net.Conn, error) {
	d, err := openDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrStopped, dir)
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", d.path(Name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w: %s", ErrStopped, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", filepath.Join(dir, Name), errors.Unwrap(err))
	}
	return conn, nil
}

// directory is an open data folder. Through its descriptor a socket in it has a
// short name, however long the folder's own is.
type directory struct {
	*os.File
	dir string
}

func openDir(dir string) (*directory, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &directory{f, dir}, nil
}

func (d *directory) path(name string) string {
	if path := filepath.Join(d.dir, name); len(path) <= maxPath {
		return path
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(d.Fd())), name)
}

// listen binds under another name first: the socket appears under its own with
// the right permissions, in one step.
func (d *directory) listen() (net.Listener, error) {
	temp := Name + ".new"
	if err := os.Remove(d.path(temp)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.path(temp), Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(d.path(temp), 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if err := os.Rename(d.path(temp), d.path(Name)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &listener{UnixListener: l, dir: d}, nil
}

// listener removes its socket when it is closed.
type listener struct {
	*net.UnixListener
	dir  *directory
	once sync.Once
}

func (l *listener) Close() error {
	err := l.UnixListener.Close()
	l.once.Do(func() {
		err = errors.Join(err, os.Remove(l.dir.path(Name)), l.dir.Close())
	})
	return err
}
