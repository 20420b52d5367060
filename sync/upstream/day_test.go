package upstream

import (
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
