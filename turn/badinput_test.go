package turn_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// badInput is a relay and a client of it with an allocation, a channel 0x4000
// and a permission for peer.
type badInput struct {
	*testing.T
	server *turn.Server
	client *turntest.Client
	peer   turntest.Peer
}

func startBadInput(t *testing.T, network string) *badInput {
	b := &badInput{T: t, server: turntest.Start(t, func(cfg *turn.Config) { cfg.MaxChallenges = 1 << 20 })}
	peer := addrOf(listenPeer(t))
	b.client, b.peer = turntest.Dial(t, network, turntest.Addr(b.server)), turntest.Peer(peer)
	b.client.Allocate()
	want(t, "channel", b.client.Bind(0x4000, peer), 0)
	return b
}

// send sends a message, waits for it to be counted, and has the client answered
// after it.
func (b *badInput) send(c *turntest.Client, m malformedMessage) {
	b.Helper()
	before := b.server.Stats()
	count := func(s turn.Stats) uint64 { return s.Dropped[m.drop] }
	if m.code != 0 {
		count = func(s turn.Stats) uint64 { return s.Refused[m.code] }
	}
	c.Write(m.raw)
	if m.code != 0 {
		answer := c.Response([stun.TransactionIDSize]byte(m.raw[8:20]))
		want(b, m.what, turntest.Code(answer), m.code)
		want(b, m.what+": method", binary.BigEndian.Uint16(answer.Raw), binary.BigEndian.Uint16(m.raw)|0x110)
	}
	turntest.Until(b, m.what+" counted", func() bool { return count(b.server.Stats()) == count(before)+1 })
	// The next answer is to the next request: there was none in between.
	binding := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	c.Write(binding.Raw)
	next, err := c.Read(5 * time.Second)
	if err != nil || !bytes.Equal(next[8:20], binding.TransactionID[:]) {
		b.Errorf("%s: then got %x, %v", m.what, next, err)
	}
}

// Every malformed message gets the RFC's error or none, is counted under its
// reason, and leaves the relay as it was.
func TestMalformedDatagrams(t *testing.T) {
	b := startBadInput(t, "udp")
	stranger := turntest.Dial(t, "udp", turntest.Addr(b.server))
	for _, m := range malformed() {
		b.send(stranger, m)
		b.send(b.client, m)
	}
	for _, m := range malformedData(b.peer) {
		b.send(b.client, m)
		if m.drop != "malformed" || m.raw[0] < 0x40 { // a Send indication of a stranger is not read
			m.drop = "no_allocation"
		}
		b.send(stranger, m)
	}
	b.stillServes()
}

// On a stream a message that cannot be told from the next one ends the
// connection, and everything else is as over UDP.
func TestMalformedStreams(t *testing.T) {
	b := startBadInput(t, "tcp")
	for _, m := range malformed() {
		switch {
		case len(m.raw) < 20:
			// That is no message yet: see TestSlowMessageEndsConnection.
		case m.raw[0] >= 4, m.raw[3]%4 != 0, binary.BigEndian.Uint32(m.raw[4:]) != 0x2112A442:
			m.drop = "malformed"
			b.ends(m)
		case 20+int(binary.BigEndian.Uint16(m.raw[2:])) == len(m.raw):
			b.send(b.client, m)
			b.send(turntest.Dial(t, "tcp", turntest.Addr(b.server)), m)
		}
	}
	for _, m := range malformedData(b.peer) {
		if len(m.raw) < 4 {
			continue // the same
		}
		if size := 4 + int(binary.BigEndian.Uint16(m.raw[2:])); m.raw[0] < 0x40 || size <= len(m.raw) {
			b.send(b.client, m)
		}
		if m.raw[0] >= 0x40 { // before there is an allocation it is no TURN
			m.drop = "malformed"
			b.ends(m)
		} else {
			m.drop = "no_allocation"
			b.send(turntest.Dial(t, "tcp", turntest.Addr(b.server)), m)
		}
	}
	b.stillServes()
}

// ends sends a message over a connection of its own, which the relay closes.
func (b *badInput) ends(m malformedMessage) {
	b.Helper()
	before := b.server.Stats()
	c := turntest.Dial(b, "tcp", turntest.Addr(b.server))
	c.Write(m.raw)
	if answer, err := c.Read(5 * time.Second); err == nil {
		b.Errorf("%s: got %x, want the end", m.what, answer)
	}
	turntest.Until(b, m.what+" counted", func() bool {
		stats := b.server.Stats()
		return stats.Dropped[m.drop] == before.Dropped[m.drop]+1 && stats.Closed["not_turn"] == before.Closed["not_turn"]+1
	})
}

// A request that is signed is told what is wrong with it.
func TestMalformedRequests(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		b := startBadInput(t, network)
		for _, r := range malformedRequests(b.peer) {
			before := b.server.Stats().Refused[r.code]
			m := b.client.Request(r.method, r.setters...)
			want(t, r.what, turntest.Code(m), r.code)
			if err := b.client.Key().Check(m); err != nil {
				t.Errorf("%s: %v", r.what, err)
			}
			want(t, r.what+": counted", b.server.Stats().Refused[r.code], before+1)
		}
		b.stillServes()
	})
}

// stillServes checks that the client's allocation is as it was made, and works.
func (b *badInput) stillServes() {
	b.Helper()
	live := b.server.Allocations()
	if len(live) != 1 || len(live[0].Channels) != 1 || len(live[0].Permissions) != 1 || live[0].ToPeers.Packets != 0 {
		b.Errorf("got allocations %+v, want the client's", live)
	}
	b.client.SendChannel(0x4000, []byte("x"))
	turntest.Until(b, "data relayed", func() bool { return b.server.Stats().ToPeers == turn.Traffic{Packets: 1, Bytes: 1} })
	want(b, "refresh", b.client.Refresh(10*time.Minute), 0)
}

// Thousands of malformed messages leave no goroutine and no memory behind.
func TestMalformedMessagesLeaveNothing(t *testing.T) {
	b := startBadInput(t, "udp")
	all := append(malformed(), malformedData(b.peer)...)
	flood := func(rounds int) {
		for range rounds {
			for _, m := range all {
				b.client.Write(m.raw)
			}
			for { // until the answer to a request of ours is there, behind all others
				binding := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
				b.client.Write(binding.Raw)
				if drainTo(b.client, binding.TransactionID) {
					break
				}
			}
		}
	}
	size := func() (goroutines int, heap uint64) {
		runtime.GC()
		runtime.GC() // what the first one took out of pools
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		return runtime.NumGoroutine(), memory.HeapAlloc + memory.StackInuse
	}
	flood(10)
	goroutines, before := size()
	flood(100)
	got, after := size()
	if got > goroutines {
		t.Errorf("%d goroutines, before there were %d", got, goroutines)
	}
	if after > before+128<<10 {
		t.Errorf("%d bytes more than before", after-before)
	}
	b.stillServes()
}

// drainTo reads up to the response to a request; false when it does not come.
func drainTo(c *turntest.Client, id [stun.TransactionIDSize]byte) bool {
	for {
		raw, err := c.Read(time.Second)
		if err != nil {
			return false
		}
		if len(raw) >= 20 && bytes.Equal(raw[8:20], id[:]) {
			return true
		}
	}
}
