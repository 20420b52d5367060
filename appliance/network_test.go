package appliance

import (
	"net/netip"
	"testing"
)

// A client gets the relay's address that it can reach: the one it already
// speaks to, and on the box itself one of the LAN.
func TestRelayHost(t *testing.T) {
	served := []netip.AddrPort{}
	for _, s := range []string{"127.0.0.1:3478", "[::1]:3478", "10.0.1.1:3478", "10.0.2.1:3478", "[fd00::2]:3478"} {
		served = append(served, netip.MustParseAddrPort(s))
	}
	for _, c := range []struct{ local, want string }{
		{"10.0.2.1", "10.0.2.1:3478"},
		{"::ffff:10.0.1.1", "10.0.1.1:3478"},
		{"fd00::2", "[fd00::2]:3478"},
		{"127.0.0.1", "10.0.1.1:3478"},
		{"::1", "[fd00::2]:3478"},
		{"192.168.7.7", "10.0.1.1:3478"},
		{"fe80::1%eth0", "[fd00::2]:3478"},
		{"169.254.7.7", "10.0.1.1:3478"},
	} {
		linkLocal := netip.AddrPortFrom(netip.MustParseAddr(c.local).WithZone(""), 3478)
		at := served
		if linkLocal.Addr().IsLinkLocalUnicast() {
			at = append([]netip.AddrPort{linkLocal}, served...)
		}
		if got, ok := relayHost(at, netip.MustParseAddr(c.local)); !ok || got.String() != c.want {
			t.Errorf("relayHost(%s) = %v, want %s", c.local, got, c.want)
		}
	}
	if got, ok := relayHost(served[:1], netip.MustParseAddr("10.9.9.9")); !ok || got.String() != "127.0.0.1:3478" {
		t.Errorf("with loopback alone: %v, want it", got)
	}
	if _, ok := relayHost(nil, netip.MustParseAddr("10.0.0.1")); ok {
		t.Error("a relay that serves nowhere has an address")
	}
}
