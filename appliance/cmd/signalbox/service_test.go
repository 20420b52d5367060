package main

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// A start that takes long asks the manager for time, and no more once it is over.
func TestTakeTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	p := &program{ctx: context.Background(), environ: []string{"NOTIFY_SOCKET=" + path}}
	done := takeTime(p, 5*time.Millisecond)
	buf := make([]byte, 128)
	for range 2 {
		n, err := manager.Read(buf)
		if err != nil || string(buf[:n]) != "EXTEND_TIMEOUT_USEC=180000000" {
			t.Fatalf("the manager is told %q, %v", buf[:n], err)
		}
	}
	done()
	for { // what was said before
		_ = manager.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := manager.Read(buf); err != nil {
			break
		}
	}
	takeTime(&program{ctx: context.Background()}, time.Millisecond)() // without a manager
}
