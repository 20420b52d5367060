package turn_test

import (
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/pion/stun/v2"

	"signalbox/turn/turntest"
)

// leaveOne uses up the file descriptors of the process but one. The function
// it returns gives them back.
func leaveOne(t *testing.T) (giveBack func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	top, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	low := syscall.Rlimit{Cur: uint64(top.Fd()) + 1, Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	fill := []*os.File{top}
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		fill = append(fill, f)
	}
	fill[len(fill)-1].Close()
	return sync.OnceFunc(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
		for _, f := range fill[:len(fill)-1] {
			f.Close()
		}
	})
}

// With no file descriptor left the relay answers what it can, and a connection
// that waits is served when there is one again (F4).
func TestNoFileDescriptors(t *testing.T) {
	server := turntest.Start(t)
	udp := turntest.Dial(t, "udp", turntest.Addr(server))
	udp.Challenge()
	giveBack := leaveOne(t)
	defer giveBack()
	tcp := turntest.Dial(t, "tcp", turntest.Addr(server)) // takes the last one
	turntest.Until(t, "failed accepts", func() bool { return server.Stats().AcceptErrors >= 2 })
	m := udp.Request(stun.MethodAllocate, turntest.UDPTransport)
	giveBack()
	want(t, "allocate without a descriptor", turntest.Code(m), 508)
	want(t, "waiting connection", turntest.Code(tcp.Do(stun.BindingRequest)), 0)
	udp.Allocate()
}
