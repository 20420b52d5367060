package upstream

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/wire"
)

// count has the box count n more offers.
func (p *parts) count(n uint64) {
	p.change(func(p *parts) { p.sample.Counters[wire.SignalingOffers] += n })
}

// A link that swallows everything is found within 45 s of something being sent,
// and the box comes back by itself.
func TestDeadLinkIsFound(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, n *memory) {
		time.Sleep(time.Minute)
		n.hole.Store(true)
		p.count(1)
		newest := a.Status().Newest
		for a.Status().Newest == newest {
			time.Sleep(time.Second)
		}
		sent := time.Now()
		for a.Status().Connected {
			time.Sleep(time.Second)
		}
		if took := time.Since(sent); took > 45*time.Second {
			t.Errorf("found dead after %v, want 45 s at most", took)
		}
		time.Sleep(3 * time.Minute)
		if s := a.Status(); s.Connected || !strings.Contains(s.Fault, "no answer in time") {
			t.Errorf("status %+v, want no connection and why", s)
		}
		n.hole.Store(false)
		time.Sleep(4 * time.Minute)
		if s := a.Status(); !s.Connected || s.Queue > 0 || s.Fault != "" {
			t.Errorf("status %+v, want a connection and nothing to send", s)
		}
		if got := c.total(wire.SignalingOffers); got != 1 {
			t.Errorf("offers: %d, want 1", got)
		}
	})
}

// An idle link that is dead is found too, by its missing signs of life.
func TestDeadIdleLinkIsFound(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, _ *cloud, a *running, _ *parts, n *memory) {
		time.Sleep(20 * time.Minute)
		n.hole.Store(true)
		time.Sleep(keepAlive + deadAfter + time.Second)
		if a.Status().Connected {
			t.Error("still connected")
		}
	})
}

// A cloud that is starting has a broker before it has anybody who answers. The
// box asks again soon.
func TestNobodyAnswersYet(t *testing.T) {
	c := newCloud(t, listen(t), true)
	if err := c.asking.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	a := run(t, c, t.TempDir(), nil)
	a.until("the tunnel", func(s Status) bool { return s.Connected })
	time.Sleep(200 * time.Millisecond) // its first question is refused meanwhile
	c.beginToAnswer()
	began := time.Now()
	a.until("applied", func(s Status) bool { return s.Applied > 0 && s.Queue == 0 })
	if took := time.Since(began); took > askTimeout/2 {
		t.Errorf("applied %v after somebody answers, want it soon", took)
	}
}

// A stream without a leader takes nothing and says nothing, while others listen
// on its subject. The box goes on with what is new, and sends again what has no
// answer.
func TestStreamWithoutLeader(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, _ *memory) {
		time.Sleep(85 * time.Second)
		listenTo := func(subject string) {
			if _, err := c.js.UpdateStream(t.Context(), jetstream.StreamConfig{
				Name: "UP", Subjects: []string{subject}, Storage: jetstream.MemoryStorage, Duplicates: 10 * time.Minute,
			}); err != nil {
				t.Fatal(err)
			}
		}
		listenTo("elsewhere")
		c.deaf.Store(true)
		c.with(func() { c.ids = nil })
		p.count(1)
		newest := a.Status().Newest
		for a.Status().Newest == newest {
			time.Sleep(time.Second)
		}
		time.Sleep(ackSoon + 2*time.Second)
		c.with(func() {
			if len(c.ids) != 2 || c.ids[0] != c.ids[1] {
				t.Errorf("within %v batches %q were heard, want one, and the same again", ackSoon, c.ids)
			}
		})
		if s := a.Status(); !s.Connected || !strings.Contains(s.Fault, "stream") {
			t.Errorf("status %+v, want connected and what is wrong", s)
		}
		listenTo(wire.AllFrames)
		c.deaf.Store(false)
		began := time.Now()
		for a.Status().Queue > 0 {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > 2*ackSoon+time.Second {
			t.Errorf("all applied after %v, want %v at most", took, 2*ackSoon)
		}
		if got := c.total(wire.SignalingOffers); got != 1 {
			t.Errorf("offers: %d, want 1", got)
		}
	})
}

// Sockets that are cut all the time lose nothing and count nothing twice.
func TestCutSockets(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, _ *memory) {
		for range 60 {
			p.count(3)
			time.Sleep(47 * time.Second)
			c.cut()
		}
		time.Sleep(10 * time.Minute)
		if got := c.total(wire.SignalingOffers); got != 180 {
			t.Errorf("offers: %d, want 180", got)
		}
		if s := a.Status(); s.Queue > 0 || s.Connects < 30 {
			t.Errorf("status %+v, want all applied over many connections", s)
		}
		c.with(func() {
			if !slices.IsSortedFunc(c.frames, func(x, y *wire.Frame) int { return int(int64(x.GetLast()) - int64(y.GetLast())) }) {
				t.Error("frames were applied out of order")
			}
		})
	})
}

// A working day without the cloud arrives when it is back, in a few batches.
func TestBacklog(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, n *memory) {
		time.Sleep(85 * time.Second) // so that counts and looks do not fall on the same instant
		n.hole.Store(true)
		for range 8 * 60 {
			p.count(1)
			time.Sleep(time.Minute)
		}
		n.hole.Store(false)
		c.with(func() { c.ids = nil })
		for a.Status().Queue > 2 {
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Minute)
		c.with(func() {
			t.Logf("%d frames of eight hours in %d batches", len(c.frames), len(c.ids))
			if len(c.frames) < 8*60-2 || len(c.ids) > 60 {
				t.Errorf("%d frames in %d batches, want all minutes in few", len(c.frames), len(c.ids))
			}
		})
		if got := c.total(wire.SignalingOffers); got != 8*60 {
			t.Errorf("offers: %d, want %d", got, 8*60)
		}
	})
}

// A cloud that was set back to an older copy gets again what it has lost.
func TestCloudHasLostSome(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, _ *memory) {
		time.Sleep(25 * time.Second)
		for range 30 {
			p.count(1)
			time.Sleep(time.Minute)
		}
		c.with(func() {
			for inc := range c.applied {
				c.applied[inc] = 5
			}
			c.frames, c.dated = nil, nil
		})
		c.nudge(wire.Nudge{Ask: true})
		time.Sleep(time.Minute)
		c.with(func() {
			if len(c.frames) < 25 || c.frames[0].GetFirst() != 6 {
				t.Errorf("%d frames, want all from 6 on", len(c.frames))
			}
		})
		if got := c.total(wire.SignalingOffers); got != 30 {
			t.Errorf("offers: %d, want 30", got)
		}
		if s := a.Status(); s.Queue > 1 {
			t.Errorf("status %+v, want all applied again", s)
		}
	})
}

// A projection that is down for an hour gets its frames again, but not twice a
// minute; a broker's ack alone is not believed.
func TestAckIsNotApplied(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, _ *memory) {
		time.Sleep(145 * time.Second)
		c.deaf.Store(true)
		c.with(func() { c.ids = nil })
		for range 60 {
			p.count(1)
			time.Sleep(time.Minute)
		}
		c.with(func() {
			if len(c.ids) > 60+40 {
				t.Errorf("%d batches in an hour of silence", len(c.ids))
			}
		})
		if s := a.Status(); s.Queue < 55 {
			t.Errorf("%d frames wait, want those of the hour", s.Queue)
		}
		c.deaf.Store(false)
		time.Sleep(12 * time.Minute)
		if got := c.total(wire.SignalingOffers); got != 60 {
			t.Errorf("offers: %d, want 60", got)
		}
		if s := a.Status(); s.Queue > 1 {
			t.Errorf("status %+v, want all applied", s)
		}
	})
}

// What the projector asks for again it gets at once, though the broker has it.
func TestResync(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, _ *memory) {
		p.count(1)
		time.Sleep(10 * time.Minute)
		var inc uint64
		c.with(func() {
			for inc = range c.applied {
				c.applied[inc] = 1
			}
			c.frames = nil
		})
		c.nudge(wire.Nudge{Incarnation: inc, Applied: 1, Resync: 2})
		time.Sleep(5 * time.Second)
		c.with(func() {
			if len(c.frames) == 0 || c.frames[0].GetFirst() != 2 {
				t.Errorf("got %d frames, want those from 2 on", len(c.frames))
			}
		})
		if s := a.Status(); s.Queue != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

// A box that is started again goes on counting where it was.
func TestRestart(t *testing.T) {
	synctestBoxes(t, func(t *testing.T, c *cloud, start func(dir string) (*running, *parts)) {
		dir := t.TempDir()
		for range 5 {
			a, p := start(dir)
			p.count(10)
			time.Sleep(3 * time.Minute)
			a.stop()
		}
		a, _ := start(dir)
		time.Sleep(time.Minute)
		if got := c.total(wire.SignalingOffers); got != 50 {
			t.Errorf("offers: %d, want 50", got)
		}
		if got := c.total(wire.BoxStarts); got != 6 {
			t.Errorf("starts: %d, want 6", got)
		}
		c.with(func() {
			if len(c.applied) != 1 {
				t.Errorf("%d incarnations, want 1", len(c.applied))
			}
		})
		a.stop()
	})
}

// copied is a copy of a box's folder as it is now.
func copied(t *testing.T, dir string) string {
	t.Helper()
	kept := t.TempDir()
	if err := os.CopyFS(kept, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return kept
}

// A box that comes back with an older copy of its folder counts under another
// incarnation, since its numbers mean something else to the cloud.
func TestOlderCopy(t *testing.T) {
	synctestBoxes(t, func(t *testing.T, c *cloud, start func(dir string) (*running, *parts)) {
		dir := t.TempDir()
		a, p := start(dir)
		p.count(10)
		time.Sleep(3 * time.Minute)
		a.stop()
		kept := copied(t, dir)
		a, p = start(dir)
		p.count(7)
		time.Sleep(10 * time.Minute)
		a.stop()
		a, p = start(kept)
		p.count(5)
		time.Sleep(10 * time.Minute)
		if got := c.total(wire.SignalingOffers); got != 22 {
			t.Errorf("offers: %d, want the 22 of all three", got)
		}
		c.with(func() {
			if len(c.applied) != 2 {
				t.Errorf("%d incarnations, want 2", len(c.applied))
			}
		})
		a.stop()
	})
}

// A box that is offline with an older copy of its folder, for so long that it
// makes more frames than the cloud has, counts under another incarnation too:
// what the cloud has under those numbers is not what they stand for.
func TestOlderCopyOvertakes(t *testing.T) {
	bubble(t, func(t *testing.T, c *cloud, n *memory) {
		start := func(dir string) (*running, *parts) {
			p := newParts()
			return run(t, c, dir, func(cfg *Config) { cfg.Source, cfg.connect = p, n.dial }), p
		}
		dir := t.TempDir()
		a, p := start(dir)
		p.count(10)
		time.Sleep(3 * time.Minute)
		a.stop()
		kept := copied(t, dir)
		a, p = start(dir)
		p.count(70)
		time.Sleep(10 * time.Minute)
		before := a.Status().Newest
		a.stop()
		n.hole.Store(true)
		a, p = start(kept)
		for range 60 {
			p.count(1)
			time.Sleep(time.Minute)
		}
		if s := a.Status(); s.Newest <= before {
			t.Fatalf("the copy made %d frames, want more than the %d that the cloud has", s.Newest, before)
		}
		n.hole.Store(false)
		time.Sleep(10 * time.Minute)
		if got := c.total(wire.SignalingOffers); got != 140 {
			t.Errorf("offers: %d, want the 140 of all three", got)
		}
		a.stop()
	})
}

// Two boxes with copies of one folder that run beside each other do not stay
// under one incarnation.
func TestCopyBeside(t *testing.T) {
	synctestBoxes(t, func(t *testing.T, c *cloud, start func(dir string) (*running, *parts)) {
		dir := t.TempDir()
		a, p := start(dir)
		p.count(10)
		time.Sleep(3 * time.Minute)
		a.stop()
		kept := copied(t, dir)
		a, p = start(dir)
		time.Sleep(10 * time.Second)
		b, q := start(kept)
		for range 10 {
			p.count(3)
			q.count(4)
			time.Sleep(time.Minute)
		}
		c.with(func() {
			if len(c.applied) < 2 {
				t.Errorf("%d incarnations, want one for each at least", len(c.applied))
			}
		})
		a.stop()
		b.stop()
	})
}

// What is observed while no frame can be kept is in the first that can.
func TestObservationsWait(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, _ *memory) {
		time.Sleep(2 * time.Minute)
		p.change(func(p *parts) { p.sample.Gauges[9999] = 1 }) // no metric: no frame can be made
		for range 4 {
			for range 20 {
				a.Took(wire.QualityJoinMs, 40*time.Millisecond)
			}
			a.Saw("panel-7")
			time.Sleep(time.Minute)
		}
		p.change(func(p *parts) { delete(p.sample.Gauges, 9999) })
		p.count(1)
		time.Sleep(30 * time.Minute)
		values, devices := uint64(0), 0
		c.with(func() {
			for _, f := range c.frames {
				for _, s := range f.GetSketches() {
					if d, err := wire.ParseDistribution(s.GetData()); s.GetId() == wire.QualityJoinMs && err == nil {
						values = max(values, d.Count())
					}
					if s.GetId() == wire.DevicesUnique {
						devices++
					}
				}
			}
		})
		if values != 80 || devices == 0 {
			t.Errorf("%d values and %d sets of devices arrived, want 80 values", values, devices)
		}
	})
}

// A box that joins another site begins to count there from nothing,
// under another incarnation.
func TestJoinsElsewhere(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, _ *memory) {
		p.count(4)
		time.Sleep(3 * time.Minute)
		c.cut()
		c.box.mu.Lock()
		c.box.box.Site = "hall-3"
		c.box.mu.Unlock()
		c.with(func() { c.frames = nil })
		time.Sleep(2 * time.Minute)
		s := a.Status()
		if s.Box.Site != "hall-3" || !s.Connected || s.Queue > 0 {
			t.Errorf("status %+v, want connected for hall-3", s)
		}
		c.with(func() {
			if len(c.applied) != 2 || len(c.frames) == 0 || c.frames[0].GetFirst() != 1 || !c.frames[0].GetAllRooms() {
				t.Errorf("%d incarnations, first frame %v; want a second one from its beginning", len(c.applied), c.frames[0])
			}
		})
	})
}

// synctestBoxes is inBubble for boxes that come and go.
func synctestBoxes(t *testing.T, do func(t *testing.T, c *cloud, start func(dir string) (*running, *parts))) {
	t.Helper()
	bubble(t, func(t *testing.T, c *cloud, n *memory) {
		do(t, c, func(dir string) (*running, *parts) {
			p := newParts()
			return run(t, c, dir, func(cfg *Config) { cfg.Source, cfg.connect = p, n.dial }), p
		})
	})
}

// A disk that takes nothing keeps the box from reporting and from nothing else;
// what it counted meanwhile is in the next frame that can be kept.
func TestOutboxCannotBeOpened(t *testing.T) {
	synctestBoxes(t, func(t *testing.T, c *cloud, start func(dir string) (*running, *parts)) {
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(dir, []byte("a file where the folder should be"), 0o600); err != nil {
			t.Fatal(err)
		}
		a, p := start(dir)
		p.count(3)
		time.Sleep(time.Minute)
		if s := a.Status(); s.Fault == "" || s.Connected {
			t.Errorf("status %+v, want why nothing is kept", s)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if got := c.total(wire.SignalingOffers); got != 3 {
			t.Errorf("offers: %d, want 3", got)
		}
		a.stop()
	})
}
