package turn_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// onlyDefaults takes back what turntest allows.
func onlyDefaults(cfg *turn.Config) { cfg.AllowPeers = nil }

func TestPeersRefusedByDefault(t *testing.T) {
	server := turntest.Start(t, onlyDefaults)
	c := turntest.Dial(t, "udp", turntest.Addr(server))
	c.Allocate()
	for i, peer := range []string{
		"127.0.0.1:22", "127.0.0.1:0", "127.1.2.3:80", "169.254.169.254:80", "169.254.1.1:80", "0.0.0.0:80",
		"224.0.0.251:5353", "255.255.255.255:9", "198.51.100.7:80",
		"[::1]:80", "[::]:80", "[fe80::1]:80", "[ff02::1]:80", "[fd00:ec2::254]:80",
		"[::ffff:127.0.0.1]:22", "[::127.0.0.1]:22", "[64:ff9b::127.0.0.1]:22", "[2002:7f00:1::]:22",
		"[::ffff:169.254.169.254]:80", "[64:ff9b::169.254.169.254]:80", "[2002:a9fe:a9fe::1]:80",
	} {
		addr := netip.MustParseAddrPort(peer)
		want(t, "permission for "+peer, c.Permit(addr), 403)
		want(t, "channel to "+peer, c.Bind(0x4000+uint16(i), addr), 403)
	}
}

// A permission is for an address; the box's other ports stay out of reach in
// both directions.
func TestPermissionDoesNotOpenTheBox(t *testing.T) {
	server := turntest.Start(t, onlyDefaults)
	service := listenPeer(t)
	a, b := turntest.Dial(t, "udp", turntest.Addr(server)), turntest.Dial(t, "udp", turntest.Addr(server))
	relayedA, relayedB := a.Allocate(), b.Allocate()
	want(t, "permission for another caller", a.Permit(relayedB), 0)

	a.SendTo(addrOf(service), []byte("to a service of the box"))
	if _, err := service.WriteToUDPAddrPort([]byte("from it"), relayedA); err != nil {
		t.Fatal(err)
	}
	turntest.Until(t, "both dropped", func() bool { return server.Stats().Dropped["peer_denied"] == 2 })

	// When the other caller has gone, its port is the box's again.
	want(t, "end", b.Refresh(0), 0)
	a.SendTo(relayedB, []byte("to nobody"))
	turntest.Until(t, "dropped", func() bool { return server.Stats().Dropped["peer_denied"] == 3 })
	want(t, "permission for nobody", a.Permit(relayedB), 403)
	want(t, "to peers", server.Stats().ToPeers.Packets, 0)
}

func listenPeer(t testing.TB) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func addrOf(conn *net.UDPConn) netip.AddrPort { return conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Only a peer with a permission gets through, from any of its ports.
func TestPermissionIsNeeded(t *testing.T) {
	server := turntest.Start(t)
	peer, other := listenPeer(t), listenPeer(t)
	c := turntest.Dial(t, "udp", turntest.Addr(server))
	relayed := c.Allocate()
	write := func(conn *net.UDPConn, data string) {
		if _, err := conn.WriteToUDPAddrPort([]byte(data), relayed); err != nil {
			t.Fatal(err)
		}
	}
	write(peer, "early")
	turntest.Until(t, "dropped", func() bool { return server.Stats().Dropped["no_permission"] == 1 })
	want(t, "permission", c.Permit(addrOf(peer)), 0)
	write(peer, "hello")
	want(t, "got", receive(t, c), turntest.Datagram{Peer: addrOf(peer), Data: "hello"})
	write(other, "from another port")
	want(t, "got", receive(t, c), turntest.Datagram{Peer: addrOf(other), Data: "from another port"})
}

// pion v3 cut datagrams at 1600 bytes and passed them on (F16).
func TestOversizeDatagramIsDropped(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		server, peer := turntest.Start(t), listenPeer(t)
		c := turntest.Dial(t, network, turntest.Addr(server))
		relayed := c.Allocate()
		want(t, "channel", c.Bind(0x4000, addrOf(peer)), 0)
		for _, size := range []int{2049, 9000, 2048} {
			if _, err := peer.WriteToUDPAddrPort(make([]byte, size), relayed); err != nil {
				t.Fatal(err)
			}
		}
		want(t, "size", len(receive(t, c).Data), 2048)
		want(t, "oversize", server.Stats().Dropped["oversize"], 2)
	})
}

func TestCaps(t *testing.T) {
	server := turntest.Start(t, func(cfg *turn.Config) {
		cfg.MaxAllocations, cfg.MaxAllocationsPerUser = 5, 3
		cfg.MaxPermissions, cfg.MaxChannels = 4, 2
	})
	allocate := func(user string) int {
		c := turntest.Dial(t, "udp", turntest.Addr(server))
		c.Credential = server.Credential(user, time.Hour)
		return turntest.Code(c.Request(stun.MethodAllocate, turntest.UDPTransport))
	}
	peer := func(n int) netip.AddrPort { return netip.MustParseAddrPort(fmt.Sprintf("127.0.0.%d:9", n)) }

	c := turntest.Dial(t, "udp", turntest.Addr(server))
	c.Credential = server.Credential("anna", time.Hour)
	c.Allocate()
	want(t, "permissions 1 to 3", c.Permit(peer(1), peer(2), peer(3), peer(1)), 0)
	want(t, "permissions 4 and 5", c.Permit(peer(4), peer(5)), 508)
	want(t, "permission 4", c.Permit(peer(4)), 0)
	want(t, "permissions again", c.Permit(peer(1), peer(4)), 0)
	want(t, "channel with a fifth permission", c.Bind(0x4000, peer(5)), 508)
	want(t, "channel 1", c.Bind(0x4000, peer(1)), 0)
	want(t, "channel 2", c.Bind(0x4001, peer(2)), 0)
	want(t, "channel 3", c.Bind(0x4002, peer(3)), 508)
	want(t, "channel 1 again", c.Bind(0x4000, peer(1)), 0)
	info := server.Allocations()[0]
	want(t, "permissions", len(info.Permissions), 4)
	want(t, "channels", len(info.Channels), 2)

	want(t, "allocation 2 of anna", allocate("anna"), 0)
	want(t, "allocation 3 of anna", allocate("anna"), 0)
	want(t, "allocation 4 of anna", allocate("anna"), 486)
	want(t, "allocation 1 of bert", allocate("bert"), 0)
	want(t, "allocation 1 of cleo", allocate("cleo"), 0)
	want(t, "allocation 1 of dora", allocate("dora"), 508)
	want(t, "end", c.Refresh(0), 0)
	want(t, "allocation 1 of dora", allocate("dora"), 0)
	want(t, "users", server.Stats().Users, 4)
}

// Every port of the range is used before one caller is refused, and used again
// when a call has ended (F15).
func TestRelayPortsRunOut(t *testing.T) {
	within := turn.PortRange{First: 21500, Last: 21515}
	server := turntest.Start(t, func(cfg *turn.Config) { cfg.RelayPorts = within })
	var clients []*turntest.Client
	var used []uint16
	for range within.Size() {
		c := turntest.Dial(t, "udp", turntest.Addr(server))
		m := c.Request(stun.MethodAllocate, turntest.UDPTransport)
		if turntest.Code(m) == 508 && len(used) > 0 {
			break // another program has some of the ports
		}
		clients = append(clients, c)
		used = append(used, server.Allocations()[len(clients)-1].Relayed[0].Port())
	}
	slices.Sort(used)
	if len(slices.Compact(used)) != len(clients) || !within.Contains(used[0]) || !within.Contains(used[len(used)-1]) {
		t.Errorf("relayed ports %v", used)
	}
	late := turntest.Dial(t, "udp", turntest.Addr(server))
	want(t, "when all are taken", turntest.Code(late.Request(stun.MethodAllocate, turntest.UDPTransport)), 508)
	want(t, "end", clients[3].Refresh(0), 0)
	want(t, "when one is free", turntest.Code(late.Request(stun.MethodAllocate, turntest.UDPTransport)), 0)
}
