package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// firstDescriptor is where the manager begins to number (sd_listen_fds(3)).
const firstDescriptor = 3

// maxDescriptors is more sockets than any unit of ours has.
const maxDescriptors = 64

// Listeners are the listening sockets that the manager has handed over, by the
// name that the socket unit gives them with FileDescriptorName. The caller owns
// them. An error names a socket that cannot be used; those that can are closed.
func Listeners(getenv func(string) string) (map[string][]net.Listener, error) {
	if pid := getenv("LISTEN_PID"); pid == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil // none, or meant for another process
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > maxDescriptors {
		return nil, fmt.Errorf("LISTEN_FDS: got %q, want 0 to %d", getenv("LISTEN_FDS"), maxDescriptors)
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	found := map[string][]net.Listener{}
	var errs []error
	for i := range n {
		fd := firstDescriptor + i
		name := "unknown" // what the manager says when the unit says nothing
		if i < len(names) && names[i] != "" {
			name = names[i]
		}
		l, err := listener(fd, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found[name] = append(found[name], l)
	}
	if err := errors.Join(errs...); err != nil {
		for _, list := range found {
			for _, l := range list {
				_ = l.Close()
			}
		}
		return nil, err
	}
	return found, nil
}

func listener(fd int, name string) (net.Listener, error) {
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), name)
	if f == nil {
		return nil, fmt.Errorf("socket %q of the service manager: descriptor %d is not open", name, fd)
	}
	defer f.Close() // net.FileListener has its own copy
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("socket %q of the service manager (descriptor %d): %w; it must be a listening stream socket", name, fd, err)
	}
	return l, nil
}
