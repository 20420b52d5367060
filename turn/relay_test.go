package turn_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v2"
	pionturn "github.com/pion/turn/v3"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// echo is a peer that sends every datagram back with "echo " before it.
func echo(t testing.TB, listen string) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(listen)))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(p)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(append([]byte("echo "), p[:n]...), from)
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

var transports = []string{"udp", "tcp"}

func forEachTransport(t *testing.T, test func(t *testing.T, network string)) {
	for _, network := range transports {
		t.Run(network, func(t *testing.T) { test(t, network) })
	}
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func receive(t testing.TB, c *turntest.Client) turntest.Datagram {
	t.Helper()
	d, ok := c.Receive(5 * time.Second)
	if !ok {
		t.Fatal("nothing received in 5s")
	}
	return d
}

func TestRelay(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		server, peer := turntest.Start(t), echo(t, "127.0.0.1:0")
		c := turntest.Dial(t, network, turntest.Addr(server))
		c.Allocate()

		want(t, "permission", c.Permit(peer), 0)
		c.SendTo(peer, []byte("by indication"))
		want(t, "answer", receive(t, c), turntest.Datagram{Peer: peer, Data: "echo by indication"})

		want(t, "channel", c.Bind(0x4000, peer), 0)
		for size := range 9 { // on a stream the short ones and the padding are what goes wrong
			c.SendChannel(0x4000, []byte(strings.Repeat("x", size)))
			want(t, "answer", receive(t, c), turntest.Datagram{Channel: 0x4000, Data: "echo " + strings.Repeat("x", size)})
		}
		turntest.Until(t, "both directions counted", func() bool {
			stats := server.Stats()
			return stats.ToPeers == turn.Traffic{Packets: 10, Bytes: 13 + 36} &&
				stats.ToClients == turn.Traffic{Packets: 10, Bytes: 18 + 36 + 45}
		})
	})
}

// Two callers of one box meet at their relayed addresses, whatever carries
// each of them.
func TestRelayToRelay(t *testing.T) {
	for _, pair := range [][2]string{{"udp", "udp"}, {"udp", "tcp"}, {"tcp", "tcp"}} {
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			server := turntest.Start(t, func(cfg *turn.Config) { cfg.AllowPeers = nil })
			a := turntest.Dial(t, pair[0], turntest.Addr(server))
			b := turntest.Dial(t, pair[1], turntest.Addr(server))
			relayedA, relayedB := a.Allocate(), b.Allocate()
			want(t, "permission", b.Permit(relayedA), 0)
			want(t, "channel", a.Bind(0x4001, relayedB), 0)

			a.SendChannel(0x4001, []byte("hello"))
			want(t, "at b", receive(t, b), turntest.Datagram{Peer: relayedA, Data: "hello"})
			b.SendTo(relayedA, []byte("hello back"))
			want(t, "at a", receive(t, a), turntest.Datagram{Channel: 0x4001, Data: "hello back"})
		})
	}
}

func TestPionClient(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		server, peer := turntest.Start(t), echo(t, "127.0.0.1:0")
		credential := server.Credential("pion", time.Minute)
		var conn net.PacketConn
		if network == "tcp" {
			stream, err := net.Dial("tcp", turntest.Addr(server).String())
			if err != nil {
				t.Fatal(err)
			}
			conn = pionturn.NewSTUNConn(stream)
		} else {
			var err error
			if conn, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
		}
		defer conn.Close()
		client, err := pionturn.NewClient(&pionturn.ClientConfig{
			TURNServerAddr: turntest.Addr(server).String(), STUNServerAddr: turntest.Addr(server).String(),
			Username: credential.Username, Password: credential.Password, Conn: conn,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.Listen(); err != nil {
			t.Fatal(err)
		}
		mapped, err := client.SendBindingRequest()
		if err != nil {
			t.Fatal(err)
		}
		want(t, "mapped address", mapped.String(), conn.LocalAddr().String())

		relay, err := client.Allocate()
		if err != nil {
			t.Fatal(err)
		}
		defer relay.Close()
		p := make([]byte, 1500)
		for i := range 20 { // pion binds a channel after the first ones
			payload := fmt.Sprintf("packet %d", i)
			if _, err := relay.WriteTo([]byte(payload), net.UDPAddrFromAddrPort(peer)); err != nil {
				t.Fatal(err)
			}
			_ = relay.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, from, err := relay.ReadFrom(p)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "answer", string(p[:n]), "echo "+payload)
			want(t, "peer", from.String(), peer.String())
		}
	})
}

func TestBinding(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		server := turntest.Start(t)
		c := turntest.Dial(t, network, turntest.Addr(server))
		m := c.Do(stun.BindingRequest, stun.Fingerprint)
		var mapped stun.XORMappedAddress
		if err := mapped.GetFrom(m); err != nil {
			t.Fatal(err)
		}
		want(t, "mapped address", mapped.String(), c.Conn().LocalAddr().String())
		if err := stun.Fingerprint.Check(m); err != nil {
			t.Errorf("fingerprint: %v", err)
		}
		want(t, "bindings", server.Stats().Bindings, 1)
	})
}
