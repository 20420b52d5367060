package turn_test

import (
	"net"
	"runtime"
	"testing"
	"time"

	"signalbox/turn/turntest"
)

// One datagram of 1000 bytes from a client on a channel to a peer, and back.
func BenchmarkRelay(b *testing.B) {
	for _, network := range transports {
		b.Run(network, func(b *testing.B) {
			server := turntest.Start(b)
			peer, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				b.Fatal(err)
			}
			defer peer.Close()
			c := turntest.Dial(b, network, turntest.Addr(server))
			c.Allocate()
			if code := c.Bind(0x4000, addrOf(peer)); code != 0 {
				b.Fatalf("bind: error %d", code)
			}
			frame := append([]byte{0x40, 0, 1000 >> 8, 1000 & 0xFF}, make([]byte, 1000)...)
			p := make([]byte, 2048)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Conn().Write(frame); err != nil {
					b.Fatal(err)
				}
				n, from, err := peer.ReadFromUDPAddrPort(p)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := peer.WriteToUDPAddrPort(p[:n], from); err != nil {
					b.Fatal(err)
				}
				if _, err := c.Conn().Read(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A whole life: challenge, allocation, end.
func BenchmarkAllocate(b *testing.B) {
	server := turntest.Start(b)
	c := turntest.Dial(b, "udp", turntest.Addr(server))
	b.ReportAllocs()
	for b.Loop() { // with the client's work
		c.Allocate()
		c.Refresh(0)
	}
}

// What an open connection costs before it signs in, without the 1 KB or so
// that the client's end takes in the same process.
func BenchmarkIdleConnection(b *testing.B) {
	const n = 400
	for b.Loop() {
		server := turntest.Start(b)
		before := heapAndStacks()
		conns := make([]net.Conn, n)
		for i := range conns {
			var err error
			if conns[i], err = net.Dial("tcp", turntest.Addr(server).String()); err != nil {
				b.Fatal(err)
			}
		}
		turntest.Until(b, "connections", func() bool { return server.Stats().Conns == n })
		time.Sleep(50 * time.Millisecond)
		b.ReportMetric(float64(heapAndStacks()-before)/n, "B/conn")
		for _, c := range conns {
			c.Close()
		}
		turntest.Until(b, "no connections", func() bool { return server.Stats().Conns == 0 })
	}
}

func heapAndStacks() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
