package turn

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v2"
)

// The sample messages of RFC 5769 §2.1 to §2.4.
const (
	rfc5769Request = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74" +
		"002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020" +
		"000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
	rfc5769ResponseIPv4 = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220" +
		"002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
	rfc5769ResponseIPv6 = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220" +
		"002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9" +
		"00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
	rfc5769LongTerm = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b90000" +
		"0015001c662f2f3439396b39353464364f4c33346f4c3946535476793634734100" +
		"14000b6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666"

	rfc5769Password = "VOkJxbRl1RmTxUk/WvJxBt"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestRFC5769(t *testing.T) {
	short := []byte(rfc5769Password)
	for _, test := range []struct {
		what, message string
		key           []byte
		mapped        string
	}{
		{"request", rfc5769Request, short, ""},
		{"response over IPv4", rfc5769ResponseIPv4, short, "192.0.2.1:32853"},
		{"response over IPv6", rfc5769ResponseIPv6, short, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"},
		{"long-term credentials", rfc5769LongTerm, longTermKey("マトリックス", "example.org", "TheMatrIX"), ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			raw := unhex(t, test.message)
			m := new(stun.Message)
			if !parseSTUN(m, raw) {
				t.Fatal("not parsed")
			}
			if err := stun.MessageIntegrity(test.key).Check(m); err != nil {
				t.Error(err)
			}
			if value, err := m.Get(stun.AttrXORMappedAddress); test.mapped != "" {
				if addr, ok := xorAddress(value, m.TransactionID); err != nil || !ok || addr.String() != test.mapped {
					t.Errorf("mapped address %v, want %s", addr, test.mapped)
				}
			}
			// Any changed byte shows, in the fingerprint or the signature. Only the
			// type of the fingerprint is in neither: behind the signature, where
			// dropUnsigned takes any attribute away.
			for i := range raw {
				if m.Contains(stun.AttrFingerprint) && (i == len(raw)-8 || i == len(raw)-7) {
					continue
				}
				changed := slices.Clone(raw)
				changed[i] ^= 1
				if c := new(stun.Message); parseSTUN(c, changed) && stun.MessageIntegrity(test.key).Check(c) == nil {
					t.Errorf("byte %d changed and nobody notices", i)
				}
			}
			if parseSTUN(m, raw[:len(raw)-4]) || parseSTUN(m, append(raw, 0, 0, 0, 0)) {
				t.Error("a message that does not fill its datagram was parsed")
			}
		})
	}
}

// The numbers of the RFCs that are written out here, and that every code has a
// reason phrase in the library.
func TestProtocolConstants(t *testing.T) {
	for what, n := range map[string][2]int{
		"first channel, RFC 8656 §12":                {minChannel, 0x4000},
		"last channel, RFC 8656 §12":                 {maxChannel, 0x4FFF},
		"last channel, RFC 5766 §11":                 {maxLegacyChannel, 0x7FFF},
		"magic cookie, RFC 8489 §5":                  {magicCookie, 0x2112A442},
		"ADDITIONAL-ADDRESS-FAMILY, RFC 8656 §18.11": {int(attrAdditionalAddressFamily), 0x8000},
		"permission lifetime in s, RFC 8656 §9":      {int(permissionLifetime.Seconds()), 300},
		"channel lifetime in s, RFC 8656 §12":        {int(channelLifetime.Seconds()), 600},
	} {
		if n[0] != n[1] {
			t.Errorf("%s: got %d, want %d", what, n[0], n[1])
		}
	}
	for _, code := range refusalCodes {
		m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassErrorResponse), code)
		if err != nil {
			t.Errorf("code %d: %v", code, err)
		} else if m.Raw[0] != responseByte {
			t.Errorf("code %d: response begins with %#x", code, m.Raw[0])
		}
	}
}

func FuzzXORAddress(f *testing.F) {
	f.Add([]byte{0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43}, []byte("transaction."))
	f.Add(make([]byte, 20), []byte("transaction."))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, value, id []byte) {
		var txid [stun.TransactionIDSize]byte
		copy(txid[:], id)
		addr, ok := xorAddress(value, txid)
		if !ok {
			return
		}
		m, err := stun.Build(stun.NewTransactionIDSetter(txid), peerAddress(addr))
		if err != nil {
			t.Fatal(err)
		}
		again, err := m.Get(stun.AttrXORPeerAddress)
		if err != nil {
			t.Fatal(err)
		}
		// An IPv4-mapped address is written as IPv4.
		if back, ok := xorAddress(again, txid); !ok || back.Addr().Unmap() != addr.Addr().Unmap() || back.Port() != addr.Port() {
			t.Errorf("%x reads as %v, written as %x, reads as %v", value, addr, again, back)
		}
	})
}

// fuzzGate is a gate without sockets whose client has an allocation with a
// permission and a channel, if allocated.
func fuzzGate(f *testing.F, allocated bool) (*gate, *memLink) {
	s := newMemServer(f, func(c *Config) {
		c.AllowPeers, c.MaxAllocations, c.MaxAllocationsPerUser = rules("0.0.0.0/0"), 2, 2
	})
	g, l := newGate(s), newMemLink(transportTCP)
	if allocated {
		allocateIn(f, g, l).bind(minChannel, memPeer)
	}
	return g, l
}

// FuzzGate gives a gate arbitrary messages. Whatever it answers is a response,
// and none gets through to pion.
func FuzzGate(f *testing.F) {
	f.Add([]byte{0x40, 0, 0, 2, 'h', 'i'})
	f.Add(unhex(f, rfc5769Request))
	f.Add(unhex(f, rfc5769LongTerm))
	f.Add(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		peerAddress(memPeer), stun.RawAttribute{Type: stun.AttrData, Value: []byte("hi")}).Raw)
	f.Add(stun.MustBuild(stun.TransactionID, allocateRequest).Raw)
	g, out := fuzzGate(f, true)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > maxMessage {
			return
		}
		g.admitRaw(out, raw)
		answers := out.answers()
		if len(answers) > 1 {
			t.Errorf("%x: answered %x", raw, answers)
		}
		for _, answer := range answers {
			if m := new(stun.Message); !parseSTUN(m, answer) || answer[0] != responseByte {
				t.Errorf("%x: answered %x", raw, answer)
			}
		}
		if g.request.state == requestReady {
			t.Errorf("%x: a request without a signature was accepted", raw)
		}
	})
}

// FuzzRequest signs arbitrary attributes, so that the checks behind the
// authentication see them. What passes must be a request that pion can read.
func FuzzRequest(f *testing.F) {
	methods := []stun.Method{
		stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind,
	}
	f.Add(uint8(0), []byte{0, 0x19, 0, 4, 17, 0, 0, 0})
	f.Add(uint8(0), []byte{0, 0x19, 0, 4, 17, 0, 0, 0, 0, 0x18, 0, 1, 0x80, 0, 0, 0})
	f.Add(uint8(1), []byte{0, 0x0d, 0, 4, 0, 0, 0, 0})
	f.Add(uint8(2), []byte{0, 0x12, 0, 8, 0, 1, 1, 2, 3, 4, 5, 6})
	f.Add(uint8(2), []byte{0, 0x12, 0, 0})
	f.Add(uint8(3), []byte{0, 0x0c, 0, 4, 0x40, 1, 0, 0, 0, 0x12, 0, 8, 0, 1, 1, 2, 3, 4, 5, 6})
	f.Add(uint8(7), []byte{0, 0x0c, 0, 4, 0x40, 0, 0, 0, 0, 0x12, 0, 8, 0, 1, 1, 2, 3, 4, 5, 6})
	withAllocation, out := fuzzGate(f, true)
	without, bare := fuzzGate(f, false)
	f.Fuzz(func(t *testing.T, which uint8, attributes []byte) {
		g, out := withAllocation, out
		if which&4 == 0 {
			g, out = without, bare
		}
		raw := signed(g, methods[which&3], attributes)
		if raw == nil || len(raw) > maxMessage {
			return
		}
		out.answers()
		g.admitRaw(out, raw)
		if g.request.state != requestReady {
			return
		}
		err := g.engineRequest()
		m := &g.out
		if again := new(stun.Message); err != nil || !parseSTUN(again, m.Raw) || len(m.Raw) >= readRoom {
			t.Errorf("%x: handed over as %v, %v", raw, m, err)
		}
		g.refuse(stun.CodeServerError) // and let go of what was prepared
		if answers := out.answers(); len(answers) != 1 {
			t.Errorf("%x: answered %x", raw, answers)
		}
	})
}

// signed is a request with arbitrary attributes in front of right credentials,
// nil when those are not attributes at all.
func signed(g *gate, method stun.Method, attributes []byte) []byte {
	m := stun.MustBuild(stun.TransactionID, stun.NewType(method, stun.ClassRequest))
	m.Raw = append(m.Raw, attributes...)
	binary.BigEndian.PutUint16(m.Raw[2:], uint16(len(attributes)))
	if len(attributes) > maxMessage || m.Decode() != nil {
		return nil
	}
	user := g.server.Credential("tester", time.Hour)
	for _, setter := range []stun.Setter{
		stun.NewUsername(user.Username), stun.NewRealm(g.server.config.Realm),
		stun.NewNonce(g.server.nonces.issue(memClient, time.Now())),
		stun.MessageIntegrity(longTermKey(user.Username, g.server.config.Realm, user.Password)),
	} {
		if setter.AddTo(m) != nil {
			return nil
		}
	}
	return m.Raw
}
