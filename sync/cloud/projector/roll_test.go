package projector_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/broker/brokertest"
	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projection/projectiontest"
	"signalbox/sync/cloud/projector"
	"signalbox/sync/wire"
)

// old sends what a box has as frames of an earlier boot, dated by their own
// clock: hours that closed long ago.
func old(t testing.TB, b *broker.Broker, p *projectiontest.Plant, n int) {
	t.Helper()
	for body := p.Body(n); body != nil; body = p.Body(n) {
		body.Boot++
		publish(t, b, p.ID, encode(t, p.ID, body))
	}
}

func snapshot(t testing.TB, p *projection.Projection) projection.Snapshot {
	t.Helper()
	s, err := p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRollup: a node that begins when UP has forgotten the most has the totals
// and the hours of one that has seen it all.
func TestRollup(t *testing.T) {
	b, _ := brokertest.Start(t, t.TempDir())
	r := newRegister()
	n := startNode(t, b, r, file(t), nil)
	plants := fleet(3, 300)
	for i, p := range plants {
		old(t, b, p, 30)
		p.Restart()
		for range 200 + 10*i {
			p.Minute()
		}
		old(t, b, p, 30)
	}
	n.wait(t, b)
	eventually(t, "all closed hours are written", func() bool { return n.rolled(t) })
	written := n.Stats().Rolled

	// Frames of an hour that was written come late.
	for _, p := range plants {
		for range 5 {
			p.Minute()
		}
		old(t, b, p, 5)
	}
	n.wait(t, b)
	eventually(t, "changed hours are written again", func() bool { return n.rolled(t) && n.Stats().Rolled > written })
	if got := n.Stats().Rolled - written; got > 6 {
		t.Errorf("%d hours written again, want those that changed, 3 to 6", got)
	}

	// UP keeps the last of each box.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, err := b.JetStream().Stream(ctx, broker.StreamUp)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeKeep(3)); err != nil {
		t.Fatal(err)
	}
	fresh := startNode(t, b, r, file(t), func(c *projector.Config) { c.Node = "n2" })
	fresh.wait(t, b)
	checkTotals(t, fresh.p, plants...)
	want, got := snapshot(t, n.p), snapshot(t, fresh.p)
	if got.History != want.History {
		t.Error("a node that began with closed hours has other totals or hours")
	}
	if got.Whole || !want.Whole {
		t.Errorf("whole are %v and %v, want true and false", want.Whole, got.Whole)
	}
	boxes := []wire.BoxID{plants[0].ID}
	devices, err := fresh.p.UniqueDevices(boxes, projectiontest.Epoch, plants[0].Now)
	if err != nil || devices != plants[0].Union.Count() {
		t.Errorf("%d devices, want %d (%v)", devices, plants[0].Union.Count(), err)
	}
	report, err := projector.Verify(ctx, b.JetStream(), r, fresh.p, t.TempDir())
	if err != nil || report.Whole || !report.Equal() {
		t.Errorf("verify says %+v, %v", report, err)
	}
	if fresh.Stats().Leader == n.Stats().Leader {
		t.Errorf("leaders are %v and %v, want one", n.Stats().Leader, fresh.Stats().Leader)
	}
}

func (n *node) rolled(t testing.TB) bool {
	t.Helper()
	some, err := n.p.Unrolled(time.Now().Add(-time.Hour), nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	return len(some) == 0
}

// TestLeaseMoves: when the node that writes hours stops, another does.
func TestLeaseMoves(t *testing.T) {
	b, _ := brokertest.Start(t, t.TempDir())
	r := newRegister()
	first := startNode(t, b, r, file(t), nil)
	eventually(t, "the first has the lease", func() bool { return first.Stats().Leader })
	second := startNode(t, b, r, file(t), func(c *projector.Config) { c.Node, c.LeaseTTL = "n2", time.Second })
	p := fleet(1, 70)[0]
	old(t, b, p, 60)
	second.wait(t, b)
	eventually(t, "hours are written", func() bool { return first.rolled(t) })
	if second.Stats().Leader {
		t.Error("two nodes have the lease")
	}
	first.stop()
	eventually(t, "the second has the lease", func() bool { return second.Stats().Leader })
	eventually(t, "it finds the hours written", func() bool { return second.rolled(t) })
	if n := second.Stats().Rolled; n != 0 {
		t.Errorf("it has written %d hours that were there", n)
	}
}
