package wire_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"signalbox/sync/wire"
)

// run is some hours of a site with all that a frame may have.
func run(t testing.TB, seed uint64, n int) []*wire.Frame {
	s := newSite(t, seed, 6)
	frames := make([]*wire.Frame, n)
	for i := range frames {
		d := s.draft()
		if s.rng.IntN(4) == 0 {
			d.Alert(wire.AlertDisk, s.rng.IntN(2) == 0, s.now, int64(i))
		}
		if s.rng.IntN(9) == 0 {
			d.Result(fmt.Sprint("c", i), wire.OutcomeDone, s.now)
		}
		if s.rng.IntN(5) == 0 && len(s.rooms) > 0 { // gone in the next frame
			s.rooms = s.rooms[1:]
		}
		if s.rng.IntN(5) == 0 {
			s.rooms = append(s.rooms, wire.RoomFacts{Name: fmt.Sprint("new ", i), Members: 1, Created: s.now})
		}
		if s.rng.IntN(40) == 0 {
			s.reported.Whole = true
		}
		f, err := d.Finish()
		if err != nil {
			t.Fatal(err)
		}
		s.seq++
		f.First, f.Last = s.seq, s.seq
		frames[i] = f
	}
	return frames
}

// cut divides frames at random into adjacent groups.
func cut(rng *rand.Rand, frames []*wire.Frame) [][]*wire.Frame {
	var groups [][]*wire.Frame
	for len(frames) > 0 {
		n := 1 + rng.IntN(len(frames))
		groups = append(groups, frames[:n])
		frames = frames[n:]
	}
	return groups
}

// mergeSomehow merges frames in random groups, and those again.
func mergeSomehow(rng *rand.Rand, frames []*wire.Frame) *wire.Frame {
	for len(frames) > 1 {
		var merged []*wire.Frame
		for _, g := range cut(rng, frames) {
			merged = append(merged, wire.Merge(g...))
		}
		frames = merged
	}
	return frames[0]
}

func TestMergeIsAssociative(t *testing.T) {
	for seed := range uint64(30) {
		frames := run(t, seed, 150)
		before := make([]*wire.Frame, len(frames))
		for i, f := range frames {
			before[i] = proto.CloneOf(f)
		}
		want := wire.Merge(frames...)
		rng := rand.New(rand.NewPCG(seed, 1))
		for range 6 {
			if got := mergeSomehow(rng, frames); !proto.Equal(got, want) {
				t.Fatalf("seed %d: merged in groups it is\n%v\nat once\n%v", seed, got, want)
			}
		}
		for i, f := range frames {
			if !proto.Equal(f, before[i]) {
				t.Fatalf("seed %d: merging changed frame %d", seed, i)
			}
		}
	}
}

// TestMergeBeyondBoundsIsAssociative has more alerts, rooms and results than a
// frame takes: even what is left out does not depend on the grouping.
func TestMergeBeyondBoundsIsAssociative(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	kinds := make([]wire.AlertKind, 0, len(wire.AlertKinds))
	for k := range wire.AlertKinds {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	var frames []*wire.Frame
	total := 0
	for i := range 60 {
		f := &wire.Frame{First: uint64(i + 1), Last: uint64(i + 1)}
		for j := range 10 {
			f.Alerts = append(f.Alerts, &wire.Alert{Kind: string(kinds[rng.IntN(min(len(kinds), 1+i/6))]), Raised: j%2 == 0, AtMs: int64(i*10 + j)})
			f.Results = append(f.Results, &wire.Result{Id: fmt.Sprint(i, j)})
			total += 2
		}
		for j := range 40 {
			f.Rooms = append(f.Rooms, &wire.Room{Id: fmt.Sprint("room", i, "-", j)})
			total++
		}
		frames = append(frames, f)
	}
	want := wire.Merge(frames...)
	for range 20 {
		if got := mergeSomehow(rng, frames); !proto.Equal(got, want) {
			t.Fatalf("merged in groups it is\n%v\nat once\n%v", got, want)
		}
	}
	if kept := len(want.GetAlerts()) + len(want.GetResults()) + len(want.GetRooms()); kept+int(want.GetLost()) != total {
		t.Errorf("%d kept and %d lost of %d", kept, want.GetLost(), total)
	}
	last := map[string]int64{}
	for _, f := range frames {
		for _, a := range f.GetAlerts() {
			last[a.GetKind()] = a.GetAtMs()
		}
	}
	for _, a := range want.GetAlerts() {
		if last[a.GetKind()] == a.GetAtMs() {
			delete(last, a.GetKind())
		}
	}
	if len(last) > 0 {
		t.Errorf("the last of %v was left out", last)
	}
}

// view is what a cloud has of a box, by the rule of the projector.
type view struct {
	mark   uint64
	totals map[uint32]uint64
	low    map[uint32]int64
	high   map[uint32]int64
	rooms  map[string]uint32
	joins  map[int64]string
}

func newView() *view {
	return &view{totals: map[uint32]uint64{}, low: map[uint32]int64{}, high: map[uint32]int64{}, rooms: map[string]uint32{}, joins: map[int64]string{}}
}

func (v *view) apply(f *wire.Frame) {
	if f.GetLast() <= v.mark {
		return
	}
	v.mark = f.GetLast()
	for i, id := range f.GetCounterIds() {
		v.totals[id] = f.GetCounterValues()[i]
	}
	for _, g := range f.GetGauges() {
		low, high := g.GetLast()-g.GetBelow(), g.GetLast()+g.GetAbove()
		if old, ok := v.low[g.GetId()]; !ok || low < old {
			v.low[g.GetId()] = low
		}
		v.high[g.GetId()] = max(v.high[g.GetId()], high)
	}
	if f.GetAllRooms() {
		clear(v.rooms)
	}
	for _, r := range f.GetRooms() {
		if v.rooms[r.GetId()] = r.GetMembers(); r.GetGone() {
			delete(v.rooms, r.GetId())
		}
	}
	for _, s := range f.GetSketches() {
		v.joins[s.GetStartMs()<<8|int64(s.GetId()&0xFF)] = string(s.GetData())
	}
}

// TestAnyMergingTellsTheSame: whatever is merged, sent twice or was partly
// applied before, the cloud ends with the same.
func TestAnyMergingTellsTheSame(t *testing.T) {
	for seed := range uint64(40) {
		frames := run(t, seed, 200)
		want := newView()
		for _, f := range frames {
			want.apply(f)
		}
		rng := rand.New(rand.NewPCG(seed, 2))
		got := newView()
		for _, f := range frames[:rng.IntN(len(frames))] { // applied before, unknown to the box
			got.apply(f)
		}
		for _, g := range cut(rng, frames) {
			f := wire.Merge(g...)
			got.apply(f)
			got.apply(f)
			got.apply(g[0])
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("seed %d: the cloud has\n%v\nwant\n%v", seed, got, want)
		}
	}
}

// TestMergeDay: a day's sketches are what all its samples make, in whatever
// order the hours are merged.
func TestMergeDay(t *testing.T) {
	frames := run(t, 5, 24*60)
	var hours []*wire.Frame
	for i := range 24 {
		hours = append(hours, wire.Merge(frames[i*60:(i+1)*60]...))
	}
	want := wire.MergeDay(hours...)
	rng := rand.New(rand.NewPCG(6, 6))
	for range 10 {
		var parts []*wire.Frame
		for _, g := range cut(rng, hours) {
			parts = append(parts, wire.MergeDay(g...))
		}
		if got := wire.MergeDay(parts...); !proto.Equal(got, want) {
			t.Fatalf("merged in parts it is\n%v\nat once\n%v", got, want)
		}
	}
	if len(want.GetSketches()) != 4 {
		t.Fatalf("%d sketches, want the day and its last hour of each metric", len(want.GetSketches()))
	}
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i, s := range want.GetSketches() {
		start, span := day, wire.DayS
		if i >= 2 {
			start, span = day.Add(23*time.Hour), wire.HourS
		}
		if int(s.GetSpanS()) != span || s.GetStartMs() != start.UnixMilli() {
			t.Errorf("sketch %d is of %d s from %d", i, s.GetSpanS(), s.GetStartMs())
		}
	}
	if got, want := countJoins(t, want), countJoins(t, hours...); got != want {
		t.Errorf("%d values in the day, %d in its hours", got, want)
	}
	// The whole of the last hour comes with the next day, and replaces its part.
	next := &wire.Frame{EndMs: day.Add(30 * time.Hour).UnixMilli(), Sketches: []*wire.Sketch{want.GetSketches()[3]}}
	if got := wire.MergeDay(next).GetSketches(); len(got) != 1 || got[0].GetSpanS() != wire.HourS {
		t.Errorf("the last hour of the day before became %v", got)
	}
}

// countJoins counts the values in all sketches of one metric.
func countJoins(t *testing.T, frames ...*wire.Frame) (n uint64) {
	for _, f := range frames {
		for _, s := range f.GetSketches() {
			if s.GetId() == wire.QualityJoinMs {
				d, err := wire.ParseDistribution(s.GetData())
				if err != nil {
					t.Fatal(err)
				}
				n += d.Count()
			}
		}
	}
	return n
}

func TestMergeOfNothingAndOfOne(t *testing.T) {
	if got := wire.Merge(); !proto.Equal(got, &wire.Frame{}) {
		t.Errorf("got %v", got)
	}
	f := run(t, 1, 1)[0]
	if got := wire.Merge(f); !proto.Equal(got, f) {
		t.Errorf("got %v, want %v", got, f)
	}
}
