package turn_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/stun/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// Each address answers for itself and relays from itself (F17).
func TestEachAddressForItself(t *testing.T) {
	server := turntest.Start(t, func(cfg *turn.Config) {
		cfg.Listen = []string{"127.0.0.1:0", "127.0.0.2:0", "127.9.9.9:0"}
	})
	udp, tcp := server.Addrs()
	want(t, "addresses", len(udp), 3)
	for i, addr := range udp {
		want(t, "tcp address", tcp[i], addr)
		for _, network := range transports {
			c := turntest.Dial(t, network, addr) // a connected socket takes answers from there alone
			want(t, "binding", turntest.Code(c.Do(stun.BindingRequest)), 0)
			want(t, "relayed on", c.Allocate().Addr(), addr.Addr())
		}
	}
}

func TestIPv6(t *testing.T) {
	if !hasIPv6() {
		t.Skip("this machine has no ::1")
	}
	forEachTransport(t, func(t *testing.T, network string) {
		server, peer := turntest.Start(t, func(cfg *turn.Config) { cfg.Listen = []string{"[::1]:0"} }), echo(t, "[::1]:0")
		c := turntest.Dial(t, network, turntest.Addr(server))
		relayed := c.Allocate(raw(stun.AttrRequestedAddressFamily, 2, 0, 0, 0))
		want(t, "relayed on", relayed.Addr(), netip.IPv6Loopback())
		want(t, "channel", c.Bind(0x4000, peer), 0)
		c.SendChannel(0x4000, []byte("six"))
		want(t, "answer", receive(t, c), turntest.Datagram{Channel: 0x4000, Data: "echo six"})
		want(t, "ipv4 peer", c.Permit(netip.MustParseAddrPort("127.0.0.1:9")), 443)

		other := turntest.Dial(t, network, turntest.Addr(server))
		m := other.Request(stun.MethodAllocate, turntest.UDPTransport, raw(stun.AttrRequestedAddressFamily, 1, 0, 0, 0))
		want(t, "ipv4 relay on ipv6", turntest.Code(m), 440)
	})
}

func hasIPv6() bool {
	server, err := turn.New(turn.Config{Listen: []string{"[::1]:0"}}, turntest.Secret)
	if err != nil {
		return false
	}
	server.Close()
	return true
}

// Behind a NAT callers know each other by its address, and meet inside.
func TestExternalAddress(t *testing.T) {
	public := netip.MustParseAddr("203.0.113.5")
	server := turntest.Start(t, func(cfg *turn.Config) {
		cfg.AllowPeers = nil
		cfg.External = []turn.External{{Public: public, Local: netip.MustParseAddr("127.0.0.1")}}
	})
	a, b := turntest.Dial(t, "udp", turntest.Addr(server)), turntest.Dial(t, "tcp", turntest.Addr(server))
	relayedA, relayedB := a.Allocate(), b.Allocate()
	want(t, "relayed address", relayedA.Addr(), public)
	want(t, "permission", b.Permit(relayedA), 0)
	want(t, "channel", a.Bind(0x4000, relayedB), 0)
	a.SendChannel(0x4000, []byte("hello"))
	want(t, "at b", receive(t, b), turntest.Datagram{Peer: relayedA, Data: "hello"})
	b.SendTo(relayedA, []byte("back"))
	want(t, "at a", receive(t, a), turntest.Datagram{Channel: 0x4000, Data: "back"})
	want(t, "another port of the NAT", a.Permit(netip.AddrPortFrom(public, 443)), 403)
}

// What keeps a socket from being bound is said with what to do about it.
func TestListenErrors(t *testing.T) {
	running := turntest.Addr(turntest.Start(t))
	for listen, part := range map[string]string{
		running.String():    "/udp is in use on 127.0.0.1; stop the other TURN server or set turn.listen",
		"198.51.100.7:3478": "this machine has no address 198.51.100.7; set turn.listen to one it has",
		"nonsense":          `turn.listen: got "nonsense", want ADDRESS:PORT`,
	} {
		server, err := turn.New(turn.Config{Listen: []string{listen}}, turntest.Secret)
		if err == nil {
			server.Close()
			t.Errorf("%s: bound", listen)
		} else if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: got %v, want %s", listen, err, part)
		}
	}
	if _, err := turn.New(turn.Config{Listen: []string{"127.0.0.1:0"}}, []byte("short")); err == nil {
		t.Error("a secret of five bytes was accepted")
	}
}

// A wildcard serves loopback and every address of the machine, on one port.
func TestWildcard(t *testing.T) {
	server := turntest.Start(t, func(cfg *turn.Config) { cfg.Listen = []string{":0"} })
	udp, tcp := server.Addrs()
	want(t, "tcp addresses", len(tcp), len(udp))
	for i, addr := range udp {
		want(t, "port", addr.Port(), udp[0].Port())
		want(t, "tcp address", tcp[i], addr)
		c := turntest.Dial(t, "udp", addr)
		want(t, "binding", turntest.Code(c.Do(stun.BindingRequest)), 0)
	}
	want(t, "first address", udp[0].Addr().IsLoopback(), true)
}

// Callers who have come to different addresses of the box meet all the same,
// as when one of them is a browser on the box.
func TestCallersOnDifferentAddresses(t *testing.T) {
	server := turntest.Start(t, func(cfg *turn.Config) { cfg.Listen, cfg.AllowPeers = []string{"0.0.0.0:0"}, nil })
	udp, _ := server.Addrs()
	for _, addr := range udp {
		a, b := turntest.Dial(t, "udp", udp[0]), turntest.Dial(t, "udp", addr)
		relayedA, relayedB := a.Allocate(), b.Allocate()
		want(t, "permission", b.Permit(relayedA), 0)
		want(t, "channel", a.Bind(0x4000, relayedB), 0)
		a.SendChannel(0x4000, []byte("hello"))
		want(t, "at b", receive(t, b), turntest.Datagram{Peer: relayedA, Data: "hello"})
		b.SendTo(relayedA, []byte("back"))
		want(t, "at a", receive(t, a), turntest.Datagram{Channel: 0x4000, Data: "back"})
	}
}
