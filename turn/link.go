package turn

import (
	"net/netip"
)

// Transports between client and relay.
const (
	transportUDP = "udp"
	transportTCP = "tcp"
	transportTLS = "tls" // over TCP
)

// link carries whole STUN and ChannelData messages between the relay and its
// clients: a UDP socket serves many of them, a TCP connection one. One
// goroutine reads; any may write or close.
type link interface {
	// read waits for the next message and puts it into p, which has room for
	// more than maxMessage bytes. ok is false when the link has ended.
	read(p []byte) (n int, from netip.AddrPort, ok bool)
	// write sends message or queues it, without waiting for the client.
	// A response may use room that is kept from data.
	write(message []byte, to netip.AddrPort, response bool)
	// setAllocated tells whether a client of the link has an allocation.
	setAllocated(bool)
	close(reason closeReason)
}
