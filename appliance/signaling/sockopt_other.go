//go:build !linux

package signaling

import (
	"syscall"
	"time"
)

// setUserTimeout needs Linux; elsewhere the heartbeat alone finds a dead peer.
func setUserTimeout(syscall.RawConn, time.Duration) {}
