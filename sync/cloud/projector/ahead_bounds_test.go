package projector

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/wire"
)

func boundedAhead(t *testing.T) (*ahead, *projection.Projection) {
	t.Helper()
	p, err := projection.Open(filepath.Join(t.TempDir(), projection.FileName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return newAhead(&Config{Projection: p}), p
}

func boxNumber(i int) wire.BoxID {
	return wire.BoxID{Tenant: "main", Site: "s", Box: fmt.Sprintf("b%d", i)}
}

// TestAheadIsBounded: of a box no more than the newest wait, and of all no more
// than so many bytes.
func TestAheadIsBounded(t *testing.T) {
	a, _ := boundedAhead(t)
	for i := range aheadPerBox + 3 {
		a.hear(&nats.Msg{Subject: boxNumber(0).FramesSubject(), Data: []byte{byte(i)}})
	}
	if list := a.waits[boxNumber(0)]; len(list) != aheadPerBox || list[0].data[0] != 3 || a.bytes != aheadPerBox || a.dropped.counts()[aheadCrowded] != 3 {
		t.Errorf("%d of %d bytes wait, %d were crowded out", len(list), a.bytes, a.dropped.counts()[aheadCrowded])
	}
	data := make([]byte, wire.MaxBatchBytes)
	for i := range aheadBytes / len(data) {
		a.hear(&nats.Msg{Subject: boxNumber(1 + i).FramesSubject(), Data: data})
	}
	if a.bytes > aheadBytes || a.dropped.counts()[aheadRoom] != 1 {
		t.Errorf("%d bytes wait, %d batches found no room, want at most %d and 1", a.bytes, a.dropped.counts()[aheadRoom], aheadBytes)
	}
	a.hear(&nats.Msg{Subject: "up.nonsense", Data: data})
	if a.dropped.counts()[refusedSubject] != 1 {
		t.Error("a batch of no box is not counted")
	}
	// What the stream brings makes room again, and so does what is due.
	a.brought(boxNumber(1).FramesSubject(), data)
	a.brought(boxNumber(0).FramesSubject(), []byte{5})
	a.brought(boxNumber(0).FramesSubject(), []byte("another"))
	if left := len(a.waits[boxNumber(0)]); left != aheadPerBox-1 || a.waits[boxNumber(1)] != nil {
		t.Errorf("%d batches of the first box wait, want %d", left, aheadPerBox-1)
	}
	if due := a.due(time.Now()); len(due) > 0 {
		t.Errorf("%d boxes are due at once", len(due))
	}
	if due := a.due(time.Now().Add(aheadAfter)); len(due) == 0 || a.bytes != 0 || len(a.waits) != 0 {
		t.Errorf("%d bytes of %d boxes wait when all is due", a.bytes, len(a.waits))
	}
}

// TestAheadEnds: what the stream does not bring is not shown for ever.
func TestAheadEnds(t *testing.T) {
	a, p := boundedAhead(t)
	now := time.Now()
	of := func(seq uint64) *projection.Message {
		frame := &wire.Frame{First: seq, Last: seq, EndMs: now.UnixMilli(), Gauges: []*wire.Gauge{{Id: wire.SessionsOnline, Last: int64(seq)}}}
		return &projection.Message{Seq: seq, Time: now, Box: boxNumber(0), Body: &wire.Body{Incarnation: 1, Oldest: 1, Frames: []*wire.Frame{frame}}}
	}
	if _, err := p.Update(func(tx *projection.Tx) error { return tx.Apply(of(1)) }); err != nil {
		t.Fatal(err)
	}
	told := 0
	defer a.watch(func(wire.BoxID) { told++ })()
	a.show(of(2))
	view := p.Box(boxNumber(0))
	if a.over(view) == view || told != 1 || a.count() != 1 {
		t.Fatalf("not shown; told %d times", told)
	}
	a.look(t.Context(), now.Add(aheadFor-time.Second))
	if a.over(view) == view {
		t.Error("over too soon")
	}
	a.look(t.Context(), now.Add(aheadFor))
	if a.over(view) != view || told != 2 || a.count() != 0 || a.dropped.counts()[aheadEnded] != 1 {
		t.Errorf("still shown, or not told: %d times, %d boxes", told, a.count())
	}
}
