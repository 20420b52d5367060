//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// hostSettings make a namespace a plain host. Forwarding would otherwise follow
// the machine's own setting, and duplicate address detection would keep every
// IPv6 address unusable for a second.
var hostSettings = [][2]string{
	{"net/ipv4/ip_forward", "0"},
	{"net/ipv6/conf/all/forwarding", "0"},
	{"net/ipv6/conf/default/accept_dad", "0"},
}

// newNamespace makes a network namespace without a name, with its loopback up.
// It lives until the handle is closed and the last process in it has ended.
func newNamespace() (netns.NsHandle, error) {
	created := netns.None()
	err := onThread(func() error {
		ns, err := netns.New()
		if err != nil {
			return err
		}
		created = ns
		for _, s := range hostSettings {
			if err := writeSysctl(s[0], s[1]); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("find loopback: %w", err)
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil && created.IsOpen() {
		created.Close()
	}
	return created, err
}

// inside runs f on a thread that is in ns.
func inside(ns netns.NsHandle, f func() error) error {
	return onThread(func() error {
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// onThread runs f on a thread of its own and puts that thread back where it
// was. A thread that cannot be put back ends with its goroutine, so that no
// other goroutine ever runs on it.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("the function ended its goroutine")
		defer func() { done <- err }()
		runtime.LockOSThread()
		home, homeErr := netns.Get()
		if homeErr != nil {
			err = fmt.Errorf("find the current network namespace: %w", homeErr)
			runtime.UnlockOSThread()
			return
		}
		defer func() {
			defer home.Close()
			if netns.Set(home) == nil {
				runtime.UnlockOSThread()
			}
		}()
		err = f()
	}()
	return <-done
}

// writeSysctl sets a kernel setting in the calling thread's namespace.
func writeSysctl(key, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
	return os.WriteFile(path, []byte(value), 0o644)
}

// killAll ends every process that still runs in ns and names them.
func killAll(ns netns.NsHandle) (killed []string) {
	var want unix.Stat_t
	if unix.Fstat(int(ns), &want) != nil {
		return nil
	}
	found, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range found {
		dir := filepath.Dir(filepath.Dir(path))
		pid, _ := strconv.Atoi(filepath.Base(dir))
		var got unix.Stat_t
		if pid == os.Getpid() || unix.Stat(path, &got) != nil || got.Ino != want.Ino || got.Dev != want.Dev {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		if unix.Kill(pid, unix.SIGKILL) == nil {
			killed = append(killed, fmt.Sprintf("%s (%d)", strings.TrimSpace(string(name)), pid))
		}
	}
	return killed
}
