package turn

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn/internal/udpio"
)

// wire is a UDP client of a relay that nobody runs, with a peer: its messages
// are given to the relay by the test, 32 at a time as a loop does.
type wire struct {
	server *Server
	link   *udpLink
	a      *allocation
	peer   netip.AddrPort
	batch  *udpio.Batch
}

func newWire(t testing.TB) *wire {
	t.Helper()
	s := newMemServer(t)
	sink, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}) // nobody reads it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	w := &wire{server: s, link: s.services[0].udp[0], peer: addrPortOf(sink.LocalAddr()), batch: s.newBatch()}
	w.a = w.allocate(t, netip.AddrPortFrom(loopback, 9)) // the discard port
	w.a.bind(minChannel, w.peer)
	return w
}

func (w *wire) allocate(t testing.TB, client netip.AddrPort) *allocation {
	t.Helper()
	g := w.link.gate
	g.request = request{link: w.link, from: client, user: client.String(), identity: &identity{user: client.String()}}
	if code := g.prepare(wanted{addr: loopback}); code != 0 {
		t.Fatalf("prepare: %d", code)
	}
	g.begun(g.request.allocation)
	t.Cleanup(func() { // in place of pion
		a := g.request.allocation
		_ = a.conn.Close()
	})
	return g.request.allocation
}

func (w *wire) messages() map[string]udpio.Datagram {
	payload := make([]byte, 1200)
	channel := append([]byte{0x40, 0, 1200 >> 8, 1200 & 0xFF}, payload...)
	send := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		peerAddress(w.peer), stun.RawAttribute{Type: stun.AttrData, Value: payload}).Raw
	return map[string]udpio.Datagram{
		"channel": {From: w.a.client, Data: channel, TOS: 0xB8}, "send": {From: w.a.client, Data: send},
		"to client": {From: w.peer, Data: payload}, "to client, indication": {From: netip.AddrPortFrom(loopback, 10), Data: payload},
	}
}

// receive gives a message to whom it is for.
func (w *wire) receive(name string, d udpio.Datagram) {
	if name == "channel" || name == "send" {
		w.link.Receive(w.batch, d)
	} else {
		w.a.relays[0].Receive(w.batch, d)
	}
}

// Relaying allocates nothing, whatever the message.
func TestNoAllocations(t *testing.T) {
	w := newWire(t)
	other := w.allocate(t, netip.AddrPortFrom(loopback, 11))
	other.permit([]netip.AddrPort{w.a.relays[0].relayed})
	w.a.bind(minChannel+1, other.relays[0].relayed)
	messages := w.messages()
	inside := messages["channel"]
	inside.Data = append([]byte{0x40, 1}, inside.Data[2:]...)
	for range 32 {
		w.link.Receive(w.batch, inside)
	}
	w.batch.Flush()
	for name, d := range messages {
		relayed := w.server.Stats()
		got := testing.AllocsPerRun(100, func() {
			w.batch.Begin(time.Now())
			for range 32 {
				w.receive(name, d)
				w.link.Receive(w.batch, inside)
			}
			w.batch.Flush()
		})
		if got != 0 {
			t.Errorf("%s: %v allocations for 64 packets, want none", name, got)
		}
		now := w.server.Stats()
		if now.ToPeers.Packets+now.ToClients.Packets < relayed.ToPeers.Packets+relayed.ToClients.Packets+100*64 {
			t.Errorf("%s: nothing was relayed: %v", name, now.Dropped)
		}
	}
}

// A packet of 1200 bytes on its way through the relay, with the system call
// that sends it on in a batch, without the one that reads it.
func BenchmarkPlane(b *testing.B) {
	w := newWire(b)
	for name, d := range w.messages() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				w.receive(name, d)
				if n++; n%64 == 0 {
					w.batch.Flush()
				}
			}
			w.batch.Flush()
		})
	}
}
