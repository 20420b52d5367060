package turn

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"

	"github.com/pion/stun/v2"
)

// What carries the data of calls is read and written here, once per packet and
// without allocating. pion/stun reads everything else.

const (
	bindingType = 0x0001 // Binding request (RFC 8489 §18.2)
	sendType    = 0x0016 // Send indication (RFC 8656 §17)
	dataType    = 0x0017 // Data indication

	attributeHeader = 4 // RFC 8489 §14

	fingerprintMask = 0x5354554E // RFC 8489 §14.7

	// dataHeader4 and dataHeader6 are the sizes of what appendDataHeader
	// writes for a peer of either family.
	dataHeader4 = stunHeader + attributeHeader + 8 + attributeHeader
	dataHeader6 = stunHeader + attributeHeader + 20 + attributeHeader
)

// sendIndication is what a Send indication asks for (RFC 8656 §11.1).
type sendIndication struct {
	peer         netip.AddrPort // as the client spelled it
	data         []byte         // part of the message
	dontFragment bool
}

// parseSend reads a Send indication, which must fill raw. It is strict: raw is
// refused without XOR-PEER-ADDRESS or DATA, with an attribute that is
// malformed, overruns raw or is comprehension-required and not known in
// requests either, and with a FINGERPRINT that is wrong or not last. Of equal
// attributes the first counts (RFC 8489 §14).
func parseSend(raw []byte) (send sendIndication, ok bool) {
	if kind, ok := peekType(raw); !ok || kind != sendType {
		return sendIndication{}, false
	}
	for rest := raw[stunHeader:]; len(rest) > 0; {
		kind, value, next := cutAttribute(rest)
		if next == nil {
			return sendIndication{}, false
		}
		switch kind {
		case stun.AttrXORPeerAddress:
			if send.peer.IsValid() {
				break
			}
			if send.peer, ok = xorAddress(value, [stun.TransactionIDSize]byte(raw[8:stunHeader])); !ok {
				return sendIndication{}, false
			}
		case stun.AttrData:
			if send.data == nil {
				send.data = value
			}
		case stun.AttrDontFragment:
			if len(value) != 0 {
				return sendIndication{}, false
			}
			send.dontFragment = true
		case stun.AttrFingerprint:
			if len(next) > 0 || !isFingerprint(value, raw[:len(raw)-len(rest)]) {
				return sendIndication{}, false
			}
		default:
			if kind.Required() && !isKnown(kind) {
				return sendIndication{}, false
			}
		}
		rest = next
	}
	return send, send.peer.IsValid() && send.data != nil
}

// peekType returns the type of a STUN message, method and class, without
// reading its attributes. It is not ok unless raw begins with the header of a
// message that fills it (RFC 8489 §5).
func peekType(raw []byte) (kind uint16, ok bool) {
	if len(raw) < stunHeader || raw[0]&0xC0 != 0 || stunHeader+int(binary.BigEndian.Uint16(raw[2:])) != len(raw) ||
		binary.BigEndian.Uint32(raw[4:]) != magicCookie {
		return 0, false
	}
	return binary.BigEndian.Uint16(raw), true
}

// isRequest says whether a type has the class of requests (RFC 8489 §5).
func isRequest(kind uint16) bool { return kind&0x0110 == 0 }

// hasIntegrity says whether raw is a STUN message with whole attributes, one
// of which is MESSAGE-INTEGRITY: a request without one is not worth a queue.
// Whether it is right is not looked at.
func hasIntegrity(raw []byte) bool {
	if _, ok := peekType(raw); !ok {
		return false
	}
	found := false
	for rest := raw[stunHeader:]; len(rest) > 0; {
		kind, _, next := cutAttribute(rest)
		if next == nil {
			return false
		}
		found = found || kind == stun.AttrMessageIntegrity
		rest = next
	}
	return found
}

// cutAttribute cuts the first attribute and its padding off b (RFC 8489 §14).
// rest is nil when b ends before the attribute does, and empty but not nil when
// both end together; an empty value is not nil either.
func cutAttribute(b []byte) (kind stun.AttrType, value, rest []byte) {
	if len(b) < attributeHeader {
		return 0, nil, nil
	}
	end := attributeHeader + int(binary.BigEndian.Uint16(b[2:]))
	next := (end + 3) &^ 3
	if next > len(b) {
		return 0, nil, nil
	}
	return stun.AttrType(binary.BigEndian.Uint16(b)), b[attributeHeader:end:end], b[next:]
}

// isFingerprint checks the value of a FINGERPRINT that follows message, whose
// length counts the FINGERPRINT already (RFC 8489 §14.7).
func isFingerprint(value, message []byte) bool {
	return len(value) == 4 &&
		binary.BigEndian.Uint32(value) == crc32.ChecksumIEEE(message)^fingerprintMask
}

// isKnown is a look into known that costs no loop.
func isKnown(kind stun.AttrType) bool {
	return kind < 64 && knownBits>>kind&1 == 1
}

// knownBits has a bit for each attribute in known; all are below 64.
var knownBits = func() (bits uint64) {
	for _, kind := range known {
		bits |= 1 << kind
	}
	return bits
}()

// appendDataHeader appends a Data indication up to its payload: the header,
// XOR-PEER-ADDRESS and the header of DATA (RFC 8656 §11.3). The payload of size
// bytes, below 65,500, and -size&3 bytes of padding follow on the wire. An
// IPv4-mapped peer is written as an IPv6 one.
func appendDataHeader(b []byte, peer netip.AddrPort, size int, id [stun.TransactionIDSize]byte) []byte {
	var h [dataHeader6]byte
	total, family, addr := dataHeader4, byte(familyIPv4), peer.Addr()
	if !addr.Is4() {
		total, family = dataHeader6, familyIPv6
	}
	binary.BigEndian.PutUint16(h[0:], dataType)
	binary.BigEndian.PutUint16(h[2:], uint16(total-stunHeader+(size+3)&^3))
	binary.BigEndian.PutUint32(h[4:], magicCookie)
	copy(h[8:stunHeader], id[:])

	attribute := h[stunHeader : total-attributeHeader]
	binary.BigEndian.PutUint16(attribute[0:], uint16(stun.AttrXORPeerAddress))
	binary.BigEndian.PutUint16(attribute[2:], uint16(len(attribute)-attributeHeader))
	attribute[5] = family
	binary.BigEndian.PutUint16(attribute[6:], peer.Port()^magicCookie>>16)
	if addr.Is4() {
		ip := addr.As4()
		binary.BigEndian.PutUint32(attribute[8:], binary.BigEndian.Uint32(ip[:])^magicCookie)
	} else {
		ip := addr.As16()
		// The mask is the cookie and the transaction id, as they stand in the header.
		for i := 0; i < len(ip); i += 4 {
			binary.BigEndian.PutUint32(attribute[8+i:],
				binary.BigEndian.Uint32(ip[i:])^binary.BigEndian.Uint32(h[4+i:]))
		}
	}
	binary.BigEndian.PutUint16(h[total-attributeHeader:], uint16(stun.AttrData))
	binary.BigEndian.PutUint16(h[total-2:], uint16(size))
	return append(b, h[:total]...)
}

// appendChannelHeader appends the header of a ChannelData message with size
// bytes of data, at most 65,535 (RFC 8656 §12.4).
func appendChannelHeader(b []byte, number uint16, size int) []byte {
	return append(b, byte(number>>8), byte(number), byte(size>>8), byte(size))
}
