//go:build linux

package main

import (
	"encoding/binary"
	"net/netip"
)

// method is how a client sends to its peer.
type method string

const (
	channelData method = "ChannelData"
	sendData    method = "Send"
	bare        method = "bare" // no framing: what the forwarder takes
)

const (
	magicCookie    = 0x2112A442 // RFC 8489 §5
	sendIndication = 0x0016     // RFC 8656 §17
	attrPeerAddr   = 0x0012
	attrData       = 0x0013
	firstChannel   = 0x4000
	stunHeaderSize = 20
)

// stamp is what each payload begins with.
type stamp struct {
	run  uint32 // tells the packets of one measurement from stragglers
	flow uint16
	down bool // from the peer
	seq  uint64
}

const (
	stampSize  = 20
	stampMagic = 0xB5E7B5E7 // begins with bits that no STUN message or channel has
)

func (s stamp) put(p []byte) {
	binary.BigEndian.PutUint32(p, stampMagic)
	binary.BigEndian.PutUint32(p[4:], s.run)
	binary.BigEndian.PutUint16(p[8:], s.flow)
	p[10], p[11] = 0, 0
	if s.down {
		p[10] = 1
	}
	binary.BigEndian.PutUint64(p[12:], s.seq)
}

// readStamp reads the stamp at the start of p.
func readStamp(p []byte) (s stamp, ok bool) {
	if len(p) < stampSize || binary.BigEndian.Uint32(p) != stampMagic {
		return stamp{}, false
	}
	return stamp{
		run:  binary.BigEndian.Uint32(p[4:]),
		flow: binary.BigEndian.Uint16(p[8:]),
		down: p[10] == 1,
		seq:  binary.BigEndian.Uint64(p[12:]),
	}, true
}

// frameHeader is what a client puts before a payload of size bytes, which must
// be a multiple of four: nothing is padded.
func (m method) frameHeader(peer netip.AddrPort, size int) []byte {
	switch m {
	case channelData:
		return binary.BigEndian.AppendUint16([]byte{firstChannel >> 8, firstChannel & 0xFF}, uint16(size))
	case sendData:
		h := binary.BigEndian.AppendUint16(nil, sendIndication)
		h = binary.BigEndian.AppendUint16(h, uint16(12+4+size))
		h = binary.BigEndian.AppendUint32(h, magicCookie)
		h = append(h, "transaction."...)
		h = binary.BigEndian.AppendUint16(h, attrPeerAddr)
		h = binary.BigEndian.AppendUint16(h, 8)
		h = append(h, xorAddr(peer)...)
		h = binary.BigEndian.AppendUint16(h, attrData)
		return binary.BigEndian.AppendUint16(h, uint16(size))
	}
	return nil
}

// xorAddr is the value of XOR-PEER-ADDRESS for an IPv4 address (RFC 8489 §14.2).
func xorAddr(addr netip.AddrPort) []byte {
	v := binary.BigEndian.AppendUint16([]byte{0, 1}, addr.Port()^(magicCookie>>16))
	ip := addr.Addr().As4()
	return binary.BigEndian.AppendUint32(v, binary.BigEndian.Uint32(ip[:])^magicCookie)
}

// payloadAt finds the payload of what a client received: its offset and length.
// Servers put the attributes of a Data indication in an order of their own.
func payloadAt(p []byte) (offset, length int, ok bool) {
	switch {
	case len(p) < 4:
		return 0, 0, false
	case p[0] >= 0x80:
		return 0, len(p), true
	case p[0] >= 0x40:
		return 4, int(binary.BigEndian.Uint16(p[2:])), true
	}
	for at := stunHeaderSize; at+4 <= len(p); {
		length := int(binary.BigEndian.Uint16(p[at+2:]))
		if binary.BigEndian.Uint16(p[at:]) == attrData {
			return at + 4, length, at+4+length <= len(p)
		}
		at += 4 + (length+3)&^3
	}
	return 0, 0, false
}
