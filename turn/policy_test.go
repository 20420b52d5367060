package turn

import (
	"net/netip"
	"testing"
)

// callers is a set of relayed addresses.
type callers map[netip.AddrPort]bool

func (c callers) isRelayed(addr netip.AddrPort) bool { return c[addr] }

func (c callers) hasRelayed(addr netip.Addr) bool {
	for relayed := range c {
		if relayed.Addr() == addr {
			return true
		}
	}
	return false
}

// factoryBox has two networks, a container bridge and two callers.
func factoryBox(allow, deny []PeerRule) *policy {
	relayed := callers{
		netip.MustParseAddrPort("192.168.1.5:50000"): true,
		netip.MustParseAddrPort("203.0.113.5:50000"): true,
		netip.MustParseAddrPort("127.0.0.1:50001"):   true,
	}
	return newPolicy(relayed, rulebook{
		allow: allow, deny: deny,
		external: []External{{Public: netip.MustParseAddr("203.0.113.5")}},
		site: newSite([]iface{
			{name: "lo", up: true, prefixes: prefixes("127.0.0.1/8", "::1/128")},
			{name: "eth0", up: true, prefixes: prefixes("192.168.1.5/24", "fd00:1::5/64", "fe80::5/64")},
			{name: "eth1", up: true, prefixes: prefixes("10.20.0.5/16")},
			{name: "eth2", up: false, prefixes: prefixes("10.30.0.5/16")},
			{name: "tun0", up: true, prefixes: prefixes("10.99.0.5/32")},
			{name: "docker0", up: true, prefixes: prefixes("172.17.0.1/16")},
		}, interfaceFilter{ignore: containerInterfaces()}),
	})
}

// rules reads entries of allow_peers or deny_peers.
func rules(texts ...string) []PeerRule {
	list := make([]PeerRule, len(texts))
	for i, text := range texts {
		if err := list[i].UnmarshalText([]byte(text)); err != nil {
			panic(err)
		}
	}
	return list
}

func TestMayReach(t *testing.T) {
	everything := rules("0.0.0.0/0", "::/0")
	for _, test := range []struct {
		peer        string
		allow, deny []PeerRule
		want        bool
	}{
		// Attached networks.
		{peer: "192.168.1.77:5000", want: true},
		{peer: "10.20.255.254:5000", want: true},
		{peer: "[fd00:1::77]:5000", want: true},
		{peer: "192.168.2.77:5000"},
		{peer: "10.30.0.77:5000"}, // the interface is down
		{peer: "172.17.0.2:5000"}, // a container of the box
		{peer: "8.8.8.8:5000"},
		{peer: "192.168.1.77:0"},

		// Lists.
		{peer: "10.77.0.1:5000", allow: rules("10.77.0.0/16"), want: true},
		{peer: "192.168.1.77:5000", deny: rules("192.168.1.64/26")},
		{peer: "10.77.0.1:5000", allow: rules("10.77.0.1/32"), deny: rules("10.77.0.0/16")},
		{peer: "172.17.0.2:5000", allow: rules("172.17.0.0/16"), want: true},

		// Callers, and what else lives at their addresses.
		{peer: "192.168.1.5:50000", want: true},
		{peer: "192.168.1.5:50001"},
		{peer: "192.168.1.5:22"},
		{peer: "203.0.113.5:50000", want: true},
		{peer: "203.0.113.5:443", allow: everything},
		{peer: "127.0.0.1:50001", want: true},
		{peer: "192.168.1.5:50000", deny: rules("192.168.1.5/32")},

		// The box's own services, which a wide entry does not open.
		{peer: "192.168.1.5:22", allow: everything},
		{peer: "192.168.1.5:22", allow: rules("192.168.1.0/24")},
		{peer: "192.168.1.5:22", allow: rules("192.168.1.5/32"), want: true},
		{peer: "[fd00:1::5]:22", allow: everything},
		{peer: "10.30.0.5:22", allow: everything}, // of the interface that is down
		{peer: "172.17.0.1:22", allow: rules("172.17.0.0/16")},

		// Loopback and link-local.
		{peer: "127.0.0.1:22"},
		{peer: "127.0.0.1:22", allow: everything},
		{peer: "127.0.0.1:22", allow: rules("127.0.0.0/8"), want: true},
		{peer: "127.3.2.1:22", allow: rules("127.0.0.0/8"), want: true},
		{peer: "127.3.2.1:22", allow: rules("127.0.0.1/32")},
		{peer: "[::1]:22", allow: everything},
		{peer: "[::1]:22", allow: rules("::1/128"), want: true},
		{peer: "169.254.3.4:5000", allow: everything},
		{peer: "169.254.3.4:5000", allow: rules("169.254.0.0/16"), want: true},
		{peer: "[fe80::77]:5000", allow: everything},

		// Metadata services, inside a wider guarded network and not.
		{peer: "169.254.169.254:80", allow: everything},
		{peer: "169.254.169.254:80", allow: rules("169.254.0.0/16")},
		{peer: "169.254.169.254:80", allow: rules("169.254.169.254/32"), want: true},
		{peer: "[fd00:ec2::254]:80", allow: rules("fd00::/8")},
		{peer: "100.100.100.200:80", allow: everything},

		// What names no host.
		{peer: "0.0.0.0:5000", allow: everything},
		{peer: "0.1.2.3:5000", allow: everything},
		{peer: "224.0.0.251:5353", allow: everything},
		{peer: "255.255.255.255:5000", allow: everything},
		{peer: "192.168.1.255:5000"},
		{peer: "192.168.1.0:5000"},
		{peer: "10.20.255.255:5000", allow: everything},
		{peer: "[::]:5000", allow: everything},
		{peer: "[ff02::fb]:5353", allow: everything},
	} {
		p := factoryBox(test.allow, test.deny)
		if got := p.mayReach("cam-7", netip.MustParseAddrPort(test.peer)); got != test.want {
			t.Errorf("mayReach(%s) with allow %v, deny %v = %v, want %v", test.peer, test.allow, test.deny, got, test.want)
		}
	}
}

// A refused IPv4 address stays refused in every way to write it as IPv6.
func TestMayReachSpellings(t *testing.T) {
	spellings := []func(a, b, c, d byte) [16]byte{
		func(a, b, c, d byte) [16]byte { return [16]byte{10: 0xff, 11: 0xff, 12: a, 13: b, 14: c, 15: d} },
		func(a, b, c, d byte) [16]byte { return [16]byte{12: a, 13: b, 14: c, 15: d} },
		func(a, b, c, d byte) [16]byte { return [16]byte{8: 0xff, 9: 0xff, 12: a, 13: b, 14: c, 15: d} },
		func(a, b, c, d byte) [16]byte {
			return [16]byte{0: 0, 1: 0x64, 2: 0xff, 3: 0x9b, 12: a, 13: b, 14: c, 15: d}
		},
		func(a, b, c, d byte) [16]byte {
			return [16]byte{1: 0x64, 2: 0xff, 3: 0x9b, 5: 1, 12: a, 13: b, 14: c, 15: d}
		},
		func(a, b, c, d byte) [16]byte { return [16]byte{0: 0x20, 1: 0x02, 2: a, 3: b, 4: c, 5: d, 15: 1} },
		func(a, b, c, d byte) [16]byte {
			return [16]byte{0: 0x20, 1: 0x01, 12: ^a, 13: ^b, 14: ^c, 15: ^d}
		},
		func(a, b, c, d byte) [16]byte {
			return [16]byte{0: 0xfd, 10: 0x5e, 11: 0xfe, 12: a, 13: b, 14: c, 15: d}
		},
		func(a, b, c, d byte) [16]byte {
			return [16]byte{0: 0xfd, 8: 2, 10: 0x5e, 11: 0xfe, 12: a, 13: b, 14: c, 15: d}
		},
	}
	p := factoryBox(rules("0.0.0.0/0", "::/0"), rules("10.66.0.0/16"))
	for _, refused := range []string{
		"127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "169.254.1.1", "224.0.0.1",
		"255.255.255.255", "192.168.1.5", "192.168.1.255", "172.17.0.1", "10.66.1.1",
	} {
		v4 := netip.MustParseAddr(refused).As4()
		for i, spell := range spellings {
			addr := netip.AddrFrom16(spell(v4[0], v4[1], v4[2], v4[3]))
			if addr == netip.IPv6Unspecified() {
				continue
			}
			if peer := netip.AddrPortFrom(addr, 80); p.mayReach("cam-7", peer) || p.mayPermit("cam-7", peer) {
				t.Errorf("%s as %v (spelling %d) is reachable", refused, peer, i)
			}
		}
	}
	if !p.mayReach("cam-7", netip.MustParseAddrPort("[::ffff:192.168.1.77]:5000")) {
		t.Error("an attached host is refused as ::ffff:192.168.1.77")
	}
	if !p.mayReach("cam-7", netip.MustParseAddrPort("[64:ff9b::8.8.8.8]:5000")) {
		t.Error("64:ff9b::8.8.8.8 is refused although ::/0 is allowed")
	}
}

func TestMayPermit(t *testing.T) {
	p := factoryBox(nil, nil)
	for peer, want := range map[string]bool{
		"192.168.1.77:0":    true, // a permission is for an address
		"192.168.1.77:5000": true,
		"192.168.1.5:0":     true, // a caller lives there
		"192.168.1.5:50000": true,
		"192.168.1.5:22":    false, // whoever names a port means it
		"10.20.0.5:0":       false, // no caller there
		"127.0.0.1:50001":   true,  // a caller on loopback
		"127.0.0.1:0":       false,
		"127.0.0.2:0":       false,
		"[::1]:0":           false,
		"8.8.8.8:0":         false,
	} {
		if got := p.mayPermit("cam-7", netip.MustParseAddrPort(peer)); got != want {
			t.Errorf("mayPermit(%s) = %v, want %v", peer, got, want)
		}
	}
}

// A caller whose address has gone from the box is a caller for as long as it is
// kept: whoever is at that address otherwise is not reached.
func TestCallerOnGoneAddress(t *testing.T) {
	p := factoryBox(nil, nil)
	p.setSite(newSite([]iface{{name: "eth1", up: true, prefixes: prefixes("10.20.0.5/16")}}, interfaceFilter{}))
	for peer, want := range map[string]bool{"192.168.1.5:50000": true, "192.168.1.5:50001": false, "192.168.1.77:50000": false} {
		addr := netip.MustParseAddrPort(peer)
		var last reach
		if got := p.allows("cam-7", addr, &last); got != want {
			t.Errorf("%s: allowed %v, want %v", peer, got, want)
		}
		if got := p.judge("cam-7", addr, &last).is(isInside); got != (addr.Addr().String() == "192.168.1.5") {
			t.Errorf("%s: inside %v", peer, got)
		}
	}
}

// Who comes to a link-local address is relayed on another one, of the same
// interface if there is a choice.
func TestRelayAddrOfLinkLocal(t *testing.T) {
	s := &Server{policy: factoryBox(nil, nil)}
	for _, at := range []string{"127.0.0.1", "::1", "10.20.0.5", "192.168.1.5", "fd00:1::5"} {
		s.services = append(s.services, &service{at: netip.AddrPortFrom(netip.MustParseAddr(at), 3478)})
	}
	for local, want := range map[string][2]string{
		"fe80::5%eth0": {"192.168.1.5", "fd00:1::5"},
		"fe80::6%eth1": {"10.20.0.5", "fd00:1::5"},
		"169.254.7.7":  {"10.20.0.5", "fd00:1::5"},
		"192.168.1.5":  {"192.168.1.5", "fd00:1::5"},
		"::1":          {"127.0.0.1", "::1"},
	} {
		addr := netip.MustParseAddr(local)
		got := [2]string{s.relayAddr(addr, netip.Addr.Is4).String(), s.relayAddr(addr, netip.Addr.Is6).String()}
		if got != want {
			t.Errorf("a client of %s is relayed on %v, want %v", local, got, want)
		}
	}
}

func TestSiteUnicast(t *testing.T) {
	s := factoryBox(nil, nil).site()
	got := listenAddr{}.expand(s)
	want := []string{"127.0.0.1", "::1", "192.168.1.5", "fd00:1::5", "10.20.0.5", "10.99.0.5"}
	if len(got) != len(want) {
		t.Fatalf("a wildcard stands for %v, want %v", got, want)
	}
	for i := range want {
		if got[i].String() != want[i] {
			t.Errorf("a wildcard stands for %v, want %v", got, want)
		}
	}
}

func BenchmarkMayReach(b *testing.B) {
	p := factoryBox(nil, nil)
	for name, peer := range map[string]netip.AddrPort{
		"attached": netip.MustParseAddrPort("192.168.1.77:5000"), "caller": netip.MustParseAddrPort("192.168.1.5:50000"),
	} {
		b.Run(name, func(b *testing.B) {
			var last reach
			for b.Loop() {
				if !p.allows("cam-7", peer, &last) {
					b.Fatal("refused")
				}
			}
		})
	}
}
