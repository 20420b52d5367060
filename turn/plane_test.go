package turn

import (
	"bytes"
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
	sink   *net.UDPConn // of peer; nobody reads it
	batch  *udpio.Batch
}

func newWire(t testing.TB, change ...func(*Config)) *wire {
	t.Helper()
	s := newMemServer(t, change...)
	sink, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	w := &wire{server: s, link: s.services[0].udp[0], peer: addrPortOf(sink.LocalAddr()), sink: sink, batch: s.newBatch()}
	w.a = w.allocate(t, netip.AddrPortFrom(loopback, 9)) // the discard port
	w.a.bind(minChannel, w.peer)
	return w
}

func (w *wire) allocate(t testing.TB, client netip.AddrPort) *allocation {
	t.Helper()
	return w.allocateBy(t, w.link, client)
}

// allocateBy makes an allocation of a client of any link, who is a user of its
// own.
func (w *wire) allocateBy(t testing.TB, l link, client netip.AddrPort) *allocation {
	t.Helper()
	g := w.link.gate
	g.request = request{link: l, from: client, user: client.String(), identity: &identity{user: client.String()}}
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
	whole := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		peerAddress(w.peer), stun.RawAttribute{Type: stun.AttrData, Value: payload}, stun.RawAttribute{Type: stun.AttrDontFragment}).Raw
	return map[string]udpio.Datagram{
		"send, whole": {From: w.a.client, Data: whole},
		"channel":     {From: w.a.client, Data: channel, TOS: 0xB8}, "send": {From: w.a.client, Data: send},
		"to client": {From: w.peer, Data: payload}, "to client, indication": {From: netip.AddrPortFrom(loopback, 10), Data: payload},
	}
}

// receive gives a message to whom it is for.
func (w *wire) receive(name string, d udpio.Datagram) {
	if d.From == w.a.client {
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

// What must not be fragmented keeps its place among the packets before and after
// it, which wait to be sent together.
func TestWholeKeepsItsPlace(t *testing.T) {
	w := newWire(t)
	for i := range byte(9) {
		if i%3 == 1 {
			w.receive("send", udpio.Datagram{From: w.a.client, Data: stun.MustBuild(stun.TransactionID,
				stun.NewType(stun.MethodSend, stun.ClassIndication), peerAddress(w.peer),
				stun.RawAttribute{Type: stun.AttrData, Value: []byte{i}}, stun.RawAttribute{Type: stun.AttrDontFragment}).Raw})
		} else {
			w.receive("channel", udpio.Datagram{From: w.a.client, Data: []byte{0x40, 0, 0, 1, i, 0, 0, 0}})
		}
	}
	w.batch.Flush()
	var got []byte
	_ = w.sink.SetReadDeadline(time.Now().Add(5 * time.Second))
	for p := make([]byte, 100); len(got) < 9; got = append(got, p[0]) {
		if n, err := w.sink.Read(p); err != nil || n != 1 {
			t.Fatalf("after %v: %d bytes, %v", got, n, err)
		}
	}
	if want := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8}; !bytes.Equal(got, want) {
		t.Errorf("the peer got %v, want %v", got, want)
	}
	if n := w.a.toPeers.Packets(); n != 9 {
		t.Errorf("%d packets counted, want 9", n)
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
