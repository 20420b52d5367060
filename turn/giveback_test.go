package turn

import (
	"io"
	"net"
	"net/netip"
	"testing"

	"signalbox/turn/internal/udpio"
)

// used are the bytes that a's user has used of its quota.
func used(a *allocation) int64 { return a.grant.accounts[0].meter.relayed.Load() }

// A quota is charged for what is relayed, and for nothing that is dropped on the
// way, whoever drops it.
func TestQuotaOfDroppedPackets(t *testing.T) {
	w := newWire(t, func(c *Config) {
		c.MaxUserBytes, c.MaxBitRatePerUser = 1<<20, 8e3
		c.AllowPeers = rules("127.0.0.0/8", "192.0.2.0/24")
	})
	other := w.allocate(t, netip.AddrPortFrom(loopback, 11))
	client, far := net.Pipe() // which nobody reads
	defer far.Close()
	stream := newTCPLink(w.server, client)
	defer stream.close(closeByClient)
	slow := w.allocateBy(t, stream, netip.AddrPortFrom(loopback, 12))
	slow.permit([]netip.AddrPort{w.a.relays[0].relayed})
	for i, peer := range []netip.AddrPort{other.relays[0].relayed, slow.relays[0].relayed, netip.MustParseAddrPort("192.0.2.1:9")} {
		w.a.bind(minChannel+1+uint16(i), peer)
	}
	payload := make([]byte, 1000)
	send := func(channel byte, packets int) (mine, others, slows int64) {
		t.Helper()
		mine, others, slows = used(w.a), used(other), used(slow)
		for range packets {
			w.receive("channel", udpio.Datagram{From: w.a.client, Data: append([]byte{0x40, channel, 1000 >> 8, 1000 & 0xFF}, payload...)})
		}
		w.batch.Flush()
		return used(w.a) - mine, used(other) - others, used(slow) - slows
	}
	drops := func(reason dropReason) uint64 { return w.server.Stats().Dropped[reason.String()] }
	check := func(what string, reason dropReason, dropped uint64, mine, others, slows int64, wanted [3]int64) {
		t.Helper()
		if got := [3]int64{mine, others, slows}; got != wanted || drops(reason) != dropped {
			t.Errorf("%s: users have %v bytes less, %d packets dropped; want %v and %d", what, got, drops(reason), wanted, dropped)
		}
	}

	mine, others, slows := send(0, 3)
	check("to the peer", dropSendFailed, 0, mine, others, slows, [3]int64{3000})
	mine, others, slows = send(1, 3)
	check("to a caller who has not permitted it", dropNoPermission, 3, mine, others, slows, [3]int64{})
	mine, others, slows = send(3, 3) // a socket on loopback has no way there
	check("to nowhere", dropSendFailed, 3, mine, others, slows, [3]int64{})
	other.permit([]netip.AddrPort{w.a.relays[0].relayed})
	for reason, ok := dropReason(0), true; ok && reason == 0; {
		reason, ok = other.grant.spend(1000, w.server.quotas.at(w.batch.Now()))
	}
	mine, others, slows = send(1, 3)
	check("to a caller whose bit rate is used up", dropBitRate, 3, mine, others, slows, [3]int64{})

	stream.queue.push(nil, make([]byte, maxQueued-1500), 0, maxQueued)
	mine, others, slows = send(2, 3) // one fits
	check("to a caller who does not read", dropQueueFull, 2, mine, others, slows, [3]int64{1000, 0, 1000})
	full := w.a.grant.accounts[0].meter.full.Load()
	mine, others, slows = send(2, 3)
	check("and again", dropQueueFull, 5, mine, others, slows, [3]int64{})
	if now := w.a.grant.accounts[0].meter.full.Load(); now != full {
		t.Errorf("the bit rate was charged %d ns for what was dropped", now-full)
	}
	_ = client.Close()
	_, _ = io.Copy(io.Discard, far)
}
