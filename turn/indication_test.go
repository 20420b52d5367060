package turn

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/pion/stun/v2"
)

var (
	sendIndicationType = stun.NewType(stun.MethodSend, stun.ClassIndication)
	memPeer6           = netip.MustParseAddrPort("[2001:db8::7]:7777")
)

func dataAttribute(data string) stun.RawAttribute {
	return stun.RawAttribute{Type: stun.AttrData, Value: []byte(data)}
}

func attribute(kind stun.AttrType, size int) stun.RawAttribute {
	return stun.RawAttribute{Type: kind, Value: make([]byte, size)}
}

func buildSend(setters ...stun.Setter) []byte {
	return stun.MustBuild(append([]stun.Setter{stun.TransactionID, sendIndicationType}, setters...)...).Raw
}

// changed is raw with other bytes at an offset.
func changed(raw []byte, at int, to ...byte) []byte {
	raw = slices.Clone(raw)
	copy(raw[at:], to)
	return raw
}

func TestParseSend(t *testing.T) {
	peer, peer6, data := peerAddress(memPeer), peerAddress(memPeer6), dataAttribute("hello")
	whole := buildSend(peer, data)
	for _, test := range []struct {
		what string
		raw  []byte
		ok   bool
	}{
		{"usual", whole, true},
		{"other order", buildSend(data, peer), true},
		{"ipv6", buildSend(peer6, data), true},
		{"fingerprint", buildSend(peer, data, stun.Fingerprint), true},
		{"software and others that may be skipped", buildSend(stun.NewSoftware("x"), attribute(0xFFFF, 3), peer, data), true},
		{"second address, malformed", buildSend(peer, data, attribute(stun.AttrXORPeerAddress, 5)), true},
		{"second data", buildSend(peer, data, dataAttribute("other")), true},
		{"integrity", buildSend(peer, data, stun.MessageIntegrity("key")), true},
		{"reserved octet of the address", changed(whole, 24, 7), true},

		{"empty", nil, false},
		{"no header", whole[:19], false},
		{"no attributes", buildSend(), false},
		{"no address", buildSend(data), false},
		{"no data", buildSend(peer), false},
		{"request", changed(whole, 0, 0, 6), false},
		{"Data indication", changed(whole, 0, 0, 0x17), false},
		{"reserved bits", changed(whole, 0, 0x80), false},
		{"other cookie", changed(whole, 7, 0x43), false},
		{"shorter than it says", whole[:len(whole)-4], false},
		{"longer than it says", append(slices.Clone(whole), 0, 0, 0, 0), false},
		{"odd length", changed(whole[:len(whole)-1], 3, byte(len(whole)-1-stunHeader)), false},
		{"overrun", changed(whole, 35, 9), false},
		{"overrun by far", changed(whole, 34, 0xFF, 0xFF), false},
		{"half an attribute header", changed(append(slices.Clone(whole), 0, 0), 3, byte(len(whole)+2-stunHeader)), false},
		{"address of length 0", buildSend(attribute(stun.AttrXORPeerAddress, 0), data), false},
		{"address too short", buildSend(attribute(stun.AttrXORPeerAddress, 7), data), false},
		{"no family", changed(whole, 25, 0), false},
		{"ipv6 in four bytes", changed(whole, 25, 2), false},
		{"ipv4 in sixteen bytes", changed(buildSend(peer6, data), 25, 1), false},
		{"dont-fragment with a value", buildSend(peer, data, attribute(stun.AttrDontFragment, 4)), false},
		{"unknown", buildSend(peer, data, attribute(0x7FFF, 0)), false},
		{"unknown, 64 above a known one", buildSend(peer, data, attribute(stun.AttrData+64, 0)), false},
		{"wrong fingerprint", changed(buildSend(peer, data, stun.Fingerprint), 39, '!'), false},
		{"fingerprint not last", buildSend(peer, stun.Fingerprint, data), false},
		{"empty fingerprint", buildSend(peer, data, attribute(stun.AttrFingerprint, 0)), false},
	} {
		send, ok := parseSend(test.raw)
		if ok != test.ok {
			t.Errorf("%s: got ok %t, want %t", test.what, ok, test.ok)
			continue
		}
		if !ok {
			continue
		}
		if (send.peer != memPeer && send.peer != memPeer6) || string(send.data) != "hello" || send.dontFragment {
			t.Errorf("%s: got %v %q %t", test.what, send.peer, send.data, send.dontFragment)
		}
	}
}

func TestParseSendDetails(t *testing.T) {
	send, ok := parseSend(buildSend(attribute(stun.AttrDontFragment, 0), peerAddress(memPeer), dataAttribute("")))
	if !ok || !send.dontFragment || send.peer != memPeer || len(send.data) != 0 {
		t.Errorf("no data: got %+v, %t", send, ok)
	}
	raw := buildSend(peerAddress(memPeer), dataAttribute("hello"))
	send, _ = parseSend(raw)
	if &send.data[0] != &raw[36] || cap(send.data) != 5 {
		t.Errorf("the data is not a part of the message that ends where it ends: cap %d", cap(send.data))
	}
	// An IPv4-mapped address is left as it is: what it means is for the policy.
	mapped := netip.MustParseAddrPort("[::ffff:10.0.0.1]:7777")
	raw = appendDataHeader(nil, mapped, 0, [stun.TransactionIDSize]byte{1, 2, 3})
	raw[1] = sendType
	if send, ok = parseSend(raw); !ok || send.peer != mapped {
		t.Errorf("got %v, %t, want %v", send.peer, ok, mapped)
	}
}

func TestHasIntegrity(t *testing.T) {
	signed := stun.MustBuild(stun.TransactionID, allocateRequest, stun.NewUsername("u"), stun.MessageIntegrity("key")).Raw
	for _, test := range []struct {
		what string
		raw  []byte
		want bool
	}{
		{"signed", signed, true},
		{"with fingerprint behind", unhex(t, rfc5769Request), true},
		{"SHA-256", stun.MustBuild(stun.TransactionID, allocateRequest, attribute(0x001C, 32)).Raw, false},
		{"none", stun.MustBuild(stun.TransactionID, allocateRequest, stun.NewUsername("u")).Raw, false},
		{"header alone", stunFrame(0), false},
		{"cut", signed[:len(signed)-1], false},
		{"overrun", changed(signed, len(signed)-21, 24), false},
		{"ChannelData", channelFrame(0x4000, 40), false},
		{"nothing", nil, false},
	} {
		if got := hasIntegrity(test.raw); got != test.want {
			t.Errorf("%s: got %t, want %t", test.what, got, test.want)
		}
	}
}

// The table that parseSend uses says the same as the list it is made of.
func TestIsKnown(t *testing.T) {
	for kind := range stun.AttrType(0xFFFF) {
		if got, want := isKnown(kind), slices.Contains(known, kind); got != want {
			t.Errorf("attribute %#x: got %t, want %t", int(kind), got, want)
		}
	}
}

// pionSend reads a Send indication with pion's decoder. stricter names what
// pion takes and parseSend does not.
func pionSend(raw []byte) (peer netip.AddrPort, data []byte, stricter string, ok bool) {
	m := new(stun.Message)
	if _, err := m.Write(raw); err != nil || m.Type != sendIndicationType {
		return peer, nil, "", false
	}
	address, err := m.Get(stun.AttrXORPeerAddress)
	if err != nil || len(address) < 4 { // where pion would panic below 4
		return peer, nil, "", false
	}
	if data, err = m.Get(stun.AttrData); err != nil {
		return peer, nil, "", false
	}
	var unknown, flagValue bool
	for _, a := range m.Attributes {
		// pion reads 0x8020, which may be ignored, as 0x0020, which may not.
		unknown = unknown || a.Type.Required() && !isKnown(a.Type) &&
			a.Type != stun.AttrXORMappedAddress && a.Type != stun.AttrDontFragment
		flagValue = flagValue || a.Type == stun.AttrDontFragment && a.Length > 0
	}
	fingerprint := slices.IndexFunc(m.Attributes, func(a stun.RawAttribute) bool { return a.Type == stun.AttrFingerprint })
	switch {
	case raw[0]&0xC0 != 0:
		stricter = "bits that are zero in STUN"
	case len(m.Raw) != stunHeader+int(m.Length):
		stricter = "bytes behind the message"
	case unknown:
		stricter = "unknown attribute"
	case flagValue:
		stricter = "dont-fragment with a value"
	case m.Contains(stun.AttrXORMappedAddress):
		stricter = "perhaps an unknown attribute"
	case fingerprint >= 0 && (fingerprint != len(m.Attributes)-1 || stun.Fingerprint.Check(m) != nil):
		stricter = "fingerprint"
	case len(address) != map[byte]int{familyIPv4: 8, familyIPv6: 20}[address[1]]:
		stricter = "length of the address"
	}
	address[0] = 0 // to be ignored (RFC 8489 §14.1), which pion does not
	var mapped stun.XORMappedAddress
	if mapped.GetFromAs(m, stun.AttrXORPeerAddress) != nil {
		return peer, nil, "", false
	}
	addr, _ := netip.AddrFromSlice(mapped.IP)
	return netip.AddrPortFrom(addr, uint16(mapped.Port)), data, stricter, true
}

// FuzzParseSend holds parseSend against pion's decoder: what it takes, pion
// takes, with the same meaning, and what it refuses beyond pion has a reason.
// hasIntegrity is held against pion too.
func FuzzParseSend(f *testing.F) {
	for _, raw := range [][]byte{
		buildSend(peerAddress(memPeer), dataAttribute("hello")),
		buildSend(dataAttribute(""), peerAddress(memPeer6), attribute(stun.AttrDontFragment, 0), stun.Fingerprint),
		buildSend(peerAddress(memPeer), dataAttribute("x"), attribute(0x8020, 8)),
		buildSend(peerAddress(memPeer), dataAttribute("x"), attribute(0x7FFF, 1)),
		buildSend(attribute(stun.AttrXORPeerAddress, 2), dataAttribute("x")),
		buildSend(peerAddress(memPeer), dataAttribute("x"), stun.MessageIntegrity("key"), stun.Fingerprint),
		unhex(f, rfc5769Request), unhex(f, rfc5769LongTerm),
		{0, 0x16, 0xFF, 0xEC, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		send, ok := parseSend(raw)
		peer, data, stricter, pionOK := pionSend(raw)
		switch {
		case ok && !pionOK:
			t.Fatalf("%x: taken as %+v, refused by pion", raw, send)
		case ok && (send.peer != peer || !bytes.Equal(send.data, data)):
			t.Fatalf("%x: got %v %x, pion reads %v %x", raw, send.peer, send.data, peer, data)
		case ok != (pionOK && stricter == "") && stricter != "perhaps an unknown attribute":
			t.Fatalf("%x: got ok %t, want it of pion, %t, unless %q", raw, ok, pionOK, stricter)
		}
		m := new(stun.Message)
		_, err := m.Write(raw)
		whole := err == nil && raw[0]&0xC0 == 0 && stunHeader+int(m.Length) == len(raw)
		if got, want := hasIntegrity(raw), whole && m.Contains(stun.AttrMessageIntegrity); got != want {
			t.Errorf("%x: integrity %t, want %t", raw, got, want)
		}
	})
}

// FuzzDataHeader reads what appendDataHeader writes with pion's decoder.
func FuzzDataHeader(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1}, uint16(7777), []byte("hello"), []byte("transaction."))
	f.Add(memPeer6.Addr().AsSlice(), uint16(0), []byte{}, []byte{})
	f.Add(make([]byte, 16), uint16(65535), make([]byte, 1200), make([]byte, 12))
	f.Fuzz(func(t *testing.T, ip []byte, port uint16, data, txid []byte) {
		addr, ok := netip.AddrFromSlice(ip)
		if !ok || len(data) > 65400 {
			return
		}
		var id [stun.TransactionIDSize]byte
		copy(id[:], txid)
		peer := netip.AddrPortFrom(addr, port)
		raw := appendDataHeader([]byte("before"), peer, len(data), id)[6:]
		if want := map[bool]int{true: 36, false: 48}[addr.Is4()]; len(raw) != want {
			t.Errorf("%v: header of %d bytes, want %d", peer, len(raw), want)
		}
		raw = append(append(raw, data...), make([]byte, -len(data)&3)...)
		m := new(stun.Message)
		if !parseSTUN(m, raw) || len(m.Attributes) != 2 {
			t.Fatalf("%x is not read as a message with two attributes", raw)
		}
		if want := stun.NewType(stun.MethodData, stun.ClassIndication); m.Type != want || m.TransactionID != id {
			t.Errorf("got %v %x, want %v %x", m.Type, m.TransactionID, want, id)
		}
		var mapped stun.XORMappedAddress
		if err := mapped.GetFromAs(m, stun.AttrXORPeerAddress); err != nil {
			t.Fatal(err)
		}
		if got, err := m.Get(stun.AttrData); err != nil || !bytes.Equal(got, data) {
			t.Errorf("got data %x, %v; want %x", got, err, data)
		}
		if back, _ := netip.AddrFromSlice(mapped.IP); back != addr || mapped.Port != int(port) {
			t.Errorf("got peer %v, want %v", mapped, peer)
		}
		raw[1] = sendType
		if send, ok := parseSend(raw); !ok || send.peer != peer || !bytes.Equal(send.data, data) {
			t.Errorf("parseSend reads %+v, %t; want %v %x", send, ok, peer, data)
		}
	})
}

func TestAppendChannelHeader(t *testing.T) {
	raw := appendChannelHeader([]byte{9}, 0x4ABC, 1200)
	if want := []byte{9, 0x4A, 0xBC, 1200 >> 8, 1200 & 0xFF}; !bytes.Equal(raw, want) {
		t.Errorf("got %x, want %x", raw, want)
	}
	number, size, ok := parseChannelData(append(raw[1:], make([]byte, 1200)...))
	if number != 0x4ABC || size != 1200 || !ok {
		t.Errorf("read as channel %#x, %d bytes, %t", number, size, ok)
	}
}

// The data path must not allocate, whatever comes.
func TestIndicationsDoNotAllocate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	send := buildSend(peerAddress(memPeer6), dataAttribute("hello"), stun.Fingerprint)
	buffer := make([]byte, 0, 64)
	allocs := testing.AllocsPerRun(1000, func() {
		raw := send[:random.IntN(len(send)+1)]
		if len(raw) >= stunHeader && random.IntN(2) == 0 {
			binary.BigEndian.PutUint16(raw[2:], uint16(len(raw)-stunHeader))
		}
		parseSend(raw)
		hasIntegrity(raw)
		buffer = appendDataHeader(buffer[:0], memPeer6, len(raw), [stun.TransactionIDSize]byte{})
		buffer = appendChannelHeader(buffer[:0], minChannel, len(raw))
	})
	if allocs != 0 {
		t.Errorf("got %v allocations, want 0", allocs)
	}
}

func BenchmarkParseSend(b *testing.B) {
	payload := dataAttribute(string(make([]byte, 160)))
	for _, shape := range []struct {
		what string
		raw  []byte
	}{
		{"ipv4", buildSend(peerAddress(memPeer), payload)},
		{"ipv6", buildSend(peerAddress(memPeer6), payload)},
		{"fingerprint", buildSend(peerAddress(memPeer), payload, stun.Fingerprint)},
	} {
		b.Run(shape.what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if send, ok := parseSend(shape.raw); !ok || len(send.data) != 160 {
					b.Fatal("not parsed")
				}
			}
		})
	}
}

func BenchmarkAppendDataHeader(b *testing.B) {
	for what, peer := range map[string]netip.AddrPort{"ipv4": memPeer, "ipv6": memPeer6} {
		b.Run(what, func(b *testing.B) {
			buffer := make([]byte, 0, 64)
			b.ReportAllocs()
			for b.Loop() {
				buffer = appendDataHeader(buffer[:0], peer, 160, [stun.TransactionIDSize]byte{1, 2, 3})
			}
		})
	}
}

func BenchmarkHasIntegrity(b *testing.B) {
	raw := unhex(b, rfc5769LongTerm)
	b.ReportAllocs()
	for b.Loop() {
		if !hasIntegrity(raw) {
			b.Fatal("not found")
		}
	}
}
