package upstream

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"

	"signalbox/sync/wire"
)

// bubble runs a cloud on time that is made up.
func bubble(t *testing.T, do func(t *testing.T, c *cloud, n *memory)) {
	t.Helper()
	ats.Register() // a clock of the broker's that all of the process share: it must not be born in the bubble
	defer ats.Unregister()
	warm(t)
	emptyPools()
	defer emptyPools()
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		do(t, newCloud(t, network, true), network)
		_ = network.Close()
	})
}

// emptyPools has nats.go forget the timers in its pool: those of a bubble are of
// no use outside, and the other way round.
func emptyPools() {
	for range 2 {
		runtime.GC()
	}
}

// warm has the compressor make its channels, which all of the process share.
func warm(t *testing.T) {
	t.Helper()
	packed, err := wire.Pack(&wire.Frame{First: 1, Last: 1})
	if err == nil {
		_, _, err = wire.Unpack(packed)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// inBubble runs a cloud and an agent.
func inBubble(t *testing.T, change func(*Config), do func(t *testing.T, c *cloud, a *running, p *parts, n *memory)) {
	t.Helper()
	bubble(t, func(t *testing.T, c *cloud, n *memory) {
		p := newParts()
		a := run(t, c, t.TempDir(), func(cfg *Config) {
			cfg.Source, cfg.connect = p, n.dial
			if change != nil {
				change(cfg)
			}
		})
		do(t, c, a, p, n)
		a.stop()
	})
}

// A day of a box that nobody uses: what it writes, sends, and how often it wakes.
func TestIdleDay(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, n *memory) {
		time.Sleep(time.Hour)
		synctest.Wait()
		before, frames, asked, wired := a.Status(), len(c.frames), p.looks(), n.onWire()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		after := a.Status()
		made, looks := len(c.frames)-frames, p.looks()-asked
		t.Logf("a day of an idle box: %d frames, %d looks, %d bytes sent, %d received, %d on the wire, %d written to disk",
			made, looks, after.Sent-before.Sent, after.Received-before.Received, n.onWire()-wired, after.Written-before.Written)
		if got := n.onWire() - wired; got > 500_000 {
			t.Errorf("%d bytes on the wire, want at most 500,000", got)
		}
		if made < 280 || made > 300 {
			t.Errorf("%d frames, want one in five minutes", made)
		}
		if looks > 1500 {
			t.Errorf("looked at the box %d times, want once a minute", looks)
		}
		if wrote := after.Written - before.Written; wrote > 100<<20 {
			t.Errorf("wrote %d bytes, want at most 100 MiB", wrote)
		}
		if after.Queue != 0 || !after.Connected || after.Connects != 1 {
			t.Errorf("status %+v, want one connection and nothing to send", after)
		}
	})
}

// Four hours of a box with a hundred devices, as a part of a day.
func TestBusyDay(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, n *memory) {
		time.Sleep(time.Hour + 5*time.Second)
		before, wired := a.Status(), n.onWire()
		c.with(func() { c.frames = nil })
		for i := range 4 * 60 * 6 {
			p.change(func(p *parts) {
				for id, step := range map[wire.MetricID]int{
					wire.SignalingFrames: 230, wire.SignalingBytes: 41_733, wire.SignalingCandidates: 17, wire.SignalingOffers: 3, wire.SignalingAnswers: 3,
					wire.SessionsOpened: 1, wire.SessionsResumed: 1, wire.RelayPackets: 91_817, wire.RelayBytesToPeers: 81_817_233, wire.RelayBytesToClients: 80_117_231,
					wire.RelayAllocationsMade: 2, wire.StoreWrittenBytes: 40_960,
				} {
					p.sample.Counters[id] += uint64(step * (i%7 + 1))
				}
				for id, v := range map[wire.MetricID]int64{
					wire.SessionsOnline: 100 - int64(i%3), wire.RoomsOpen: 20 + int64(i%2), wire.RoomsMembers: 98 + int64(i%5),
					wire.RelayAllocations: 30 + int64(i%4), wire.RelayBits: 64_000_000 + int64(i*7919%9_000_000),
				} {
					p.sample.Gauges[id] = v
				}
				p.rooms = nil
				for j := range 20 {
					p.rooms = append(p.rooms, wire.RoomFacts{Name: fmt.Sprint("line-", j), Members: 2 + (i/30+j)%3})
				}
			})
			for j := range 5 {
				a.Took(wire.QualityRTTMs, time.Duration(2+(i*j)%40)*time.Millisecond)
				a.Saw(fmt.Sprint("cam-", (i+j)%100))
			}
			a.Took(wire.QualityJoinMs, time.Duration(20+i%300)*time.Millisecond)
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		after := a.Status()
		t.Logf("a day of a busy box: %d frames, %d bytes sent, %d received, %d on the wire, %d written to disk", 6*len(c.frames),
			6*(after.Sent-before.Sent), 6*(after.Received-before.Received), 6*(n.onWire()-wired), 6*(after.Written-before.Written))
		if got := 6 * (n.onWire() - wired); got > 2_000_000 {
			t.Errorf("%d bytes on the wire, want at most 2,000,000", got)
		}
		if got := 6 * (after.Written - before.Written); got > 100<<20 {
			t.Errorf("%d bytes written, want at most 100 MiB", got)
		}
		if frames := len(c.frames); frames < 238 || frames > 242 {
			t.Errorf("%d frames in four hours, want one a minute", frames)
		}
	})
}
