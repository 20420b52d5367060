package signaling

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout has the kernel end a connection whose peer stops answering
// (TCP_USER_TIMEOUT), also while nobody writes to it from here.
func setUserTimeout(raw syscall.RawConn, after time.Duration) {
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
	})
}
