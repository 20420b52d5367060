package turn_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// What is over a quota of traffic is dropped in both directions and counted.
func TestTrafficQuotas(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		for _, test := range []struct {
			reason    string
			configure func(*turn.Config)
		}{
			{"byte_quota", func(cfg *turn.Config) { cfg.MaxUserBytes = 64 << 10 }},
			{"bit_rate", func(cfg *turn.Config) { cfg.MaxBitRatePerAllocation = 8000 }}, // and 64 KiB at once
		} {
			server, peer := turntest.Start(t, test.configure), echo(t, "127.0.0.1:0")
			c := turntest.Dial(t, network, turntest.Addr(server))
			c.Allocate()
			want(t, "channel", c.Bind(0x4000, peer), 0)
			for range 200 { // and 200 answers, of 1000 and 1005 bytes
				c.SendChannel(0x4000, make([]byte, 1000))
				if server.Stats().Dropped[test.reason] == 0 {
					c.Receive(time.Second)
				}
			}
			turntest.Until(t, "everything relayed or dropped", func() bool {
				stats := server.Stats()
				return stats.ToPeers.Packets+stats.Dropped[test.reason] >= 200
			})
			stats := server.Stats()
			relayed := stats.ToPeers.Bytes + stats.ToClients.Bytes
			if relayed > 66<<10 || relayed < 62<<10 {
				t.Errorf("%s: %d bytes relayed, want about 64 KiB; dropped %v", test.reason, relayed, stats.Dropped)
			}
			want(t, "refresh", c.Refresh(10*time.Minute), 0) // control messages go on
		}
	})
}

func TestQuotasOverAllocations(t *testing.T) {
	server := turntest.Start(t, func(cfg *turn.Config) {
		cfg.MaxAllocationsPerSource = 3
		cfg.MaxPermissionsPerUser, cfg.MaxChannelsPerUser = 3, 2
	})
	dial := func(user string) *turntest.Client {
		c := turntest.Dial(t, "udp", turntest.Addr(server))
		c.Credential = server.Credential(user, time.Hour)
		return c
	}
	peers := []netip.AddrPort{
		netip.MustParseAddrPort("127.0.0.1:9"), netip.MustParseAddrPort("127.0.0.2:9"), netip.MustParseAddrPort("127.0.0.3:9"),
	}
	a, b, other := dial("anna"), dial("anna"), dial("bert")
	for _, c := range []*turntest.Client{a, b, other} {
		c.Allocate()
	}
	want(t, "fourth from one source", turntest.Code(dial("cleo").Request(stun.MethodAllocate, turntest.UDPTransport)), 486)
	want(t, "two permissions", a.Permit(peers[:2]...), 0)
	want(t, "two more of the user", b.Permit(peers[:2]...), 508)
	want(t, "one more", b.Permit(peers[0]), 0)
	want(t, "three of another user", other.Permit(peers...), 0)
	want(t, "channel", a.Bind(0x4000, peers[0]), 0)
	want(t, "second channel", b.Bind(0x4000, peers[0]), 0)
	want(t, "third channel", a.Bind(0x4001, peers[1]), 508)
	want(t, "end", b.Refresh(0), 0)
	want(t, "permission that came free", a.Permit(peers...), 0)
	want(t, "channel that came free", a.Bind(0x4001, peers[1]), 0)
}
