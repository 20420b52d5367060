package control_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signalbox/appliance/control"
)

// echo serves one connection on dir and returns the listener.
func echo(t *testing.T, dir string) net.Listener {
	t.Helper()
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l
}

func TestDial(t *testing.T) {
	tests := []struct{ name, dir string }{
		{"short", "data"},
		{"longer than a socket address", strings.Repeat("a-long-name/", 20) + "data"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), test.dir)
			if _, err := control.Dial(t.Context(), dir); !errors.Is(err, control.ErrStopped) {
				t.Errorf("no folder: got %v, want ErrStopped", err)
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := control.Dial(t.Context(), dir); !errors.Is(err, control.ErrStopped) {
				t.Errorf("no socket: got %v, want ErrStopped", err)
			}
			l := echo(t, dir)
			conn, err := control.Dial(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			socket := filepath.Join(dir, control.Name)
			if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("socket: %v, %v, want mode 0600", info, err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}

// TestLeftOver is a box that was killed: its socket is there and nobody listens.
func TestLeftOver(t *testing.T) {
	dir := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, control.Name), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Dial(t.Context(), dir); !errors.Is(err, control.ErrStopped) {
		t.Errorf("got %v, want ErrStopped", err)
	}
	echo(t, dir)
	conn, err := control.Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
