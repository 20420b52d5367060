package udpio

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resident is how much of an inbox is in memory, in bytes.
func (in *inbox) resident(t *testing.T) (n int) {
	t.Helper()
	pages := make([]byte, len(in.data)/os.Getpagesize()+1)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&in.data[0])), uintptr(len(in.data)),
		uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatalf("mincore: %v", errno)
	}
	for _, page := range pages {
		n += int(page&1) * os.Getpagesize()
	}
	return n
}

// tally counts what it receives.
type tally struct{ datagrams int }

func (c *tally) Receive(*Batch, Datagram) { c.datagrams++ }

// Reads that fill slots with 64 datagrams each do not keep the memory that they
// have touched, and are few enough at a time not to touch much.
func TestLargeReadsGiveMemoryBack(t *testing.T) {
	counters := new(Counters)
	l, err := NewLoop(counters)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), Options{ReceiveBuffer: 64 << 20, Counters: counters})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if size, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil || size < 64<<20 {
		t.Skipf("a receive buffer of %d bytes is too small for this test; run it as root", size)
	}
	got := new(tally)
	if err := l.Add(s, got); err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	flood := func(sends, segments int) {
		t.Helper()
		var optionErr error
		if err := raw.Control(func(fd uintptr) {
			optionErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, 1000)
		}); err != nil || optionErr != nil {
			t.Fatalf("UDP_SEGMENT: %v, %v", err, optionErr)
		}
		for range sends {
			if _, err := conn.Write(bytes.Repeat([]byte("x"), 1000*segments)); err != nil {
				t.Fatal(err)
			}
		}
	}
	most := 0
	drain := func(datagrams int) {
		t.Helper()
		want := got.datagrams + datagrams
		for got.datagrams < want {
			before := got.datagrams
			l.serve([]unix.EpollEvent{{Fd: int32(s.slot)}})
			if got.datagrams == before {
				t.Fatalf("%d datagrams read, want %d", before, want)
			}
			most = max(most, l.inbox.resident(t))
		}
	}
	const room = 1 << 20 // pages of which a slot uses a part

	flood(300, 60)
	drain(300 * 60)
	if most > 32*slotSize+room { // what a first read may touch
		t.Errorf("a flood of large reads took %d KiB", most>>10)
	}
	flood(500, 1) // one by one, so that much is read at a time
	flood(250, 60)
	drain(500 + 250*60)
	if l.inbox.held > maxHeld || most > maxHeld+batchSize*os.Getpagesize()+room {
		t.Errorf("after a flood of small reads that became large %d KiB are held, %d KiB at most were in memory",
			l.inbox.held>>10, most>>10)
	}
	if n := counters.Overflowed.Load() + counters.Oversize.Load(); n != 0 {
		t.Errorf("%d datagrams lost", n)
	}
	// What stays is used again: a steady flow of large reads gives nothing back.
	held := l.inbox.held
	for range 50 {
		flood(20, 60)
		drain(20 * 60)
	}
	if l.inbox.held != held {
		t.Errorf("%d bytes held after a steady flow, %d before", l.inbox.held, held)
	}
	flood(200, 60)
	event := []unix.EpollEvent{{Fd: int32(s.slot)}}
	if n := testing.AllocsPerRun(10, func() { l.serve(event) }); n != 0 { // some 1000 datagrams each
		t.Errorf("%v allocations to read", n)
	}
}
