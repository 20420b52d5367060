//go:build !linux

package upstream

import (
	"syscall"
	"time"
)

func setUserTimeout(syscall.RawConn, time.Duration) {}
