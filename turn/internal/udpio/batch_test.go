package udpio_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"signalbox/turn/internal/udpio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// until waits for done to return true, ten seconds at most.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10s in vain: %s", what)
		}
	}
}

// echo sends back what comes, with a header.
type echo struct {
	socket *udpio.Socket
	meter  udpio.Meter
}

func (e *echo) Receive(b *udpio.Batch, d udpio.Datagram) {
	header := b.Header(4)
	copy(header, "echo")
	b.Send(e.socket, udpio.Packet{
		To: d.From, TOS: d.TOS, Header: header, Payload: d.Data, Pad: -len(d.Data) & 3,
		Meters: [2]*udpio.Meter{&e.meter},
	})
}

func loopback(is6 bool) netip.AddrPort {
	if is6 {
		return netip.AddrPortFrom(netip.IPv6Loopback(), 0)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
}

// start runs a loop with one echo on each of n sockets.
func start(t testing.TB, is6 bool, n int) ([]*echo, *udpio.Counters) {
	t.Helper()
	counters := new(udpio.Counters)
	loop, err := udpio.NewLoop(counters)
	if err != nil {
		t.Fatal(err)
	}
	echos := make([]*echo, n)
	for i := range echos {
		s, err := udpio.Listen(loopback(is6), udpio.Options{ReceiveBuffer: 1 << 20, Counters: counters})
		if err != nil {
			t.Fatal(err)
		}
		echos[i] = &echo{socket: s}
		if err := loop.Add(s, echos[i]); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- loop.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, e := range echos {
			e.socket.Close()
		}
	})
	return echos, counters
}

func TestEcho(t *testing.T) {
	for _, is6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("ipv6 %v", is6), func(t *testing.T) {
			echos, counters := start(t, is6, 3)
			for _, e := range echos {
				conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(e.socket.LocalAddr()))
				if err != nil {
					t.Skip(err)
				}
				defer conn.Close()
				sizes := []int{100, 100, 100, 0, 99, 100, 7, 7, 7, 6, 1400, 1400, 2048}
				bytes := 0
				for i, size := range sizes {
					p := make([]byte, size)
					for j := range p {
						p[j] = byte(i)
					}
					bytes += size
					if _, err := conn.Write(p); err != nil {
						t.Fatal(err)
					}
				}
				conn.SetReadDeadline(time.Now().Add(5 * time.Second))
				for i, size := range sizes {
					p := make([]byte, 4096)
					n, err := conn.Read(p)
					if want := 4 + (size+3)&^3; err != nil || n != want || string(p[:4]) != "echo" || size > 0 && p[3+size] != byte(i) {
						t.Fatalf("answer %d: got %d bytes, %v, want %d", i, n, err, want)
					}
				}
				until(t, "all metered", func() bool { return e.meter.Packets() >= uint64(len(sizes)) })
				if e.meter.Packets() != uint64(len(sizes)) || e.meter.Bytes() != uint64(bytes) {
					t.Errorf("metered %d packets, %d bytes, want %d, %d", e.meter.Packets(), e.meter.Bytes(), len(sizes), bytes)
				}
			}
			if n := counters.SendFailed.Load() + counters.BufferFull.Load(); n != 0 {
				t.Errorf("%d packets not sent", n)
			}
		})
	}
}
