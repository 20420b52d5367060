package turn

import (
	"net/netip"

	"signalbox/turn/internal/udpio"
)

const (
	// listenBuffer and relayBuffer are asked of the kernel for each socket,
	// either way and in bytes; without root it gives what net.core.rmem_max and
	// wmem_max allow. With the usual 208 KiB a burst of video does not fit
	// while others are served.
	listenBuffer = 8 << 20
	relayBuffer  = 1 << 20
)

// udpLink is one UDP socket that clients send to, on one local address, so that
// the kernel answers from the address that was asked. A loop reads it.
type udpLink struct {
	server  *Server
	socket  *udpio.Socket
	loop    *udpio.Loop
	gate    *gate
	clients addrIndex[allocation]
}

var _ udpio.Handler = (*udpLink)(nil)

func (l *udpLink) transport() string                            { return transportUDP }
func (l *udpLink) local() netip.AddrPort                        { return l.socket.LocalAddr() }
func (l *udpLink) allocation(client netip.AddrPort) *allocation { return l.clients.find(client) }

func (l *udpLink) setEnded(a *allocation) { l.clients.remove(a.client, a) }

func (l *udpLink) setAllocated(a *allocation) bool {
	l.clients.put(a.client, a)
	return true
}

// Receive takes what a client sends. Data goes on at once, requests go to the gate.
func (l *udpLink) Receive(b *udpio.Batch, d udpio.Datagram) {
	if len(d.Data) >= channelHeader && d.Data[0]&0xC0 == 0x40 {
		if a := l.clients.find(d.From); a != nil {
			a.channelData(b, d.Data, d.TOS)
		} else if _, _, ok := parseChannelData(d.Data); ok {
			l.server.drop(dropNoAllocation)
		} else {
			l.server.drop(dropMalformed)
		}
		return
	}
	kind, ok := peekType(d.Data)
	switch {
	case !ok:
		l.server.drop(dropMalformed)
	case kind == sendType:
		if a := l.clients.find(d.From); a != nil {
			a.sendIndication(b, d.Data, d.TOS)
		} else {
			l.server.drop(dropNoAllocation)
		}
	default:
		l.request(b, d, kind)
	}
}

// request hands a request to the gate. One that is not signed costs an answer
// that is larger than itself, to a source that may be forged: those are limited
// here, before they cost any more.
func (l *udpLink) request(b *udpio.Batch, d udpio.Datagram, kind uint16) {
	if kind != bindingType && !hasIntegrity(d.Data) && !l.server.challenges.allow(d.From.Addr(), b.Now()) {
		l.server.drop(dropChallengeRate)
		return
	}
	if !l.gate.offer(l, d.From, d.Data) {
		l.server.drop(dropRequestQueue)
	}
}

func (l *udpLink) respond(message []byte, to netip.AddrPort) {
	if l.socket.WriteTo(message, to) != nil {
		l.server.drop(dropSendFailed)
	}
}

func (l *udpLink) deliver(b *udpio.Batch, to netip.AddrPort, d delivery) {
	p := udpio.Packet{To: to, TOS: d.tos, Header: d.appendHeader(b.Header(d.headerSize())[:0]), Payload: d.payload, Meters: d.meters}
	if d.channel == 0 {
		p.Pad = -len(d.payload) & 3
	}
	b.Send(l.socket, p)
}
