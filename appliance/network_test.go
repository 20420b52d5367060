package appliance

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"signalbox/appliance/auth"
	"signalbox/appliance/config"
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
	} {
		if got, ok := relayHost(served, netip.MustParseAddr(c.local)); !ok || got.String() != c.want {
			t.Errorf("relayHost(%s) = %v, want %s", c.local, got, c.want)
		}
	}
	if got, ok := relayHost(served[:1], netip.MustParseAddr("10.9.9.9")); !ok || got.String() != "127.0.0.1:3478" {
		t.Errorf("with loopback alone: %v, want it", got)
	}
	linkLocal := []netip.AddrPort{netip.MustParseAddrPort("[fe80::1%eth0]:3478"), netip.MustParseAddrPort("169.254.3.3:3478")}
	if got, ok := relayHost(append(linkLocal, served...), netip.MustParseAddr("fe80::1%eth0")); !ok || got.String() != "[fd00::2]:3478" {
		t.Errorf("for a client of a link-local address: %v, want another one", got)
	}
	if got, ok := relayHost(linkLocal, netip.MustParseAddr("169.254.3.3")); ok {
		t.Errorf("a relay on link-local addresses is offered at %v", got)
	}
	if _, ok := relayHost(nil, netip.MustParseAddr("10.0.0.1")); ok {
		t.Error("a relay that serves nowhere has an address")
	}
}

// A browser gets four URLs, those first that it should try first. None is
// link-local, however it came to the box.
func TestICE(t *testing.T) {
	cfg := config.Default()
	cfg.Data, cfg.Discovery.Enabled = t.TempDir(), false
	cfg.HTTP.Listen, cfg.HTTP.HTTPS = nil, []string{":0"}
	cfg.Turn.Listen = []string{"127.0.0.1:0"}
	cfg.Log.Level = slog.LevelError
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	udp, _ := a.relay.Addrs()
	https := netip.MustParseAddrPort(a.http[0].listener.Addr().String()).Port()
	want := fmt.Sprintf("[stun:%[1]v] [turn:%[1]v?transport=udp turn:%[1]v?transport=tcp turns:127.0.0.1:%[2]d?transport=tcp]", udp[0], https)
	for _, local := range []string{"127.0.0.1", "fe80::1%eth0", "169.254.3.3"} {
		ice := a.ice(netip.MustParseAddr(local), auth.Identity{Subject: "tablet"})
		if len(ice.Servers) != 2 {
			t.Fatalf("%d servers, want STUN and TURN", len(ice.Servers))
		}
		if got := fmt.Sprint(ice.Servers[0].URLs, " ", ice.Servers[1].URLs); got != want {
			t.Errorf("at %s: got %s, want %s", local, got, want)
		}
	}
	if _, turn := a.relayURLs(netip.MustParseAddr("127.0.0.1")); len(turn) != 4 {
		t.Errorf("%v, want the port for TLS alone too where there is room", turn)
	}
}
