package turn_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

const (
	additionalFamily       stun.AttrType = 0x8000
	coturnAdditionalFamily stun.AttrType = 0x8032 // of its client
	addressErrorCode       stun.AttrType = 0x8001
)

// bothFamilies serves on loopback addresses of both.
func bothFamilies(t *testing.T) *turn.Server {
	t.Helper()
	if !hasIPv6() {
		t.Skip("no IPv6 on this machine")
	}
	return turntest.Start(t, func(c *turn.Config) { c.Listen = []string{"127.0.0.1:0", "[::1]:0"} })
}

// A caller of either family gets a relayed address of the one it asks for
// (RFC 8656 §7.2), and data crosses.
func TestRequestedFamily(t *testing.T) {
	server := bothFamilies(t)
	served, _ := server.Addrs()
	peers := []netip.AddrPort{echo(t, "127.0.0.1:0"), echo(t, "[::1]:0")}
	for _, from := range served {
		for i, peer := range peers {
			for _, network := range transports {
				c := turntest.Dial(t, network, from)
				relayed := c.Allocate(raw(stun.AttrRequestedAddressFamily, byte(i+1), 0, 0, 0))
				want(t, "relayed on", relayed.Addr(), peer.Addr())
				want(t, "channel", c.Bind(0x4000, peer), 0)
				c.SendChannel(0x4000, []byte("across"))
				want(t, "came back", receive(t, c), turntest.Datagram{Channel: 0x4000, Data: "echo across"})
				want(t, "peer of the other family", c.Permit(peers[1-i]), 443)
			}
		}
	}
}

// Who asks for no family gets IPv4 by whatever way it came (RFC 8656 §7.2), so
// that callers of both families meet; where there is no IPv4 it gets IPv6.
func TestNoFamilyRequested(t *testing.T) {
	server := bothFamilies(t)
	served, _ := server.Addrs()
	for _, from := range served {
		for _, network := range transports {
			c := turntest.Dial(t, network, from)
			want(t, network+" from "+from.String(), c.Allocate().Addr(), netip.MustParseAddr("127.0.0.1"))
		}
	}
	a, b := turntest.Dial(t, "udp", served[0]), turntest.Dial(t, "udp", served[1])
	relayedA, relayedB := a.Allocate(), b.Allocate()
	want(t, "permission", b.Permit(relayedA), 0)
	want(t, "channel", a.Bind(0x4000, relayedB), 0)
	a.SendChannel(0x4000, []byte("hello"))
	want(t, "at b", receive(t, b), turntest.Datagram{Peer: relayedA, Data: "hello"})

	onlyIPv6 := turntest.Start(t, func(c *turn.Config) { c.Listen = []string{"[::1]:0"} })
	want(t, "without IPv4", turntest.Dial(t, "udp", turntest.Addr(onlyIPv6)).Allocate().Addr(), netip.IPv6Loopback())
}

// Of two families one is better than none: the client gets it, and hears why
// the other one is not to be had (RFC 8656 §7.2, §18.12).
func TestOneFamilyOfTwo(t *testing.T) {
	server := bothFamilies(t)
	both := raw(additionalFamily, 2, 0, 0, 0)
	onlyIPv6 := turntest.Start(t, func(c *turn.Config) { c.Listen = []string{"[::1]:0"} })
	full := turntest.Start(t, func(c *turn.Config) {
		c.Listen, c.RelayPorts = []string{"127.0.0.1:0", "[::1]:0"}, turn.PortRange{First: 20980, Last: 20980}
	})
	inIPv4, inIPv6 := raw(stun.AttrRequestedAddressFamily, 1, 0, 0, 0), raw(stun.AttrRequestedAddressFamily, 2, 0, 0, 0)
	for _, test := range []struct {
		what   string
		server *turn.Server
		taken  []stun.Setter // what takes the only port of a family
		addr   string
		failed string // the value of ADDRESS-ERROR-CODE
	}{
		{"both", server, nil, "127.0.0.1 ::1", ""},
		{"no IPv4", onlyIPv6, nil, "::1", "\x01\x00\x04\x28"},
		{"IPv4 used up", full, []stun.Setter{inIPv4}, "::1", "\x01\x00\x05\x08"},
		{"IPv6 used up", full, []stun.Setter{inIPv6}, "127.0.0.1", "\x02\x00\x05\x08"},
	} {
		other := turntest.Dial(t, "udp", turntest.Addr(test.server))
		if test.taken != nil {
			other.Allocate(test.taken...)
		}
		c := turntest.Dial(t, "udp", turntest.Addr(test.server))
		m := c.Request(stun.MethodAllocate, turntest.UDPTransport, both)
		want(t, test.what, turntest.Code(m), 0)
		addrs, failed := relayedAddrs(t, m)
		want(t, test.what, strings.Trim(fmt.Sprint(addrs), "[]"), test.addr)
		want(t, test.what, string(failed), test.failed)
		want(t, "end", c.Refresh(0), 0)
		if test.taken != nil {
			want(t, "end", other.Refresh(0), 0)
		}
		turntest.Until(t, "free ports", func() bool { return test.server.Stats().Allocations == 0 })
	}
	turntest.Dial(t, "udp", turntest.Addr(full)).Allocate(inIPv4)
	turntest.Dial(t, "udp", turntest.Addr(full)).Allocate(inIPv6)
	c := turntest.Dial(t, "udp", turntest.Addr(full))
	want(t, "both used up", turntest.Code(c.Request(stun.MethodAllocate, turntest.UDPTransport, both)), 508)
}

// relayedAddrs are all of a response, and the value of ADDRESS-ERROR-CODE.
func relayedAddrs(t *testing.T, m *stun.Message) (addrs []netip.Addr, failed []byte) {
	t.Helper()
	for _, a := range m.Attributes {
		switch a.Type {
		case stun.AttrXORRelayedAddress:
			one := &stun.Message{TransactionID: m.TransactionID, Attributes: stun.Attributes{a}}
			var xor stun.XORMappedAddress
			if err := xor.GetFromAs(one, stun.AttrXORRelayedAddress); err != nil {
				t.Fatal(err)
			}
			addr, _ := netip.AddrFromSlice(xor.IP)
			addrs = append(addrs, addr.Unmap())
		case addressErrorCode:
			failed = a.Value
		}
	}
	return addrs, failed
}

// One allocation of both families (RFC 8656 §7.2): each reaches its peers, one
// can be ended by itself (§8.2), and the other goes on.
func TestAdditionalFamily(t *testing.T) {
	server := bothFamilies(t)
	v4, v6 := echo(t, "127.0.0.1:0"), echo(t, "[::1]:0")
	for network, attribute := range map[string]stun.AttrType{"udp": additionalFamily, "tcp": coturnAdditionalFamily} {
		c := turntest.Dial(t, network, turntest.Addr(server))
		m := c.Request(stun.MethodAllocate, turntest.UDPTransport, raw(attribute, 2, 0, 0, 0))
		want(t, "code", turntest.Code(m), 0)
		if err := c.Key().Check(m); err != nil {
			t.Errorf("response not signed right: %v", err)
		}
		addrs, failed := relayedAddrs(t, m)
		if len(addrs) != 2 || addrs[0] != v4.Addr() || addrs[1] != v6.Addr() || failed != nil {
			t.Fatalf("relayed addresses %v, error %v, want one of each family", addrs, failed)
		}
		for i, peer := range []netip.AddrPort{v4, v6} {
			number := uint16(0x4000 + i)
			want(t, "channel", c.Bind(number, peer), 0)
			c.SendChannel(number, []byte("x"))
			want(t, "came back", receive(t, c), turntest.Datagram{Channel: number, Data: "echo x"})
		}
		ended := c.Request(stun.MethodRefresh, turntest.Lifetime(0), raw(stun.AttrRequestedAddressFamily, 2, 0, 0, 0))
		want(t, "end the second", turntest.Code(ended), 0)
		again := c.Request(stun.MethodRefresh, turntest.Lifetime(0), raw(stun.AttrRequestedAddressFamily, 2, 0, 0, 0))
		want(t, "end it again", turntest.Code(again), 443)
		want(t, "relayed addresses left", len(server.Allocations()[0].Relayed), 1)
		want(t, "permission in what has ended", c.Permit(v6), 443)
		c.SendChannel(0x4000, []byte("y"))
		want(t, "the first goes on", receive(t, c), turntest.Datagram{Channel: 0x4000, Data: "echo y"})
		want(t, "end", c.Refresh(0), 0)
		turntest.Until(t, "the end", func() bool { return server.Stats().Allocations == 0 })
	}
}

// What does not go together, and what cannot be had.
func TestFamilyRefusals(t *testing.T) {
	onlyIPv4 := turntest.Start(t)
	for _, c := range []struct {
		name string
		with []stun.Setter
		want int
	}{
		{"ipv6 where there is none", []stun.Setter{raw(stun.AttrRequestedAddressFamily, 2, 0, 0, 0)}, 440},
		{"both attributes", []stun.Setter{raw(stun.AttrRequestedAddressFamily, 1, 0, 0, 0), raw(additionalFamily, 2, 0, 0, 0)}, 400},
		{"additional ipv4", []stun.Setter{raw(additionalFamily, 1, 0, 0, 0)}, 400},
		{"additional and a pair", []stun.Setter{raw(additionalFamily, 2, 0, 0, 0), raw(stun.AttrEvenPort, 0x80)}, 400},
		{"additional and a token", []stun.Setter{raw(additionalFamily, 2, 0, 0, 0), raw(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8)}, 400},
	} {
		client := turntest.Dial(t, "udp", turntest.Addr(onlyIPv4))
		m := client.Request(stun.MethodAllocate, append([]stun.Setter{turntest.UDPTransport}, c.with...)...)
		want(t, c.name, turntest.Code(m), c.want)
	}
	client := turntest.Dial(t, "udp", turntest.Addr(onlyIPv4))
	m := client.Request(stun.MethodAllocate, turntest.UDPTransport, raw(additionalFamily, 2, 0, 0, 0))
	addrs, failed := relayedAddrs(t, m)
	want(t, "relayed addresses", len(addrs), 1)
	want(t, "address error", string(failed), "\x02\x00\x04\x28") // 440 for IPv6
}

// Callers on addresses of different families meet inside the relay.
func TestCallersOfDifferentFamilies(t *testing.T) {
	server := bothFamilies(t)
	served, _ := server.Addrs()
	a, b := turntest.Dial(t, "udp", served[0]), turntest.Dial(t, "tcp", served[1])
	relayedA := a.Allocate(raw(stun.AttrRequestedAddressFamily, 2, 0, 0, 0))
	relayedB := b.Allocate(raw(stun.AttrRequestedAddressFamily, 2, 0, 0, 0))
	want(t, "permission", b.Permit(relayedA), 0)
	want(t, "channel", a.Bind(0x4000, relayedB), 0)
	a.SendChannel(0x4000, []byte("hello"))
	want(t, "at b", receive(t, b), turntest.Datagram{Peer: relayedA, Data: "hello"})
	before := server.Stats()
	want(t, "counted once each way", before.ToPeers, turn.Traffic{Packets: 1, Bytes: 5})
	want(t, "counted once each way", before.ToClients, turn.Traffic{Packets: 1, Bytes: 5})
	if _, ok := b.Receive(50 * time.Millisecond); ok {
		t.Error("it came twice")
	}
}
