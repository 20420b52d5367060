package projection_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projection/projectiontest"
	"signalbox/sync/wire"
)

// TestTotals: whatever became of the batches on their way, when all have come
// in the end the cloud knows what the boxes know.
func TestTotals(t *testing.T) {
	for seed := range uint64(5) {
		plants := fleet(seed, 5)
		stream := history(seed, plants, 500)
		p := open(t)
		feed(t, p, stream, 50)
		for _, plant := range plants {
			v := p.Box(plant.ID)
			for _, m := range wire.Metrics {
				if m.Kind != wire.Counter {
					continue
				}
				if got, want := v.Total(m.ID), plant.Total(m.ID); got != want {
					t.Errorf("seed %d, %s: %s is %d, want %d", seed, plant.ID, m.Name, got, want)
				}
			}
			checkPresent(t, p, plant)
			checkHistory(t, p, plant)
		}
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	}
}

func checkPresent(t *testing.T, p *projection.Projection, plant *projectiontest.Plant) {
	t.Helper()
	v := p.Box(plant.ID)
	if v.Applied != plant.Seq || !v.Gap.IsZero() || v.Jumped != 0 || v.Incarnation != plant.Inc {
		t.Errorf("%s: applied %d of %d, gap since %v, %d jumped, incarnation %x, want %x", plant.ID, v.Applied, plant.Seq, v.Gap, v.Jumped, v.Incarnation, plant.Inc)
	}
	rooms, err := p.Rooms(plant.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint32{}
	for _, r := range rooms {
		got[r.ID] = r.Members
	}
	want := map[string]uint32{}
	for id, r := range plant.Rooms {
		want[id] = r.GetMembers()
	}
	if !maps.Equal(got, want) || v.Rooms != len(want) {
		t.Errorf("%s: rooms are %v (%d), want %v", plant.ID, got, v.Rooms, want)
	}
	var alerts, raised []string
	for _, a := range v.Alerts {
		alerts = append(alerts, string(a.Kind))
	}
	for _, kind := range slices.Sorted(maps.Keys(plant.Raised)) {
		if plant.Raised[kind] {
			raised = append(raised, kind)
		}
	}
	if !slices.Equal(alerts, raised) {
		t.Errorf("%s: alerts are %q, want %q", plant.ID, alerts, raised)
	}
}

func checkHistory(t *testing.T, p *projection.Projection, plant *projectiontest.Plant) {
	t.Helper()
	from, to := projectiontest.Epoch.Add(-time.Hour), plant.Now.Add(time.Hour)
	hours, err := p.Hours(plant.ID, wire.RelayPackets, from, to)
	if err != nil {
		t.Fatal(err)
	}
	sum := uint64(0)
	for _, h := range hours {
		sum += h.Added
	}
	if want := plant.Total(wire.RelayPackets); sum != want {
		t.Errorf("%s: hours sum up to %d, want %d", plant.ID, sum, want)
	}
	boxes := []wire.BoxID{plant.ID}
	d, err := p.Distribution(boxes, wire.QualityJoinMs, from, to)
	if err != nil {
		t.Fatal(err)
	}
	// An hour in which the outbox began anew has a sketch of each incarnation.
	if d.Count() != plant.Joined {
		t.Errorf("%s: %d joins, want %d", plant.ID, d.Count(), plant.Joined)
	}
	n, err := p.UniqueDevices(boxes, from, to)
	if err != nil {
		t.Fatal(err)
	}
	if want := plant.Union.Count(); n != want {
		t.Errorf("%s: %d devices, want %d", plant.ID, n, want)
	}
}

// TestEqualHashes: two nodes that read the same stream are equal, however they
// group messages, and also when one begins anew in between.
func TestEqualHashes(t *testing.T) {
	plants := fleet(11, 6)
	stream := history(11, plants, 500)
	a, b := open(t), open(t)
	feed(t, a, stream, 9)
	feed(t, b, stream, 211)
	if a.Hash() != b.Hash() || a.Hash().Seq != uint64(len(stream)) {
		t.Errorf("hashes are %v and %v after %d messages", a.Hash(), b.Hash(), len(stream))
	}
	before := snapshot(t, a)
	// The whole stream again, as after a restart from a lost position.
	feed(t, a, stream, 300)
	if again := snapshot(t, a); again.History != before.History {
		t.Errorf("history is %v after a repetition, was %v", again.History, before.History)
	}
	last := stream[len(stream)-1]
	last.Body = nil
	last.Refused = "signature"
	last.Seq++
	feed(t, b, []projection.Message{last}, 1)
	if a.Hash().Digest == b.Hash().Digest {
		t.Error("a refused message is not part of the hash")
	}
}

func snapshot(t *testing.T, p *projection.Projection) projection.Snapshot {
	t.Helper()
	s, err := p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return s
}
