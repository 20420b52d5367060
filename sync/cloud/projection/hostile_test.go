package projection_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projection/projectiontest"
	"signalbox/sync/wire"
)

// nonsense makes a body that keeps to the format and to nothing else.
func nonsense(rng *rand.Rand, at time.Time) *wire.Body {
	b := &wire.Body{Incarnation: rng.Uint64N(200) + 1, Oldest: rng.Uint64N(1 << 62), Boot: rng.Uint32N(3), MonoMs: rng.Uint64N(1 << 40), SentMs: rng.Int64N(1 << 40)}
	last := rng.Uint64N(1 << 40)
	for range 1 + rng.IntN(20) {
		end := at.Add(-time.Duration(rng.Int64N(int64(3 * 365 * 24 * time.Hour)))).UnixMilli()
		f := &wire.Frame{First: last + 1 + rng.Uint64N(3), Boot: rng.Uint32N(3), StartMs: rng.Int64N(end + 1), EndMs: end, Lost: rng.Uint64()}
		f.Last = f.First + rng.Uint64N(1<<rng.UintN(40))
		last = f.Last
		for id := range uint32(wire.MaxCounters) {
			f.CounterIds = append(f.CounterIds, 1+id*rng.Uint32N(9)+id*9)
			f.CounterValues = append(f.CounterValues, rng.Uint64())
			f.Gauges = append(f.Gauges, &wire.Gauge{Id: 1 + id*9 + rng.Uint32N(9), Last: rng.Int64N(1<<62) - 1<<61, Below: rng.Int64N(1 << 62), Above: rng.Int64N(1 << 62)})
		}
		slices.Sort(f.CounterIds)
		f.CounterIds = slices.Compact(f.CounterIds)
		f.CounterValues = f.CounterValues[:len(f.CounterIds)]
		for i := range 1 + rng.IntN(wire.MaxRooms/8) {
			f.Rooms = append(f.Rooms, &wire.Room{Id: fmt.Sprintf("%d-%d", i, rng.IntN(1e9)), Members: rng.Uint32()})
		}
		for range rng.IntN(wire.MaxAlerts) {
			f.Alerts = append(f.Alerts, &wire.Alert{Kind: fmt.Sprint(rng.IntN(1e6)), Raised: rng.IntN(2) == 0, AtMs: rng.Int64N(1 << 41), Value: rng.Int64()})
		}
		for range rng.IntN(wire.MaxSketches) {
			span := []uint32{wire.HourS, wire.DayS}[rng.IntN(2)]
			start := end - end%(int64(span)*1000) - rng.Int64N(5)*int64(span)*1000
			f.Sketches = append(f.Sketches, &wire.Sketch{Id: 200 + rng.Uint32N(20), StartMs: start, SpanS: span, Data: make([]byte, rng.IntN(wire.MaxSketchBytes))})
		}
		for i := range rng.IntN(wire.MaxResults) {
			f.Results = append(f.Results, &wire.Result{Id: fmt.Sprint("r", i), Text: "x"})
		}
		b.Frames = append(b.Frames, f)
	}
	return b
}

// TestHostile: one box of five sends nonsense. What is kept of it stays within
// its bounds, and of the others everything is right.
func TestHostile(t *testing.T) {
	plants := fleet(5, 3)
	stream := history(5, plants, 120)
	rng := rand.New(rand.NewPCG(5, 5))
	evil := wire.BoxID{Tenant: "main", Site: "site-000", Box: "evil"}
	var mixed []projection.Message
	for i, m := range stream {
		mixed = append(mixed, m)
		if i%3 == 0 {
			mixed = append(mixed, projection.Message{Box: evil, Time: m.Time, Body: nonsense(rng, m.Time)})
		}
		if i%5 == 0 {
			mixed = append(mixed, projection.Message{Box: evil, Time: m.Time, Refused: fmt.Sprint("reason", rng.IntN(100))})
		}
	}
	for i := range mixed {
		mixed[i].Seq = uint64(i + 1)
	}
	path := filepath.Join(t.TempDir(), projection.FileName)
	p := openAt(t, path)
	began := time.Now()
	feed(t, p, mixed, 60)
	t.Logf("%d messages, %v each", len(mixed), time.Since(began)/time.Duration(len(mixed)))
	for _, plant := range plants {
		for _, m := range wire.Metrics {
			if m.Kind == wire.Counter && p.Box(plant.ID).Total(m.ID) != plant.Total(m.ID) {
				t.Errorf("%s: %s is %d, want %d", plant.ID, m.Name, p.Box(plant.ID).Total(m.ID), plant.Total(m.ID))
			}
		}
		checkPresent(t, p, plant)
		checkHistory(t, p, plant)
	}
	checkBounds(t, p, evil)
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 256<<20 {
		t.Errorf("the file has %d MB (%v)", info.Size()>>20, err)
	}
	again := open(t)
	feed(t, again, mixed, 999)
	if again.Hash() != p.Hash() {
		t.Error("nonsense makes nodes differ")
	}
}

func checkBounds(t *testing.T, p *projection.Projection, evil wire.BoxID) {
	t.Helper()
	v := p.Box(evil)
	rooms, err := p.Rooms(evil)
	if err != nil {
		t.Fatal(err)
	}
	events, err := p.Events([]wire.BoxID{evil}, 1e6)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what      string
		got, most int
	}{
		{"bytes", int(v.Bytes), 32 << 20},
		{"rooms", len(rooms), 1024},
		{"alerts", len(v.Alerts), 64},
		{"events", len(events), 256},
		{"totals", len(v.Totals), 512},
		{"gauges", len(v.Gauges), 256},
		{"reasons", len(v.Refused), 24},
		{"incarnations", v.Incarnations, 64},
	} {
		if c.got > c.most {
			t.Errorf("%d %s are kept, want at most %d", c.got, c.what, c.most)
		}
		t.Logf("%d %s", c.got, c.what)
	}
	if _, err := p.Hours(evil, wire.RelayPackets, projectiontest.Epoch.AddDate(-3, 0, 0), projectiontest.Epoch.AddDate(0, 1, 0)); err != nil {
		t.Error(err)
	}
	if _, err := p.Distribution([]wire.BoxID{evil}, wire.QualityJoinMs, projectiontest.Epoch.AddDate(-3, 0, 0), projectiontest.Epoch.AddDate(0, 1, 0)); err != nil {
		t.Error(err)
	}
}
