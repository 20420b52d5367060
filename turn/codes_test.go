package turn_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// raw is an attribute as it stands on the wire.
func raw(t stun.AttrType, value ...byte) stun.RawAttribute {
	return stun.RawAttribute{Type: t, Value: value}
}

// Each request that cannot be served gets the RFC's error, with ERROR-CODE and
// signed (F6, F7, F14).
func TestErrorCodes(t *testing.T) {
	peer := netip.MustParseAddrPort("127.0.0.1:9")
	none, allocated := false, true
	server := turntest.Start(t)
	for _, test := range []struct {
		what      string
		allocated bool
		method    stun.Method
		code      int
		setters   []stun.Setter
	}{
		{"no transport", none, stun.MethodAllocate, 400, nil},
		{"transport cut short", none, stun.MethodAllocate, 400, []stun.Setter{raw(stun.AttrRequestedTransport, 17)}},
		{"tcp relay", none, stun.MethodAllocate, 442, []stun.Setter{raw(stun.AttrRequestedTransport, 6, 0, 0, 0)}},
		{"ipv6 relay on ipv4", none, stun.MethodAllocate, 440, []stun.Setter{turntest.UDPTransport, raw(stun.AttrRequestedAddressFamily, 2, 0, 0, 0)}},
		{"unknown family", none, stun.MethodAllocate, 440, []stun.Setter{turntest.UDPTransport, raw(stun.AttrRequestedAddressFamily, 9, 0, 0, 0)}},
		{"ipv4 relay", none, stun.MethodAllocate, 0, []stun.Setter{turntest.UDPTransport, raw(stun.AttrRequestedAddressFamily, 1, 0, 0, 0)}},
		{"don't fragment", none, stun.MethodAllocate, 0, []stun.Setter{turntest.UDPTransport, raw(stun.AttrDontFragment)}},
		{"unknown mandatory attribute", none, stun.MethodAllocate, 420, []stun.Setter{turntest.UDPTransport, raw(0x7abc, 1, 2, 3, 4)}},
		{"unknown optional attribute", none, stun.MethodAllocate, 0, []stun.Setter{turntest.UDPTransport, raw(0x8abc, 1, 2, 3, 4)}},
		{"even port and token", none, stun.MethodAllocate, 400, []stun.Setter{turntest.UDPTransport, raw(stun.AttrEvenPort, 0), raw(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8)}},
		{"unknown token", none, stun.MethodAllocate, 508, []stun.Setter{turntest.UDPTransport, raw(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8)}},
		{"lifetime cut short", none, stun.MethodAllocate, 400, []stun.Setter{turntest.UDPTransport, raw(stun.AttrLifetime, 1)}},
		{"second allocation", allocated, stun.MethodAllocate, 437, []stun.Setter{turntest.UDPTransport}},

		{"refresh of nothing", none, stun.MethodRefresh, 437, nil},
		{"refresh in the other family", allocated, stun.MethodRefresh, 443, []stun.Setter{raw(stun.AttrRequestedAddressFamily, 2, 0, 0, 0)}},

		{"permission for nothing", none, stun.MethodCreatePermission, 437, []stun.Setter{turntest.Peer(peer)}},
		{"permission without a peer", allocated, stun.MethodCreatePermission, 400, nil},
		{"peer of no bytes", allocated, stun.MethodCreatePermission, 400, []stun.Setter{raw(stun.AttrXORPeerAddress)}},
		{"peer of unknown family", allocated, stun.MethodCreatePermission, 400, []stun.Setter{raw(stun.AttrXORPeerAddress, 0, 7, 1, 2, 3, 4, 5, 6)}},
		{"peer of cut length", allocated, stun.MethodCreatePermission, 400, []stun.Setter{raw(stun.AttrXORPeerAddress, 0, 2, 1, 2, 3, 4, 5, 6)}},
		{"peer of the other family", allocated, stun.MethodCreatePermission, 443, []stun.Setter{turntest.Peer(netip.MustParseAddrPort("[::1]:9"))}},
		{"refused peer", allocated, stun.MethodCreatePermission, 403, []stun.Setter{turntest.Peer(netip.MustParseAddrPort("169.254.169.254:80"))}},
		{"one refused peer of two", allocated, stun.MethodCreatePermission, 403, []stun.Setter{turntest.Peer(peer), turntest.Peer(netip.MustParseAddrPort("[::ffff:169.254.169.254]:80"))}},

		{"channel for nothing", none, stun.MethodChannelBind, 437, []stun.Setter{turntest.Channel(0x4000), turntest.Peer(peer)}},
		{"channel without a number", allocated, stun.MethodChannelBind, 400, []stun.Setter{turntest.Peer(peer)}},
		{"channel without a peer", allocated, stun.MethodChannelBind, 400, []stun.Setter{turntest.Channel(0x4000)}},
		{"channel below the range", allocated, stun.MethodChannelBind, 400, []stun.Setter{turntest.Channel(0x3FFF), turntest.Peer(peer)}},
		{"channel of no turn", allocated, stun.MethodChannelBind, 400, []stun.Setter{turntest.Channel(0x1000), turntest.Peer(peer)}},
		{"channel above the range", allocated, stun.MethodChannelBind, 400, []stun.Setter{turntest.Channel(0x8000), turntest.Peer(peer)}},
		{"channel to a refused peer", allocated, stun.MethodChannelBind, 403, []stun.Setter{turntest.Channel(0x4000), turntest.Peer(netip.MustParseAddrPort("10.9.9.9:80"))}},
		{"channel to port 0", allocated, stun.MethodChannelBind, 403, []stun.Setter{turntest.Channel(0x4000), turntest.Peer(netip.MustParseAddrPort("127.0.0.1:0"))}},
		{"last channel of RFC 8656", allocated, stun.MethodChannelBind, 0, []stun.Setter{turntest.Channel(0x4FFF), turntest.Peer(peer)}},
		{"last channel of RFC 5766", allocated, stun.MethodChannelBind, 0, []stun.Setter{turntest.Channel(0x7FFF), turntest.Peer(peer)}},
	} {
		t.Run(test.what, func(t *testing.T) {
			c := turntest.Dial(t, "udp", turntest.Addr(server))
			if test.allocated {
				c.Allocate()
			}
			m := c.Request(test.method, test.setters...)
			want(t, "code", turntest.Code(m), test.code)
			want(t, "method", m.Type.Method, test.method)
			if err := c.Key().Check(m); err != nil {
				t.Errorf("answer: %v", err)
			}
			var unknown stun.UnknownAttributes
			if (unknown.GetFrom(m) == nil) != (test.code == 420) {
				t.Errorf("unknown attributes %v with code %d", unknown, test.code)
			}
			if test.allocated {
				want(t, "end", c.Refresh(0), 0)
			}
		})
	}
}

func TestStrictChannels(t *testing.T) {
	peer := netip.MustParseAddrPort("127.0.0.1:9")
	c := turntest.Dial(t, "udp", turntest.Addr(turntest.Start(t, func(cfg *turn.Config) { cfg.StrictChannels = true })))
	c.Allocate()
	want(t, "channel of RFC 5766", c.Bind(0x5000, peer), 400)
	want(t, "channel of RFC 8656", c.Bind(0x4FFF, peer), 0)
}

// A number leads to one peer and a peer has one number (RFC 8656 §12.2).
func TestChannelIsBoundOnce(t *testing.T) {
	c := turntest.Dial(t, "udp", turntest.Addr(turntest.Start(t)))
	one, two := netip.MustParseAddrPort("127.0.0.1:1001"), netip.MustParseAddrPort("127.0.0.1:1002")
	c.Allocate()
	want(t, "first", c.Bind(0x4000, one), 0)
	want(t, "again", c.Bind(0x4000, one), 0)
	want(t, "other peer", c.Bind(0x4000, two), 400)
	want(t, "other number", c.Bind(0x4001, one), 400)
	want(t, "both other", c.Bind(0x4001, two), 0)
}

// An answer that was lost is given again, to the same request.
func TestRetransmission(t *testing.T) {
	server := turntest.Start(t)
	c := turntest.Dial(t, "udp", turntest.Addr(server))
	c.Challenge()
	request := stun.MustBuild(append([]stun.Setter{
		stun.TransactionID, turntest.Method(stun.MethodAllocate), turntest.UDPTransport, raw(stun.AttrEvenPort, 0x80),
	}, c.Sign()...)...)
	var first []byte
	for range 3 {
		c.Write(request.Raw)
		m := c.Response(request.TransactionID)
		want(t, "code", turntest.Code(m), 0)
		if first == nil {
			first = m.Raw
		}
		want(t, "answer", string(m.Raw), string(first))
	}
	want(t, "created", server.Stats().Created, 1)
}

// A pair of ports for RTP and RTCP (RFC 8656 §18.7, §18.9).
func TestPortPair(t *testing.T) {
	server := turntest.Start(t)
	rtp, rtcp := turntest.Dial(t, "udp", turntest.Addr(server)), turntest.Dial(t, "udp", turntest.Addr(server))
	m := rtp.Request(stun.MethodAllocate, turntest.UDPTransport, raw(stun.AttrEvenPort, 0x80))
	var relayed stun.XORMappedAddress
	token, err := m.Get(stun.AttrReservationToken)
	if err != nil || len(token) != 8 || relayed.GetFromAs(m, stun.AttrXORRelayedAddress) != nil || relayed.Port%2 != 0 {
		t.Fatalf("got %v, want an even port and a token", m)
	}
	if err := rtp.Key().Check(m); err != nil {
		t.Error(err)
	}
	next := rtcp.Allocate(raw(stun.AttrReservationToken, token...))
	want(t, "second port", int(next.Port()), relayed.Port+1)

	again := turntest.Dial(t, "udp", turntest.Addr(server))
	m = again.Request(stun.MethodAllocate, turntest.UDPTransport, raw(stun.AttrReservationToken, token...))
	want(t, "token used twice", turntest.Code(m), 508)
	want(t, "allocations", server.Stats().Allocations, 2)
}

// The second port of a pair is kept when the first is let go (RFC 8656 §7.2), and
// nobody collects ports by that.
func TestReservationOutlivesAllocation(t *testing.T) {
	server := turntest.Start(t, func(cfg *turn.Config) { cfg.MaxAllocationsPerUser = 3 })
	pair := raw(stun.AttrEvenPort, 0x80)
	var token []byte
	for range 3 {
		rtp := turntest.Dial(t, "udp", turntest.Addr(server))
		m := rtp.Request(stun.MethodAllocate, turntest.UDPTransport, pair)
		want(t, "pair", turntest.Code(m), 0)
		token, _ = m.Get(stun.AttrReservationToken)
		want(t, "end", rtp.Refresh(0), 0)
	}
	turntest.Until(t, "no allocations", func() bool { return server.Stats().Allocations == 0 })
	c := turntest.Dial(t, "udp", turntest.Addr(server))
	want(t, "one more pair", turntest.Code(c.Request(stun.MethodAllocate, turntest.UDPTransport, pair)), 486)
	if next := c.Allocate(raw(stun.AttrReservationToken, token...)); next.Port()%2 != 1 {
		t.Errorf("got port %d, want the odd one that was reserved", next.Port())
	}
	want(t, "a pair in place of the claimed port", turntest.Code(
		turntest.Dial(t, "udp", turntest.Addr(server)).Request(stun.MethodAllocate, turntest.UDPTransport, pair)), 0)
}

// Lifetimes are held between ten minutes and an hour (RFC 8656 §7.2, §8.2).
func TestLifetime(t *testing.T) {
	c := turntest.Dial(t, "udp", turntest.Addr(turntest.Start(t)))
	got := func(m *stun.Message) int {
		value, err := m.Get(stun.AttrLifetime)
		if err != nil {
			t.Fatalf("no lifetime in %v", m)
		}
		return int(value[2])<<8 | int(value[3])
	}
	m := c.Request(stun.MethodAllocate, turntest.UDPTransport, turntest.Lifetime(time.Second))
	want(t, "allocate for 1s", got(m), 600)
	want(t, "refresh", got(c.Request(stun.MethodRefresh)), 600)
	want(t, "refresh for 20m", got(c.Request(stun.MethodRefresh, turntest.Lifetime(20*time.Minute))), 1200)
	want(t, "refresh for 24h", got(c.Request(stun.MethodRefresh, turntest.Lifetime(24*time.Hour))), 3539)
	want(t, "end", got(c.Request(stun.MethodRefresh, turntest.Lifetime(0))), 0)
	want(t, "end again", c.Refresh(0), 437)
}

// What follows MESSAGE-INTEGRITY is nobody's word (RFC 8489 §14.5).
func TestUnsignedAttributesAreIgnored(t *testing.T) {
	server := turntest.Start(t)
	c := turntest.Dial(t, "udp", turntest.Addr(server))
	c.Allocate()
	signed := []stun.Setter{turntest.Method(stun.MethodRefresh), turntest.Lifetime(20 * time.Minute)}
	signed = append(signed, c.Sign()[:4]...)
	m := c.Do(append(signed, raw(0x7abc, 1, 2, 3, 4), turntest.Lifetime(0))...)
	want(t, "code", turntest.Code(m), 0)
	want(t, "allocations", server.Stats().Allocations, 1)

	unsigned := []stun.Setter{turntest.Method(stun.MethodCreatePermission)}
	unsigned = append(append(unsigned, c.Sign()[:4]...), turntest.Peer(netip.MustParseAddrPort("127.0.0.1:9")))
	want(t, "peer behind the signature", turntest.Code(c.Do(unsigned...)), 400)
}

// Messages that get no answer are counted and change nothing.
func TestSilentDrops(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		server := turntest.Start(t)
		c := turntest.Dial(t, network, turntest.Addr(server))
		c.Allocate()
		peer := netip.MustParseAddrPort("127.0.0.1:9")
		stranger := turntest.Dial(t, network, turntest.Addr(server))
		badPrint := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
		badPrint.Raw[len(badPrint.Raw)-1] ^= 1
		for _, test := range []struct {
			reason string
			send   func()
		}{
			{"malformed", func() { c.Write(badPrint.Raw) }},
			{"malformed", func() {
				c.Write(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication)).Raw)
			}},
			{"unexpected", func() { c.Write(stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw) }},
			{"unexpected", func() { c.Write(stun.MustBuild(stun.TransactionID, turntest.Method(stun.MethodConnect)).Raw) }},
			{"unexpected", func() {
				c.Write(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodData, stun.ClassIndication)).Raw)
			}},
			{"no_channel", func() { c.SendChannel(0x4000, []byte("x")) }},
			{"no_permission", func() { c.SendTo(peer, []byte("x")) }},
			{"no_allocation", func() { stranger.SendTo(peer, []byte("x")) }},
			{"no_allocation", func() {
				if network == "udp" { // over TCP it is not TURN before there is an allocation
					stranger.SendChannel(0x4000, []byte("x"))
				} else {
					stranger.SendTo(peer, []byte("x"))
				}
			}},
			{"oversize", func() { c.SendChannel(0x4000, make([]byte, 3000)) }},
		} {
			before := server.Stats().Dropped[test.reason]
			test.send()
			turntest.Until(t, "dropped as "+test.reason, func() bool {
				return server.Stats().Dropped[test.reason] == before+1
			})
		}
		want(t, "refresh after all that", c.Refresh(10*time.Minute), 0)
		want(t, "to peers", server.Stats().ToPeers, turn.Traffic{})
	})
}
