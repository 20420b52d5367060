package projection_test

import (
	"slices"
	"testing"
	"time"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/wire"
)

// told is a frame with a gauge and the alerts that begin (or, with a "-", end).
func told(seq uint64, end time.Duration, sessions int64, alerts ...string) *wire.Frame {
	f := frameAt(seq, end, &wire.Gauge{Id: wire.SessionsOnline, Last: sessions})
	f.CounterIds, f.CounterValues = []wire.MetricID{wire.SessionsOpened}, []uint64{100 * seq}
	for _, kind := range alerts {
		raised := kind[0] != '-'
		if !raised {
			kind = kind[1:]
		}
		f.Alerts = append(f.Alerts, &wire.Alert{Kind: kind, Raised: raised, AtMs: f.GetEndMs()})
	}
	return f
}

func sessionsOf(v *projection.BoxView) int64 {
	g, _ := v.Gauge(wire.SessionsOnline)
	return g.Last
}

func kindsOf(v *projection.BoxView) (kinds []string) {
	for _, a := range v.Alerts {
		kinds = append(kinds, string(a.Kind))
	}
	return kinds
}

// TestAhead: frames that the stream has not brought change the present and
// nothing else, until it has.
func TestAhead(t *testing.T) {
	p := open(t)
	minute := time.Minute
	feed(t, p, []projection.Message{message(minute, told(1, minute, 11, "disk", "clock"))}, 1)
	view := p.Box(box)
	var a projection.Ahead
	if a.Of(view) || a.Over(view) != view {
		t.Fatal("one that knows nothing is ahead")
	}

	second := message(2*minute, told(2, 2*minute, 22, "-disk", "memory"))
	third := message(3*minute, told(3, 3*minute, 33))
	third.Body.Frames[0].Box = &wire.Box{Version: "v9"}
	for _, m := range []*projection.Message{&second, &third} {
		if !a.Add(view, m) {
			t.Fatalf("frame %d is not taken", m.Body.GetFrames()[0].GetLast())
		}
	}
	if a.Add(view, &second) {
		t.Error("an older frame counts as newer")
	}
	now := a.Over(view)
	if got := kindsOf(now); sessionsOf(now) != 33 || !slices.Equal(got, []string{"clock", "memory"}) || now.Info.GetVersion() != "v9" {
		t.Errorf("%d sessions, alerts %v, version %q, want 33, clock and memory, v9", sessionsOf(now), got, now.Info.GetVersion())
	}
	if !now.Heard.Equal(third.Time) || !now.Dated.Equal(third.Time) {
		t.Errorf("heard %v, dated %v, want %v", now.Heard, now.Dated, third.Time)
	}
	if now.Total(wire.SessionsOpened) != 100 || now.Applied != 1 || now.Newest != 1 {
		t.Errorf("total %d, applied %d, newest %d, want what the stream has brought", now.Total(wire.SessionsOpened), now.Applied, now.Newest)
	}
	if sessionsOf(view) != 11 || len(view.Alerts) != 2 {
		t.Error("the view itself has changed")
	}

	// The stream brings them one after the other.
	second.Seq, third.Seq = 200, 300
	feed(t, p, []projection.Message{second}, 1)
	if got := kindsOf(a.Over(p.Box(box))); !slices.Equal(got, []string{"clock", "memory"}) {
		t.Errorf("alerts %v after the second frame", got)
	}
	feed(t, p, []projection.Message{third}, 1)
	if view = p.Box(box); a.Of(view) || a.Over(view) != view || sessionsOf(view) != 33 {
		t.Error("still ahead of a projection that has it all")
	}
}

// TestAheadOfAnother: whether an incarnation is the next or one of the past is
// not known before the stream has it.
func TestAheadOfAnother(t *testing.T) {
	p := open(t)
	feed(t, p, []projection.Message{message(time.Minute, told(1, time.Minute, 11))}, 1)
	view := p.Box(box)
	other := message(2*time.Minute, told(9, 2*time.Minute, 99))
	other.Body.Incarnation = 2
	var a projection.Ahead
	if a.Add(view, &other) || a.Over(view) != view {
		t.Error("a frame of another incarnation is shown")
	}
	next := message(3*time.Minute, told(5, 3*time.Minute, 55))
	if !a.Add(view, &next) || sessionsOf(a.Over(view)) != 55 {
		t.Fatal("a frame of the incarnation is not shown")
	}
	// The box begins anew: what was ahead of its past is no more.
	other.Seq = 400
	feed(t, p, []projection.Message{other}, 1)
	if view = p.Box(box); a.Over(view) != view || sessionsOf(view) != 99 {
		t.Errorf("%d sessions, want those of the new incarnation", sessionsOf(a.Over(view)))
	}
	newer := message(5*time.Minute, told(10, 5*time.Minute, 100))
	newer.Body.Incarnation = 2
	if !a.Add(view, &newer) || sessionsOf(a.Over(view)) != 100 {
		t.Error("a frame of the new incarnation is not shown")
	}
}
