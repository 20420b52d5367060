package outbox_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"signalbox/sync/outbox"
	"signalbox/sync/wire"
)

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// box counts and commits as a box does. What it counted and committed is the
// oracle for what the cloud must have in the end.
type box struct {
	out    *outbox.Outbox
	veil   *wire.Veil
	rng    *rand.Rand
	now    time.Time
	step   time.Duration
	rooms  map[string]wire.RoomFacts
	made   int
	totals map[wire.MetricID]uint64 // all that was ever counted and committed
}

func newBox(tb testing.TB, out *outbox.Outbox) *box {
	tb.Helper()
	v, err := wire.NewVeil(wire.Default, []byte("a key of a site, never sent"))
	if err != nil {
		tb.Fatal(err)
	}
	return &box{out: out, veil: v, rng: rand.New(rand.NewPCG(4, 2)), now: start, step: time.Minute, rooms: map[string]wire.RoomFacts{}, totals: map[wire.MetricID]uint64{}}
}

// tick is one span of the box: something happens, and a frame is committed.
func (b *box) tick() error {
	from := b.now
	b.now = b.now.Add(b.step)
	grown := map[wire.MetricID]uint64{}
	for _, m := range wire.Metrics {
		if m.Kind == wire.Counter && b.rng.IntN(3) > 0 {
			grown[m.ID] = b.rng.Uint64N(1 << (3 + m.ID%14))
		}
	}
	b.stir()
	_, err := b.out.Commit(b.now, func(s *outbox.State) (*wire.Draft, error) { return b.fill(s, from, grown), nil })
	if err == nil {
		for id, n := range grown {
			b.totals[id] += n
		}
	}
	return err
}

// stir makes and closes rooms, and moves people about.
func (b *box) stir() {
	if b.rng.IntN(4) == 0 {
		name := fmt.Sprint("room ", b.made)
		b.made++
		b.rooms[name] = wire.RoomFacts{Name: name, Members: 1 + b.rng.IntN(4), Created: b.now}
	}
	if len(b.rooms) > 12 {
		for name := range b.rooms {
			delete(b.rooms, name)
			break
		}
	}
}

func (b *box) fill(s *outbox.State, from time.Time, grown map[wire.MetricID]uint64) *wire.Draft {
	d := b.veil.Draft(wire.Span{Start: from, End: b.now, Boot: 7, Mono: b.now.Sub(start) + time.Hour})
	for id, n := range grown {
		s.Counters[id] += n
	}
	for id, total := range s.Counters {
		d.Counter(id, total)
	}
	for _, m := range wire.Metrics {
		if m.Kind == wire.Level {
			v := b.rng.Int64N(50) + int64(m.ID)
			d.Gauge(m.ID, v, v-b.rng.Int64N(5), v+b.rng.Int64N(5))
		}
	}
	for range 1 + b.rng.IntN(7) {
		s.Observe(wire.QualityJoinMs, from, b.rng.ExpFloat64()*40)
		s.Observe(wire.QualityConnectMs, from, b.rng.ExpFloat64()*400)
		s.See(wire.DevicesUnique, from, b.rng.Uint64N(100)*0x9E3779B97F4A7C15)
	}
	s.Sketches(d, b.now)
	s.Alert(d, wire.AlertDisk, b.rng.IntN(60) == 0, b.now, 1)
	var open []wire.RoomFacts
	for _, r := range b.rooms {
		open = append(open, r)
	}
	d.Rooms(&s.Reported, open)
	return d
}

func (b *box) ticks(tb testing.TB, n int) {
	tb.Helper()
	for i := range n {
		if err := b.tick(); err != nil {
			tb.Fatalf("tick %d: %v", i, err)
		}
	}
}

// cloud applies frames as the projector does: what is above the watermark, the
// newest winning. Incarnations are added up.
type cloud struct {
	applied map[uint64]uint64
	totals  map[uint64]map[wire.MetricID]uint64
	rooms   map[string]uint32
	spans   []time.Duration
	joins   map[int64][]byte // by hour
}

func newCloud() *cloud {
	return &cloud{applied: map[uint64]uint64{}, totals: map[uint64]map[wire.MetricID]uint64{}, rooms: map[string]uint32{}, joins: map[int64][]byte{}}
}

func (c *cloud) apply(incarnation uint64, frames []*wire.Frame) error {
	for _, f := range frames {
		at := c.applied[incarnation]
		if f.GetLast() <= at {
			continue
		}
		if f.GetFirst() > at+1 {
			return fmt.Errorf("frame %d to %d after %d", f.GetFirst(), f.GetLast(), at)
		}
		c.applied[incarnation] = f.GetLast()
		now := make(map[wire.MetricID]uint64, len(f.GetCounterIds()))
		for i, id := range f.GetCounterIds() {
			now[id] = f.GetCounterValues()[i]
		}
		c.totals[incarnation] = now
		if f.GetAllRooms() {
			clear(c.rooms)
		}
		for _, r := range f.GetRooms() {
			if c.rooms[r.GetId()] = r.GetMembers(); r.GetGone() {
				delete(c.rooms, r.GetId())
			}
		}
		for _, s := range f.GetSketches() {
			if s.GetId() == wire.QualityJoinMs && s.GetSpanS() == wire.HourS {
				c.joins[s.GetStartMs()] = s.GetData()
			}
		}
		c.spans = append(c.spans, time.Duration(f.GetEndMs()-f.GetStartMs())*time.Millisecond)
	}
	return nil
}

// drain sends all that the cloud has not yet.
func (c *cloud) drain(tb testing.TB, out *outbox.Outbox) (batches int) {
	tb.Helper()
	inc := out.Incarnation()
	if err := out.Applied(inc, c.applied[inc]); err != nil { // nothing is sent before the two agree
		tb.Fatal(err)
	}
	for ; ; batches++ {
		frames, err := out.Next(c.applied[inc]+1, wire.MaxBatchFrames, wire.MaxBatchBytes)
		if err != nil {
			tb.Fatal(err)
		}
		if len(frames) == 0 {
			return batches
		}
		if err := c.apply(inc, frames); err != nil {
			tb.Fatal(err)
		}
		if err := out.Applied(inc, c.applied[inc]); err != nil {
			tb.Fatal(err)
		}
	}
}

// check compares all that the cloud has with what the box counted.
func (c *cloud) check(tb testing.TB, b *box) {
	tb.Helper()
	sum := map[wire.MetricID]uint64{}
	for _, totals := range c.totals {
		for id, n := range totals {
			sum[id] += n
		}
	}
	for id, want := range b.totals {
		if sum[id] != want {
			tb.Errorf("metric %d: the cloud has %d, the box counted %d", id, sum[id], want)
		}
	}
	if len(c.rooms) != len(b.rooms) {
		tb.Errorf("the cloud has %d rooms, the box %d", len(c.rooms), len(b.rooms))
	}
}

func open(tb testing.TB, cfg outbox.Config) *outbox.Outbox {
	tb.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	out, err := outbox.Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { out.Close() })
	return out
}
