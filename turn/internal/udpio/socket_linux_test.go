package udpio_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"signalbox/turn/internal/udpio"
)

// DSCP and ECN arrive and leave as they came, in either family.
func TestTrafficClass(t *testing.T) {
	for _, is6 := range []bool{false, true} {
		echos, _ := start(t, is6, 1)
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(echos[0].socket.LocalAddr()))
		if err != nil {
			t.Skip(err)
		}
		defer conn.Close()
		level, set, receive := unix.IPPROTO_IP, unix.IP_TOS, unix.IP_RECVTOS
		if is6 {
			level, set, receive = unix.IPPROTO_IPV6, unix.IPV6_TCLASS, unix.IPV6_RECVTCLASS
		}
		raw, err := conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		setInt := func(name, value int) {
			t.Helper()
			if err := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, name, value) }); err != nil {
				t.Fatal(err)
			}
		}
		setInt(receive, 1)
		for _, want := range []int{0, 0xB8, 0x89, 0xB8, 0x02} { // expedited forwarding, and the marks of RFC 3168
			setInt(set, want)
			for range 3 { // as one segmented send
				if _, err := conn.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
			}
			conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			for range 3 {
				p, control := make([]byte, 100), make([]byte, 100)
				_, n, _, _, err := conn.ReadMsgUDPAddrPort(p, control)
				if err != nil {
					t.Fatal(err)
				}
				messages, err := unix.ParseSocketControlMessage(control[:n])
				if err != nil || len(messages) != 1 || int(messages[0].Data[0]) != want {
					t.Errorf("ipv6 %v: got %v, %v, want traffic class %#x", is6, messages, err, want)
				}
			}
		}
	}
}

// What must not be fragmented leaves with its traffic class and in its turn, in
// segments too; and it fails where it does not fit.
func TestWhole(t *testing.T) {
	counters := new(udpio.Counters)
	from, err := udpio.Listen(loopback(false), udpio.Options{Counters: counters})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	echos, _ := start(t, false, 1) // which gives back the class it was sent with
	to := echos[0].socket.LocalAddr()
	b, meter := udpio.NewBatch(counters, 64), new(udpio.Meter)
	const packets = 40
	for i := range packets {
		b.Send(from, udpio.Packet{
			To: to, TOS: 0xB8, Whole: i/10%2 == 1, Payload: []byte{byte(i), 2, 3, 4}, Meters: [2]*udpio.Meter{meter},
		})
	}
	b.Flush()
	if meter.Packets() != packets || counters.Segmented.Load() < packets {
		t.Errorf("sent %d packets, %d in segments, want %d", meter.Packets(), counters.Segmented.Load(), packets)
	}
	got := make(chan udpio.Datagram, packets)
	loop, err := udpio.NewLoop(counters)
	if err != nil {
		t.Fatal(err)
	}
	if err := loop.Add(from, collect(got)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	done := make(chan error)
	go func() { done <- loop.Run(ctx) }()
	for i := range packets {
		select {
		case d := <-got:
			if d.TOS != 0xB8 || d.Data[4] != byte(i) {
				t.Errorf("packet %d: number %d with traffic class %#x, want %#x", i, d.Data[4], d.TOS, 0xB8)
			}
		case <-ctx.Done():
			t.Fatalf("packet %d did not arrive", i)
		}
	}
	b.Send(from, udpio.Packet{To: to, Whole: true, Payload: make([]byte, 65508)}) // no datagram is so large
	b.Send(from, udpio.Packet{To: to, Payload: []byte("next"), Meters: [2]*udpio.Meter{meter}})
	b.Flush()
	if counters.SendFailed.Load() != 1 || meter.Packets() != packets+1 {
		t.Errorf("%d failed, %d sent, want 1 and %d", counters.SendFailed.Load(), meter.Packets(), packets+1)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// collect keeps what it receives.
type collect chan udpio.Datagram

func (c collect) Receive(_ *udpio.Batch, d udpio.Datagram) {
	d.Data = bytes.Clone(d.Data)
	c <- d
}

// A flood of one size goes out in segments; what is lost is counted.
func TestSegments(t *testing.T) {
	counters := new(udpio.Counters)
	from, err := udpio.Listen(loopback(false), udpio.Options{Counters: counters})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(loopback(false)))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	_ = to.SetReadBuffer(4 << 20)
	b, meter := udpio.NewBatch(counters, 16), new(udpio.Meter)
	payload := make([]byte, 1000)
	const packets = 200
	for range packets {
		b.Send(from, udpio.Packet{To: to.LocalAddr().(*net.UDPAddr).AddrPort(), Payload: payload, Meters: [2]*udpio.Meter{nil, meter}})
	}
	b.Flush()
	if meter.Packets() != packets || meter.Bytes() != packets*1000 || counters.Segmented.Load() < packets*3/4 {
		t.Errorf("metered %d packets, %d bytes, %d segmented, want %d, most of them segmented",
			meter.Packets(), meter.Bytes(), counters.Segmented.Load(), packets)
	}
	to.SetReadDeadline(time.Now().Add(5 * time.Second))
	for i := range packets {
		if n, err := to.Read(make([]byte, 2000)); err != nil || n != 1000 {
			t.Fatalf("packet %d: got %d bytes, %v", i, n, err)
		}
	}
}

// Segments too large for the path go out one by one; what no path takes is
// counted as failed, and what follows is sent all the same.
func TestPathTakesNoSegments(t *testing.T) {
	counters := new(udpio.Counters)
	from, err := udpio.Listen(loopback(false), udpio.Options{Counters: counters})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	b, meter := udpio.NewBatch(counters, 16), new(udpio.Meter)
	send := func(to string, size int) {
		b.Send(from, udpio.Packet{To: netip.MustParseAddrPort(to), Payload: make([]byte, size), Meters: [2]*udpio.Meter{meter}})
	}
	send("127.0.0.1:9", 100)
	for range 3 {
		send("127.0.0.1:10", 30000) // 60000 of them fit into one send, one of them into no packet of the path
		send("192.0.2.1:9", 100)    // a socket on loopback has no way there
	}
	send("127.0.0.1:9", 100)
	b.Flush()
	if meter.Packets() != 5 || counters.SendFailed.Load() != 3 {
		t.Errorf("sent %d, failed %d, want 5 and 3", meter.Packets(), counters.SendFailed.Load())
	}
}

// What the loop does not read in time is counted by the kernel, and told.
func TestOverflowAndOversize(t *testing.T) {
	counters := new(udpio.Counters)
	loop, err := udpio.NewLoop(counters)
	if err != nil {
		t.Fatal(err)
	}
	s, err := udpio.Listen(loopback(false), udpio.Options{Counters: counters, ReceiveBuffer: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(make([]byte, udpio.MaxDatagram+1)); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := conn.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := loop.Add(s, &echo{socket: s}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- loop.Run(ctx) }()
	until(t, "oversize", func() bool { return counters.Oversize.Load() == 1 })
	until(t, "overflow", func() bool { // told with the next datagram
		_, err := conn.Write([]byte("next"))
		return err == nil && counters.Overflowed.Load() > 50
	})
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Sockets are closed while the loop reads them and others write to them. No
// call may meet a file that has got the number of a closed socket.
func TestCloseWhileBusy(t *testing.T) {
	counters := new(udpio.Counters)
	loop, err := udpio.NewLoop(counters)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- loop.Run(ctx) }()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(loopback(false)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 300 {
		s, err := udpio.Listen(loopback(false), udpio.Options{Counters: counters})
		if err != nil {
			t.Fatal(err)
		}
		if err := loop.Add(s, &echo{socket: s}); err != nil {
			t.Fatal(err)
		}
		var writers sync.WaitGroup
		for range 2 {
			writers.Go(func() {
				for s.WriteTo([]byte("x"), conn.LocalAddr().(*net.UDPAddr).AddrPort()) == nil {
				}
			})
		}
		for range 10 {
			_, _ = conn.WriteToUDPAddrPort([]byte("y"), s.LocalAddr())
		}
		s.Close()
		s.Close()
		writers.Wait()
		if err := s.WriteTo(nil, loopback(false)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after close: got %v, want %v", err, net.ErrClosed)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := loop.Add(nil, nil); err == nil {
		t.Error("a socket was added to a loop that has ended")
	}
}
