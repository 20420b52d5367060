package turn

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v2"
)

// Attributes that pion/stun has no name for.
const (
	attrAdditionalAddressFamily stun.AttrType = 0x8000 // RFC 8656 §18.11
	attrAddressErrorCode        stun.AttrType = 0x8001 // RFC 8656 §18.12
	// attrCoturnAdditionalFamily is the number that coturn gave to
	// ADDITIONAL-ADDRESS-FAMILY before there was one. Its client sends no other.
	attrCoturnAdditionalFamily stun.AttrType = 0x8032
)

// protocolUDP is the REQUESTED-TRANSPORT that is served (RFC 8656 §18.6).
const protocolUDP = 17

// Address families of REQUESTED-ADDRESS-FAMILY (RFC 8656 §18.8).
const (
	familyIPv4 = 1
	familyIPv6 = 2
)

// known are the comprehension-required attributes that are understood in some
// request. Any other one is refused with 420 (RFC 8489 §6.3.1).
var known = []stun.AttrType{
	stun.AttrUsername, stun.AttrMessageIntegrity, stun.AttrRealm, stun.AttrNonce,
	stun.AttrChannelNumber, stun.AttrLifetime, stun.AttrXORPeerAddress, stun.AttrData,
	stun.AttrRequestedAddressFamily, stun.AttrEvenPort, stun.AttrRequestedTransport,
	stun.AttrReservationToken, stun.AttrDontFragment,
}

// maxUnknown is how many attributes a 420 names. Clients that exist send one or
// two that are not understood, so eight leaves nothing out that matters; but a
// message has room for hundreds, each to be compared with all before, and this
// is done for requests that nobody has signed.
const maxUnknown = 8

// unknownAttributes lists the comprehension-required attributes of m that are
// not understood, the first maxUnknown of them.
func unknownAttributes(m *stun.Message) stun.UnknownAttributes {
	var unknown stun.UnknownAttributes
	for _, a := range m.Attributes {
		if len(unknown) == maxUnknown {
			break
		}
		if a.Type.Required() && !slices.Contains(known, a.Type) && !slices.Contains(unknown, a.Type) {
			unknown = append(unknown, a.Type)
		}
	}
	return unknown
}

// parseSTUN reads a STUN message into m, which keeps a copy of the bytes. The
// message must fill raw and a FINGERPRINT must be right and last.
func parseSTUN(m *stun.Message, raw []byte) bool {
	if _, ok := peekType(raw); !ok {
		return false
	}
	if _, err := m.Write(raw); err != nil {
		return false
	}
	i := slices.IndexFunc(m.Attributes, func(a stun.RawAttribute) bool { return a.Type == stun.AttrFingerprint })
	return i < 0 || i == len(m.Attributes)-1 && stun.Fingerprint.Check(m) == nil
}

// dropUnsigned removes the attributes behind MESSAGE-INTEGRITY, which anyone
// may have put there (RFC 8489 §14.5). Call it after the check.
func dropUnsigned(m *stun.Message) {
	i := slices.IndexFunc(m.Attributes, func(a stun.RawAttribute) bool { return a.Type == stun.AttrMessageIntegrity })
	m.Attributes = m.Attributes[:i+1]
}

// parseChannelData checks a ChannelData message and returns its number and the
// size of its data. Over UDP it may come with padding or without (RFC 8656 §12.5).
func parseChannelData(raw []byte) (number uint16, size int, ok bool) {
	if len(raw) < channelHeader {
		return 0, 0, false
	}
	size = int(binary.BigEndian.Uint16(raw[2:4]))
	return binary.BigEndian.Uint16(raw), size, channelHeader+size <= len(raw)
}

// xorAddress reads the value of an attribute like XOR-PEER-ADDRESS (RFC 8489
// §14.2). pion's own reader indexes into values that are too short.
func xorAddress(value []byte, id [stun.TransactionIDSize]byte) (netip.AddrPort, bool) {
	if len(value) != 8 && len(value) != 20 {
		return netip.AddrPort{}, false
	}
	port := binary.BigEndian.Uint16(value[2:]) ^ magicCookie>>16
	first := binary.BigEndian.Uint32(value[4:]) ^ magicCookie
	switch {
	case value[1] == familyIPv4 && len(value) == 8:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(first >> 24), byte(first >> 16), byte(first >> 8), byte(first)}), port), true
	case value[1] == familyIPv6 && len(value) == 20:
		var addr [16]byte
		binary.BigEndian.PutUint32(addr[:], first)
		for i, b := range id {
			addr[4+i] = value[8+i] ^ b
		}
		return netip.AddrPortFrom(netip.AddrFrom16(addr), port), true
	}
	return netip.AddrPort{}, false
}

// peerAddresses reads every XOR-PEER-ADDRESS of m; ok is false when there is
// none or one is malformed.
func peerAddresses(m *stun.Message) (peers []netip.AddrPort, ok bool) {
	for _, a := range m.Attributes {
		if a.Type != stun.AttrXORPeerAddress {
			continue
		}
		peer, ok := xorAddress(a.Value, m.TransactionID)
		if !ok {
			return nil, false
		}
		peers = append(peers, peer)
	}
	return peers, len(peers) > 0
}

// fixed returns the value of an attribute that must be size bytes long.
// present tells a missing attribute from a malformed one.
func fixed(m *stun.Message, t stun.AttrType, size int) (value []byte, present, ok bool) {
	a, found := m.Attributes.Get(t)
	if !found {
		return nil, false, true
	}
	return a.Value, true, len(a.Value) == size
}

// lifetimeOf is the lifetime that a request gets: what it asks for, within the
// limits (RFC 8656 §7.2). A Refresh may ask for 0, the end.
func lifetimeOf(m *stun.Message, refresh bool) (time.Duration, bool) {
	value, present, ok := fixed(m, stun.AttrLifetime, 4)
	if !present || !ok {
		return minLifetime, ok
	}
	asked := time.Duration(binary.BigEndian.Uint32(value)) * time.Second
	if asked == 0 && refresh {
		return 0, true
	}
	return min(max(asked, minLifetime), maxLifetime), true
}

func lifetimeAttribute(d time.Duration) stun.RawAttribute {
	return stun.RawAttribute{
		Type:  stun.AttrLifetime,
		Value: binary.BigEndian.AppendUint32(nil, uint32(d/time.Second)),
	}
}
