package projector_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/broker/brokertest"
	"signalbox/sync/cloud/projector"
	"signalbox/sync/wire"
)

// listenTo has the stream take these subjects alone. With others than those of
// frames it is as one without a leader: what boxes publish goes past it.
func listenTo(t *testing.T, b *broker.Broker, subject string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, err := b.JetStream().Stream(ctx, broker.StreamUp)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Subjects = []string{subject}
	if _, err := b.JetStream().UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
}

// TestAheadOfTheStream: what a box says while the stream takes nothing is shown,
// once it is verified; it counts when the stream has it.
func TestAheadOfTheStream(t *testing.T) {
	b, _ := brokertest.Start(t, t.TempDir())
	r := newRegister()
	n := startNode(t, b, r, file(t), func(c *projector.Config) { c.Ahead = true })
	plants := fleet(3, 4)
	box, again, stranger := plants[0], plants[1], plants[2]
	r.strangers[stranger.ID] = true
	for range 2 {
		publish(t, b, box.ID, encode(t, box.ID, box.Body(1)))
		publish(t, b, again.ID, encode(t, again.ID, again.Body(1)))
	}
	<-n.Ready()
	n.wait(t, b)
	before := n.p.Box(box.ID)
	if s := n.Stats(); s.AheadBoxes != 0 {
		t.Errorf("%d boxes ahead of a stream that takes all", s.AheadBoxes)
	}

	listenTo(t, b, "elsewhere")
	told := make(chan wire.BoxID, 16)
	defer n.WatchOver(func(id wire.BoxID) { told <- id })()
	say := func(id wire.BoxID, data []byte) {
		t.Helper()
		if err := b.Conn().Publish(id.FramesSubject(), data); err != nil {
			t.Fatal(err)
		}
	}
	third := encode(t, box.ID, box.Body(1))
	forged := slices.Clone(third)
	forged[len(forged)-1] ^= 1
	say(box.ID, forged)
	say(again.ID, third) // as another
	say(stranger.ID, encode(t, stranger.ID, stranger.Body(1)))
	say(again.ID, encode(t, again.ID, again.Sent[0]))
	again.Restart()
	again.Minute()
	say(again.ID, encode(t, again.ID, again.Body(1)))
	eventually(t, "each has its reason", func() bool {
		d := n.Stats().AheadDropped
		return d["signature"] == 1 && d["foreign"] == 1 && d["unknown"] == 1 && d["known"] == 1 && d["incarnation"] == 1
	})
	if n.Over(before) != before || len(told) > 0 {
		t.Error("something was shown that is not good")
	}

	say(box.ID, third)
	select {
	case id := <-told:
		if id != box.ID {
			t.Errorf("told of %s", id)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is shown after 20 s")
	}
	shown := n.Over(before)
	want := box.Sent[2].GetFrames()[0].GetGauges()[0]
	if g, ok := shown.Gauge(want.GetId()); !ok || g.Last != want.GetLast() || !shown.Heard.After(before.Heard) {
		t.Errorf("gauge %+v, heard %v, want %d and after %v", g, shown.Heard, want.GetLast(), before.Heard)
	}
	if !slices.Equal(shown.Totals, before.Totals) || n.p.Box(box.ID) != before {
		t.Error("it counts before the stream has it")
	}
	if s := n.Stats(); s.AheadBoxes != 1 || s.AheadShown != 1 {
		t.Errorf("%d boxes and %d batches shown, want 1 and 1", s.AheadBoxes, s.AheadShown)
	}

	listenTo(t, b, wire.AllFrames)
	publish(t, b, box.ID, third)
	publish(t, b, box.ID, encode(t, box.ID, box.Body(1)))
	n.wait(t, b)
	eventually(t, "nothing is ahead", func() bool { return n.Stats().AheadBoxes == 0 })
	if v := n.p.Box(box.ID); n.Over(v) != v || v.Applied != 4 {
		t.Errorf("applied %d, want 4 and nothing over it", v.Applied)
	}
	checkTotals(t, n.p, box)
}

// TestNotAhead: what the stream brings in time is not verified twice, nor shown
// ahead of it.
func TestNotAhead(t *testing.T) {
	b, _ := brokertest.Start(t, t.TempDir())
	n := startNode(t, b, newRegister(), file(t), func(c *projector.Config) { c.Ahead, c.Linger = true, time.Microsecond })
	<-n.Ready()
	plants := fleet(4, 20)
	for _, p := range plants {
		sendAll(t, b, p, 1)
	}
	n.wait(t, b)
	checkTotals(t, n.p, plants...)
	if s := n.Stats(); s.AheadShown != 0 {
		t.Errorf("%d batches shown ahead, want none", s.AheadShown)
	}
}
