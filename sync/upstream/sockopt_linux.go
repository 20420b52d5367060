package upstream

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout has the kernel give a connection up whose data is not
// acknowledged in time (RFC 5482). Without it the link's own timers do.
func setUserTimeout(raw syscall.RawConn, d time.Duration) {
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}
