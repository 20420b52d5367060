package turn_test

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/internal/netlab"
	"signalbox/turn"
	"signalbox/turn/turntest"
)

// dialFrom opens a client on a host of a lab.
func dialFrom(t testing.TB, host *netlab.Host, network, server string) *turntest.Client {
	t.Helper()
	conn, err := host.DialContext(t.Context(), network, server)
	if err != nil {
		t.Fatal(err)
	}
	return turntest.Use(t, conn)
}

// A box between two networks that have no route to each other, with nothing
// configured: callers on both sides meet through it, attached hosts are peers,
// everything else is not.
func TestTwoSites(t *testing.T) {
	lab := netlab.New(t, "box", "tablet")
	box, tablet, robot, camera := lab.Host("box"), lab.Host("tablet"), lab.Host("robot"), lab.Host("camera")
	plant := lab.Segment("plant", "10.78.1.0/24", "fd78::/64")
	plantSide := box.Attach(plant)
	robot.Attach(plant)
	camera.Attach(lab.Segment("lan"))

	served := startBox(t, box, turn.Default())
	for _, addr := range []netip.Addr{box.IPv4(), box.IPv6(), plantSide.IPv4(), plantSide.IPv6(), netip.MustParseAddr("127.0.0.1")} {
		if !slices.Contains(served, netip.AddrPortFrom(addr, 3478)) {
			t.Errorf("the box serves %v, want %v too", served, addr)
		}
	}

	for _, version := range []struct {
		name   string
		family byte
		addr   func(*netlab.Host) netip.Addr
		side   netip.Addr
	}{
		{"ipv4", 1, (*netlab.Host).IPv4, plantSide.IPv4()},
		{"ipv6", 2, (*netlab.Host).IPv6, plantSide.IPv6()},
	} {
		t.Run(version.name, func(t *testing.T) {
			a := dialFrom(t, tablet, "udp", netip.AddrPortFrom(version.addr(box), 3478).String())
			b := dialFrom(t, robot, "tcp", netip.AddrPortFrom(version.side, 3478).String())
			family := raw(stun.AttrRequestedAddressFamily, version.family, 0, 0, 0)
			relayedA, relayedB := a.Allocate(family), b.Allocate(family)
			want(t, "relayed on the side of the tablet", relayedA.Addr(), version.addr(box))
			want(t, "relayed on the side of the robot", relayedB.Addr(), version.side)
			want(t, "permission", b.Permit(relayedA), 0)
			want(t, "channel", a.Bind(0x4000, relayedB), 0)
			a.SendChannel(0x4000, []byte("hello"))
			want(t, "at the robot", receive(t, b), turntest.Datagram{Peer: relayedA, Data: "hello"})
			b.SendTo(relayedA, []byte("back"))
			want(t, "at the tablet", receive(t, a), turntest.Datagram{Channel: 0x4000, Data: "back"})

			peer, err := camera.ListenPacket("udp", netip.AddrPortFrom(version.addr(camera), 5000).String())
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			want(t, "channel to a host of the network", a.Bind(0x4001, peer.LocalAddr().(*net.UDPAddr).AddrPort()), 0)
			a.SendChannel(0x4001, []byte("picture?"))
			p := make([]byte, 100)
			_ = peer.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, from, err := peer.ReadFrom(p)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "at the camera", string(p[:n])+" from "+from.String(), "picture? from "+relayedA.String())

			want(t, "ssh of the box", a.Permit(netip.AddrPortFrom(version.addr(box), 22)), 403)
			want(t, "ssh on its other side", a.Permit(netip.AddrPortFrom(version.side, 22)), 403)
		})
	}
	a := dialFrom(t, tablet, "udp", netip.AddrPortFrom(box.IPv4(), 3478).String())
	a.Allocate()
	for _, refused := range []string{"10.77.0.255:9", "10.79.0.5:80", "8.8.8.8:53", "127.0.0.1:22"} {
		want(t, refused, a.Permit(netip.MustParseAddrPort(refused)), 403)
	}
}

// An address that comes while the relay runs is served within a second, by UDP
// and TCP, and its network is part of the site; nothing was restarted. One that
// goes for a moment ends no call.
func TestNetworkComesAndGoes(t *testing.T) {
	lab := netlab.New(t, "box", "tablet")
	box, robot := lab.Host("box"), lab.Host("robot")
	startBox(t, box, turn.Default())
	a := dialFrom(t, lab.Host("tablet"), "udp", netip.AddrPortFrom(box.IPv4(), 3478).String())
	relayedA := a.Allocate()
	robotPeer := netip.MustParseAddrPort("10.78.1.9:5000")
	want(t, "before", a.Permit(robotPeer), 403)

	plant := lab.Segment("plant", "10.78.1.0/24", "fd78::/64")
	robot.Attach(plant)
	link := box.Attach(plant)
	plugged := time.Now()
	for _, addr := range []netip.Addr{link.IPv4(), link.IPv6()} {
		at := netip.AddrPortFrom(addr, 3478).String()
		turntest.Until(t, at, func() bool {
			conn, err := robot.DialContext(t.Context(), "tcp", at)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	}
	// Attach has waited for the duplicate address detection of IPv6.
	if took := time.Since(plugged); took > time.Second {
		t.Errorf("the new addresses were served after %v, want a second at most", took)
	}
	want(t, "permission", a.Permit(robotPeer), 0)
	want(t, "ssh at the new address of the box", a.Permit(netip.AddrPortFrom(link.IPv4(), 22)), 403)
	b := dialFrom(t, robot, "udp", netip.AddrPortFrom(link.IPv4(), 3478).String())
	relayedB := b.Allocate()
	want(t, "relayed on", relayedB.Addr(), link.IPv4())
	want(t, "permission", b.Permit(relayedA), 0)
	want(t, "channel", a.Bind(0x4000, relayedB), 0)
	hello := func(what string) {
		t.Helper()
		a.SendChannel(0x4000, []byte(what))
		want(t, "at the robot", receive(t, b), turntest.Datagram{Peer: relayedA, Data: what})
	}
	hello("hello")

	// The robot is reached by IPv6, and relayed at the address that will go.
	c := dialFrom(t, robot, "udp", netip.AddrPortFrom(link.IPv6(), 3478).String())
	relayedC := c.Allocate()
	want(t, "relayed on", relayedC.Addr(), link.IPv4())
	want(t, "permission", c.Permit(relayedA), 0)
	want(t, "channel", a.Bind(0x4001, relayedC), 0)

	address := netip.PrefixFrom(link.IPv4(), 24).String()
	link.DelAddr(address)
	turntest.Until(t, "refusal without the network", func() bool { return a.Permit(robotPeer) == 403 })
	a.SendChannel(0x4001, []byte("meanwhile"))
	want(t, "at the robot", receive(t, c), turntest.Datagram{Peer: relayedA, Data: "meanwhile"})
	want(t, "permission without the address", a.Permit(relayedC), 0)
	link.AddAddr(address)
	turntest.Until(t, "permission with it", func() bool { return a.Permit(robotPeer) == 0 })
	hello("after a moment without the address")
	link.Remove()
	turntest.Until(t, "refusal after the cable was pulled", func() bool { return a.Permit(robotPeer) == 403 })
}

// The interfaces that are named are the site, or all but those: the relay serves
// there, and only there, and reaches the networks of those alone.
func TestInterfacesOfTheSite(t *testing.T) {
	for _, test := range []struct {
		what      string
		configure func(*turn.Config)
	}{
		{"allowed", func(c *turn.Config) { c.Interfaces = []string{"plant*"} }},
		{"denied", func(c *turn.Config) { c.IgnoreInterfaces = []string{"eth*"} }},
		{"both", func(c *turn.Config) { c.Interfaces, c.IgnoreInterfaces = []string{"plant*", "eth0"}, []string{"eth*"} }},
	} {
		t.Run(test.what, func(t *testing.T) {
			lab := netlab.New(t, "box", "tablet")
			box, robot := lab.Host("box"), lab.Host("robot")
			plant := lab.Segment("plant", "10.78.1.0/24", "fd78::/64")
			side := box.AttachAs("plant7", plant)
			robot.Attach(plant)
			cfg := turn.Default()
			test.configure(&cfg)
			served := startBox(t, box, cfg)
			for addr, want := range map[netip.Addr]bool{
				side.IPv4(): true, side.IPv6(): true, netip.MustParseAddr("127.0.0.1"): true,
				box.IPv4(): false, box.IPv6(): false,
			} {
				if got := slices.Contains(served, netip.AddrPortFrom(addr, 3478)); got != want {
					t.Errorf("%v is served: %v, want %v", addr, got, want)
				}
			}
			c := dialFrom(t, robot, "udp", netip.AddrPortFrom(side.IPv4(), 3478).String())
			want(t, "relayed on", c.Allocate().Addr(), side.IPv4())
			want(t, "a host of the site", c.Permit(netip.AddrPortFrom(netip.MustParseAddr("10.78.1.99"), 5000)), 0)
			want(t, "a host of the other network", c.Permit(netip.AddrPortFrom(lab.Host("tablet").IPv4(), 5000)), 403)
			want(t, "the box at its other address", c.Permit(netip.AddrPortFrom(box.IPv4(), 22)), 403)
		})
	}
}

// Two callers meet inside the relay when a firewall leaves the clients' port
// open and nothing else, be it UDP or TCP.
func TestOnlyTheClientsPort(t *testing.T) {
	for _, network := range transports {
		t.Run(network, func(t *testing.T) {
			lab := netlab.New(t, "box", "tablet", "robot")
			box := lab.Host("box")
			startBox(t, box, turn.Default())
			firewall := "table inet f { chain i { type filter hook input priority 0; policy drop; iif lo accept; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; " +
				network + " dport 3478 accept; }\n}"
			if out, err := box.Command(t.Context(), "nft", firewall).CombinedOutput(); err != nil {
				t.Skipf("nft: %v: %s", err, out)
			}
			at := netip.AddrPortFrom(box.IPv4(), 3478).String()
			a, b := dialFrom(t, lab.Host("tablet"), network, at), dialFrom(t, lab.Host("robot"), network, at)
			relayedA, relayedB := a.Allocate(), b.Allocate()
			want(t, "channel", a.Bind(0x4000, relayedB), 0)
			want(t, "channel", b.Bind(0x4001, relayedA), 0)
			a.SendChannel(0x4000, []byte("hello"))
			want(t, "at the robot", receive(t, b), turntest.Datagram{Channel: 0x4001, Data: "hello"})
			b.SendTo(relayedA, []byte("back"))
			want(t, "at the tablet", receive(t, a), turntest.Datagram{Channel: 0x4000, Data: "back"})
		})
	}
}

// What is larger than the path to the peer takes goes out in fragments, unless
// the client forbids it (RFC 8656 §14).
func TestDontFragment(t *testing.T) {
	lab := netlab.New(t, "box", "tablet", "robot")
	box, robot := lab.Host("box"), lab.Host("robot")
	startBox(t, box, turn.Default())
	for i, addr := range []func(*netlab.Host) netip.Addr{(*netlab.Host).IPv4, (*netlab.Host).IPv6} {
		conn, err := robot.ListenPacket("udp", netip.AddrPortFrom(addr(robot), 5000).String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		peer := conn.LocalAddr().(*net.UDPAddr).AddrPort()
		c := dialFrom(t, lab.Host("tablet"), "udp", netip.AddrPortFrom(addr(box), 3478).String())
		c.Allocate(raw(stun.AttrRequestedAddressFamily, byte(i+1), 0, 0, 0))
		want(t, "permission", c.Permit(peer), 0)
		for _, size := range []int{1300, 1800, 1301, 1801, 7} { // the network takes 1500 bytes
			var forbid []stun.Setter
			if size%2 == 0 {
				forbid = []stun.Setter{raw(stun.AttrDontFragment)}
			}
			c.Write(stun.MustBuild(append([]stun.Setter{
				stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
				turntest.Peer(peer), raw(stun.AttrData, make([]byte, size)...),
			}, forbid...)...).Raw)
		}
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		p := make([]byte, 2048)
		for _, size := range []int{1300, 1301, 1801, 7} {
			n, _, err := conn.ReadFrom(p)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "bytes at the robot", n, size)
		}
	}
}
