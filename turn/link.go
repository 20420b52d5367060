package turn

import (
	"net/netip"

	"signalbox/turn/internal/udpio"
)

// Transports between client and relay.
const (
	transportUDP = "udp"
	transportTCP = "tcp"
	transportTLS = "tls" // over TCP
)

// link carries whole STUN and ChannelData messages between the relay and its
// clients: a UDP socket serves many of them, a stream connection one. Any
// goroutine may call any method.
type link interface {
	transport() string
	// local is the address of the relay that clients speak to.
	local() netip.AddrPort
	// allocation of a client, nil for none.
	allocation(client netip.AddrPort) *allocation
	// setAllocated says that the client of a has it now; false when the client
	// has gone already. setEnded says that a has ended.
	setAllocated(a *allocation) bool
	setEnded(a *allocation)
	// respond sends a response or queues it, without waiting for the client.
	respond(message []byte, to netip.AddrPort)
	// deliver sends data from a peer, by way of b if it can, without waiting.
	deliver(b *udpio.Batch, to netip.AddrPort, d delivery)
}

// delivery is one datagram on its way to a client.
type delivery struct {
	peer    netip.AddrPort
	channel uint16 // 0: none is bound to the peer, the client gets a Data indication
	payload []byte
	tos     uint8
	meters  [2]*udpio.Meter
}

// headerSize is what goes before the payload.
func (d *delivery) headerSize() int {
	switch {
	case d.channel != 0:
		return channelHeader
	case d.peer.Addr().Is4():
		return dataHeader4
	}
	return dataHeader6
}

// appendHeader writes what goes before the payload.
func (d *delivery) appendHeader(b []byte) []byte {
	if d.channel != 0 {
		return appendChannelHeader(b, d.channel, len(d.payload))
	}
	return appendDataHeader(b, d.peer, len(d.payload), newTransactionID())
}
