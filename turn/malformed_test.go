package turn_test

import (
	"encoding/binary"
	"slices"

	"github.com/pion/stun/v2"

	"signalbox/turn/turntest"
)

// malformedMessage is what a broken or hostile client sends.
type malformedMessage struct {
	what string
	raw  []byte
	code int    // of the error that it is answered with; 0: of none
	drop string // the reason for which it is dropped when it is not answered
}

// edit returns raw with other bytes at an offset.
func edit(raw []byte, at int, to ...byte) []byte {
	raw = slices.Clone(raw)
	copy(raw[at:], to)
	return raw
}

// extend returns a message with bytes behind, which its length counts.
func extend(raw []byte, more ...byte) []byte {
	raw = append(slices.Clone(raw), more...)
	binary.BigEndian.PutUint16(raw[2:], uint16(len(raw)-20))
	return raw
}

// malformed are messages that are wrong whoever sends them. None is signed.
func malformed() []malformedMessage {
	request := func(method stun.Method, setters ...stun.Setter) []byte {
		return stun.MustBuild(append([]stun.Setter{stun.TransactionID, turntest.Method(method)}, setters...)...).Raw
	}
	of := func(method stun.Method, class stun.MessageClass) []byte {
		return stun.MustBuild(stun.TransactionID, stun.NewType(method, class)).Raw
	}
	allocate, binding := request(stun.MethodAllocate, turntest.UDPTransport), request(stun.MethodBinding)
	marked := request(stun.MethodBinding, stun.NewSoftware("test"), stun.Fingerprint)
	print := marked[len(marked)-8:]
	return []malformedMessage{
		{what: "nothing", raw: []byte{}, drop: "malformed"},
		{what: "one byte", raw: []byte{0}, drop: "malformed"},
		{what: "a byte short of a header", raw: binding[:19], drop: "malformed"},
		{what: "twenty zeros", raw: make([]byte, 20), drop: "malformed"},
		{what: "text", raw: []byte("GET / HTTP/1.1\r\n\r\n  "), drop: "malformed"},
		{what: "rtp", raw: append([]byte{0x80, 96}, make([]byte, 30)...), drop: "malformed"},
		{what: "dtls", raw: append([]byte{22, 254, 253}, make([]byte, 30)...), drop: "malformed"},
		{what: "of RFC 3489, without the cookie", raw: edit(binding, 4, 1, 2, 3, 4), drop: "malformed"},
		{what: "another cookie", raw: edit(binding, 7, 0x43), drop: "malformed"},
		{what: "upper reserved bit", raw: edit(binding, 0, 0x80), drop: "malformed"},
		{what: "both reserved bits", raw: edit(binding, 0, 0xC0), drop: "malformed"},
		{what: "longer than it is", raw: edit(binding, 2, 0, 4), drop: "malformed"},
		{what: "shorter than it is", raw: edit(allocate, 2, 0, 4), drop: "malformed"},
		{what: "a length of 65535", raw: edit(allocate, 2, 0xFF, 0xFF), drop: "malformed"},
		{what: "a length that wraps", raw: edit(allocate, 2, 0xFF, 0xEC), drop: "malformed"},
		{what: "a length that is no multiple of four", raw: extend(binding, 0), drop: "malformed"},
		{what: "half an attribute header", raw: extend(allocate, 0x80, 0x22), drop: "malformed"},
		{what: "an attribute without its padding", raw: extend(allocate, 0x80, 0x22, 0, 1, 'x'), drop: "malformed"},
		{what: "an attribute a word too long", raw: extend(binding, 0x80, 0x22, 0, 8, 1, 2, 3, 4), drop: "malformed"},
		{what: "an attribute of 65535 bytes", raw: extend(binding, 0x80, 0x22, 0xFF, 0xFF), drop: "malformed"},
		{what: "wrong fingerprint", raw: edit(marked, len(marked)-1, ^marked[len(marked)-1]), drop: "malformed"},
		{what: "fingerprint of another message", raw: extend(binding, print...), drop: "malformed"},
		{what: "fingerprint not last", raw: extend(marked, 0x80, 0x22, 0, 0), drop: "malformed"},
		{what: "fingerprint twice", raw: extend(marked, print...), drop: "malformed"},
		{what: "fingerprint of no bytes", raw: extend(binding, 0x80, 0x28, 0, 0), drop: "malformed"},
		{what: "fingerprint of eight bytes", raw: extend(binding, 0x80, 0x28, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8), drop: "malformed"},
		{what: "larger than any message", raw: extend(binding, append([]byte{0x80, 0x22, 0x0B, 0xB8}, make([]byte, 3000)...)...), drop: "oversize"},

		{what: "unknown attribute", raw: request(stun.MethodBinding, raw(0x7abc)), code: 420},
		{what: "many unknown attributes", raw: request(stun.MethodBinding, unknownOnes(400)), code: 420},
		{what: "an attribute of 0x0000", raw: request(stun.MethodBinding, raw(0)), code: 420},

		{what: "allocate of nothing", raw: request(stun.MethodAllocate), code: 401},
		{what: "transport twice", raw: request(stun.MethodAllocate, turntest.UDPTransport, raw(stun.AttrRequestedTransport, 6, 0, 0, 0)), code: 401},
		{what: "username of no bytes", raw: request(stun.MethodAllocate, raw(stun.AttrUsername)), code: 401},
		{what: "refresh", raw: request(stun.MethodRefresh), code: 401},
		{what: "permission", raw: request(stun.MethodCreatePermission), code: 401},
		{what: "channel", raw: request(stun.MethodChannelBind), code: 401},
		{what: "integrity of no bytes", raw: request(stun.MethodAllocate, raw(stun.AttrMessageIntegrity)), code: 400},
		{what: "integrity of zeros and nobody's name", raw: request(stun.MethodRefresh, raw(stun.AttrMessageIntegrity, make([]byte, 20)...)), code: 400},

		{what: "an answer to a binding", raw: of(stun.MethodBinding, stun.ClassSuccessResponse), drop: "unexpected"},
		{what: "an error", raw: of(stun.MethodAllocate, stun.ClassErrorResponse), drop: "unexpected"},
		{what: "indication of a request", raw: of(stun.MethodAllocate, stun.ClassIndication), drop: "unexpected"},
		{what: "request of an indication", raw: of(stun.MethodSend, stun.ClassRequest), drop: "unexpected"},
		{what: "Data indication", raw: of(stun.MethodData, stun.ClassIndication), drop: "unexpected"},
		{what: "tcp relay, connect", raw: of(stun.MethodConnect, stun.ClassRequest), drop: "unexpected"},
		{what: "a method of nobody", raw: of(0xFFF, stun.ClassRequest), drop: "unexpected"},
		{what: "a method close to those there are", raw: of(0x00F, stun.ClassRequest), drop: "unexpected"},
	}
}

// unknownOnes are so many attributes that nobody knows.
type unknownOnes int

// AddTo makes unknownOnes a stun.Setter.
func (n unknownOnes) AddTo(m *stun.Message) error {
	for i := range n {
		m.Add(stun.AttrType(0x7000+i), nil)
	}
	return nil
}

// malformedData are messages for a peer of a client with an allocation, a
// channel 0x4000 and a permission for peer, that reach nobody.
func malformedData(peer turntest.Peer) []malformedMessage {
	send := func(setters ...stun.Setter) []byte {
		return stun.MustBuild(append([]stun.Setter{
			stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		}, setters...)...).Raw
	}
	data := raw(stun.AttrData, 'x')
	return []malformedMessage{
		{what: "channel header of three bytes", raw: []byte{0x40, 0, 0}, drop: "malformed"},
		{what: "channel data a byte short", raw: []byte{0x40, 0, 0, 4, 1, 2, 3}, drop: "malformed"},
		{what: "channel data of 65535 bytes", raw: []byte{0x40, 0, 0xFF, 0xFF, 1, 2, 3, 4}, drop: "malformed"},
		{what: "channel that is not bound", raw: []byte{0x40, 1, 0, 4, 1, 2, 3, 4}, drop: "no_channel"},
		{what: "empty, on a channel that is not bound", raw: []byte{0x4F, 0xFF, 0, 0}, drop: "no_channel"},
		{what: "channel of RFC 5766 that is not bound", raw: []byte{0x7F, 0xFF, 0, 4, 1, 2, 3, 4}, drop: "no_channel"},

		{what: "send of nothing", raw: send(), drop: "malformed"},
		{what: "send without data", raw: send(peer), drop: "malformed"},
		{what: "send to nobody", raw: send(data), drop: "malformed"},
		{what: "peer of no bytes", raw: send(raw(stun.AttrXORPeerAddress), data), drop: "malformed"},
		{what: "peer of four bytes", raw: send(raw(stun.AttrXORPeerAddress, 0, 1, 2, 3), data), drop: "malformed"},
		{what: "peer of family 0", raw: send(raw(stun.AttrXORPeerAddress, 0, 0, 1, 2, 3, 4, 5, 6), data), drop: "malformed"},
		{what: "peer of family 255", raw: send(raw(stun.AttrXORPeerAddress, 0, 255, 1, 2, 3, 4, 5, 6), data), drop: "malformed"},
		{what: "ipv6 peer of four bytes", raw: send(raw(stun.AttrXORPeerAddress, 0, 2, 1, 2, 3, 4, 5, 6), data), drop: "malformed"},
		{what: "ipv4 peer of sixteen bytes", raw: send(raw(stun.AttrXORPeerAddress, append([]byte{0, 1}, make([]byte, 18)...)...), data), drop: "malformed"},
		{what: "malformed peer before a right one", raw: send(raw(stun.AttrXORPeerAddress), peer, data), drop: "malformed"},
		{what: "send with an unknown attribute", raw: send(peer, data, raw(0x7abc)), drop: "malformed"},
		{what: "don't fragment with a value", raw: send(peer, data, raw(stun.AttrDontFragment, 0, 0, 0, 0)), drop: "malformed"},
		{what: "data that is longer than it is", raw: edit(send(peer, data), 35, 9), drop: "malformed"},
		{what: "send with a wrong fingerprint", raw: extend(send(peer, data), 0x80, 0x28, 0, 4, 1, 2, 3, 4), drop: "malformed"},
	}
}

// malformedRequests are signed requests of a client with an allocation and
// the errors that they get.
func malformedRequests(peer turntest.Peer) []signedRequest {
	number := turntest.Channel(0x4001)
	var long []byte
	for range 763 {
		long = append(long, 'x')
	}
	return []signedRequest{
		{"lifetime of no bytes", stun.MethodRefresh, []stun.Setter{raw(stun.AttrLifetime)}, 400},
		{"lifetime of eight bytes", stun.MethodRefresh, []stun.Setter{raw(stun.AttrLifetime, 0, 0, 0, 0, 0, 0, 0, 0)}, 400},
		{"family of no bytes", stun.MethodRefresh, []stun.Setter{raw(stun.AttrRequestedAddressFamily)}, 400},
		{"peer of no bytes", stun.MethodCreatePermission, []stun.Setter{raw(stun.AttrXORPeerAddress)}, 400},
		{"peer of 763 bytes", stun.MethodCreatePermission, []stun.Setter{raw(stun.AttrXORPeerAddress, long...)}, 400},
		{"a right peer and a malformed one", stun.MethodCreatePermission, []stun.Setter{peer, raw(stun.AttrXORPeerAddress, 0, 1)}, 400},
		{"unknown attribute beside a peer", stun.MethodCreatePermission, []stun.Setter{peer, raw(0x7abc)}, 420},
		{"channel number of no bytes", stun.MethodChannelBind, []stun.Setter{raw(stun.AttrChannelNumber), peer}, 400},
		{"channel number of two bytes", stun.MethodChannelBind, []stun.Setter{raw(stun.AttrChannelNumber, 0x40, 1), peer}, 400},
		{"channel with a malformed peer", stun.MethodChannelBind, []stun.Setter{number, raw(stun.AttrXORPeerAddress, 0, 1, 2)}, 400},
		{"malformed channel before a right one", stun.MethodChannelBind, []stun.Setter{raw(stun.AttrChannelNumber), number, peer}, 400},
	}
}

// signedRequest is a request that is right but for its attributes.
type signedRequest struct {
	what    string
	method  stun.Method
	setters []stun.Setter
	code    int
}
