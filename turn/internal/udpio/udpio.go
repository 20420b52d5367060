// Package udpio moves UDP datagrams in batches, for a relay that has many
// sockets and touches each datagram once. A Loop reads its sockets in one
// goroutine, many datagrams a system call, and hands each to the
// socket's Handler. What the handlers send is gathered in a Batch and goes out
// when the loop has handled what it read: datagrams to one address in a row as
// one segmented send (UDP GSO), several addresses of one socket in one system
// call. In steady state nothing is allocated and nothing is copied.
//
// It knows nothing of TURN. On Linux it uses epoll, recvmmsg and sendmmsg on
// sockets that the Go runtime does not know; elsewhere package net.
package udpio

import (
	"net/netip"
	"sync/atomic"
)

const (
	// MaxDatagram is the largest datagram that is received whole. A larger one
	// is dropped and counted as oversize. WebRTC stays below 1500 bytes.
	MaxDatagram = 2048

	// MaxHeader is the most that Batch.Header gives.
	MaxHeader = 64

	// batchSize is how many datagrams are read before what they caused is sent.
	batchSize = 512
)

// Datagram is one received datagram. Data is valid until Handler.Receive
// returns, and after that as long as the Batch has it as a payload.
type Datagram struct {
	From netip.AddrPort // IPv4 as IPv4, without zone
	Data []byte
	TOS  uint8 // DSCP and ECN: the IPv4 TOS or the IPv6 traffic class
}

// Handler takes what a socket receives.
type Handler interface {
	// Receive is called for each datagram, by one goroutine at a time and in
	// the order of arrival. It must not block.
	Receive(b *Batch, d Datagram)
}

// Packet is one datagram to send: Header, Payload and Pad zero bytes. Header
// comes from Batch.Header; Payload must not change until the batch is flushed.
type Packet struct {
	To      netip.AddrPort
	TOS     uint8
	Header  []byte
	Payload []byte
	Pad     int // 0 to 3
	// Whole forbids to send it in fragments: it fails if it is larger than the
	// path takes in one piece.
	Whole bool
	// The meters that count Payload once the kernel has taken the packet, or lose
	// it. Either may be nil.
	Meters [2]*Meter
}

func (p *Packet) size() int { return len(p.Header) + len(p.Payload) + p.Pad }

// Meter counts payload. The zero value is ready.
type Meter struct {
	Parent *Meter // counts the same; set before the first Add, may be nil
	// Lost hears of payload that would have been counted and was not sent; set
	// before the first packet, may be nil. It must not block.
	Lost           func(bytes int)
	packets, bytes atomic.Uint64
}

// Add counts packets with so many bytes in all. Any goroutine may call it.
func (m *Meter) Add(packets, bytes int) {
	for ; m != nil; m = m.Parent {
		m.packets.Add(uint64(packets))
		m.bytes.Add(uint64(bytes))
	}
}

// Lose says that so many bytes of payload are not sent. Any goroutine may call it.
func (m *Meter) Lose(bytes int) {
	if m != nil && m.Lost != nil {
		m.Lost(bytes)
	}
}

// Packets is how many were counted.
func (m *Meter) Packets() uint64 { return m.packets.Load() }

// Bytes is how many bytes were counted.
func (m *Meter) Bytes() uint64 { return m.bytes.Load() }

// Counters are what loops and batches count together.
type Counters struct {
	Oversize   atomic.Uint64 // datagrams received that were larger than MaxDatagram
	Overflowed atomic.Uint64 // datagrams the kernel dropped because a receive buffer was full
	BufferFull atomic.Uint64 // packets not sent because the send buffer was full
	SendFailed atomic.Uint64 // packets that the kernel refused for another reason
	ReadErrors atomic.Uint64 // failed reads, each survived
	Segmented  atomic.Uint64 // packets that went out as part of a segmented send
}

// Options are for Listen.
type Options struct {
	// ReusePort lets several sockets share one address. The kernel gives each
	// of them the datagrams of some sources, always the same while the number
	// of sockets does not change.
	ReusePort bool
	// The buffers are asked of the kernel, in bytes; it gives what the process
	// may have.
	ReceiveBuffer, SendBuffer int
	Counters                  *Counters // nil: not counted
}
