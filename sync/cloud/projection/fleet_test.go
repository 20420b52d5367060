package projection_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/wire"

	"google.golang.org/protobuf/proto"
)

var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// plant is a box as its outbox would have it, and what the cloud must know of it
// in the end.
type plant struct {
	rng    *rand.Rand
	id     wire.BoxID
	boot   uint32
	now    time.Time
	inc    uint64
	seq    uint64
	frames []*wire.Frame // of the incarnation, not yet sent
	sent   []*wire.Body  // every body so far

	counters map[wire.MetricID]uint64 // of the incarnation
	totals   map[wire.MetricID]uint64 // of those before
	rooms    map[string]*wire.Room
	raised   map[string]bool
	devices  *wire.SetSketch
	union    *wire.SetSketch
	joins    *wire.DistributionSketch
	joined   uint64
	hour     int64
	told     bool
}

func newPlant(seed uint64, n int) *plant {
	p := &plant{
		rng: rand.New(rand.NewPCG(seed, uint64(n))), id: wire.BoxID{Tenant: "main", Site: fmt.Sprintf("site-%03d", n/2), Box: fmt.Sprintf("box-%05d", n)},
		boot: 7, now: epoch, totals: map[wire.MetricID]uint64{}, union: wire.NewSet(),
	}
	p.restart()
	return p
}

// restart begins an incarnation, as a box does whose outbox was damaged.
func (p *plant) restart() {
	for id, n := range p.counters {
		p.totals[id] += n
	}
	p.inc, p.seq, p.frames, p.told = p.rng.Uint64()|1, 0, nil, false
	p.counters, p.rooms, p.raised = map[wire.MetricID]uint64{}, map[string]*wire.Room{}, map[string]bool{}
	p.devices, p.joins = wire.NewSet(), wire.NewDistribution()
}

// minute makes the next frame.
func (p *plant) minute() {
	start := p.now
	p.now = p.now.Add(time.Minute)
	p.seq++
	f := &wire.Frame{First: p.seq, Last: p.seq, StartMs: start.UnixMilli(), EndMs: p.now.UnixMilli(), Boot: p.boot, MonoMs: uint64(p.now.Sub(epoch).Milliseconds())}
	for _, m := range wire.Metrics {
		switch m.Kind {
		case wire.Counter:
			if p.rng.IntN(2) == 0 {
				p.counters[m.ID] += p.rng.Uint64N(1 << 20)
			}
			if p.counters[m.ID] > 0 {
				f.CounterIds, f.CounterValues = append(f.CounterIds, m.ID), append(f.CounterValues, p.counters[m.ID])
			}
		case wire.Level:
			if m.ID != wire.BoxUnhealthyParts {
				f.Gauges = append(f.Gauges, &wire.Gauge{Id: m.ID, Last: p.rng.Int64N(1 << 20), Below: p.rng.Int64N(100), Above: p.rng.Int64N(100)})
			}
		}
	}
	p.changeRooms(f)
	p.changeAlerts(f)
	p.sketch(f)
	if p.seq%60 == 1 {
		f.Box = &wire.Box{Version: "v1.2.3", Arch: "linux/arm64", Level: "default", StartedMs: epoch.UnixMilli(), Policy: p.seq}
	}
	p.frames = append(p.frames, f)
}

func (p *plant) changeRooms(f *wire.Frame) {
	f.AllRooms, p.told = !p.told, true
	changed := map[string]*wire.Room{}
	for range p.rng.IntN(4) {
		id := fmt.Sprintf("room-%02d", p.rng.IntN(30))
		if p.rooms[id] != nil && p.rng.IntN(2) == 0 {
			delete(p.rooms, id)
			changed[id] = &wire.Room{Id: id, Gone: true}
		} else {
			p.rooms[id] = &wire.Room{Id: id, Members: p.rng.Uint32N(9), CreatedMs: p.now.UnixMilli()}
			changed[id] = p.rooms[id]
		}
	}
	for _, id := range slices.Sorted(maps.Keys(changed)) {
		if !f.AllRooms || !changed[id].GetGone() {
			f.Rooms = append(f.Rooms, changed[id])
		}
	}
}

func (p *plant) changeAlerts(f *wire.Frame) {
	if p.rng.IntN(40) > 0 {
		return
	}
	kind := []wire.AlertKind{wire.AlertDisk, wire.AlertClock, wire.AlertRelayFull}[p.rng.IntN(3)]
	p.raised[string(kind)] = !p.raised[string(kind)]
	f.Alerts = append(f.Alerts, &wire.Alert{Kind: string(kind), Raised: p.raised[string(kind)], AtMs: p.now.UnixMilli() - 500, Value: 3})
}

func (p *plant) sketch(f *wire.Frame) {
	hour := (p.now.UnixMilli() - 1) / 3600_000
	if hour != p.hour {
		p.hour, p.devices, p.joins = hour, wire.NewSet(), wire.NewDistribution()
	}
	device := p.rng.Uint64N(500) * 0x9E3779B97F4A7C15
	p.devices.Add(device)
	p.union.Add(device)
	p.joins.Add(float64(p.rng.IntN(1000)))
	p.joined++
	f.Sketches = []*wire.Sketch{
		{Id: wire.QualityJoinMs, StartMs: hour * 3600_000, SpanS: wire.HourS, Data: p.joins.Encode()},
		{Id: wire.DevicesUnique, StartMs: hour * 3600_000, SpanS: wire.HourS, Data: p.devices.Encode()},
	}
}

// body takes what waits, up to n frames, into a batch.
func (p *plant) body(n int) *wire.Body {
	n = min(n, len(p.frames))
	if n == 0 {
		return nil
	}
	b := &wire.Body{
		Incarnation: p.inc, Oldest: 1, SentMs: p.now.UnixMilli(), Boot: p.boot, MonoMs: uint64(p.now.Sub(epoch).Milliseconds()),
		Frames: slices.Clone(p.frames[:n]),
	}
	p.frames = p.frames[n:]
	p.sent = append(p.sent, b)
	return b
}

// merge joins the oldest frames that wait, within their hour.
func (p *plant) merge() {
	n := 0
	for n < len(p.frames) && (p.frames[n].GetEndMs()-1)/3600_000 == (p.frames[0].GetEndMs()-1)/3600_000 {
		n++
	}
	if n > 1 {
		p.frames = append([]*wire.Frame{wire.Merge(p.frames[:n]...)}, p.frames[n:]...)
	}
}

// total is what the cloud must know of a counter.
func (p *plant) total(id wire.MetricID) uint64 { return p.totals[id] + p.counters[id] }

// history makes the messages of a fleet: batches of several sizes, of which
// some come twice, late, in another order, or at first not at all.
func history(seed uint64, plants []*plant, minutes int) []projection.Message {
	rng := rand.New(rand.NewPCG(seed, 77))
	var stream []projection.Message
	var late []projection.Message
	send := func(p *plant, b *wire.Body) {
		if b == nil {
			return
		}
		m := projection.Message{Box: p.id, Body: b, Time: p.now.Add(20 * time.Millisecond)}
		switch rng.IntN(10) {
		case 0:
			stream = append(stream, m, m)
		case 1:
			late = append(late, m)
		case 2:
			old := p.sent[rng.IntN(len(p.sent))]
			stream = append(stream, m, projection.Message{Box: p.id, Body: old, Time: m.Time})
		default:
			stream = append(stream, m)
		}
	}
	offline := make([]int, len(plants))
	for minute := range minutes {
		for i, p := range plants {
			p.minute()
			switch {
			case offline[i] > 0:
				offline[i]--
				if rng.IntN(30) == 0 {
					p.merge()
				}
			case rng.IntN(60) == 0:
				offline[i] = rng.IntN(150)
			case rng.IntN(400) == 0:
				for b := p.body(60); b != nil; b = p.body(60) {
					send(p, b)
				}
				p.restart()
			default:
				send(p, p.body(1+rng.IntN(60)))
			}
		}
		if len(late) > 0 && minute%7 == 0 {
			rng.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
			n := rng.IntN(len(late) + 1)
			stream = append(stream, resent(late[:n], plants[0].now)...)
			late = late[n:]
		}
	}
	for _, p := range plants {
		for b := p.body(60); b != nil; b = p.body(60) {
			send(p, b)
		}
	}
	stream = append(stream, resent(late, plants[0].now)...)
	for i := range stream {
		stream[i].Seq = uint64(i + 1)
		if i > 0 && stream[i].Time.Before(stream[i-1].Time) {
			stream[i].Time = stream[i-1].Time
		}
	}
	return stream
}

// resent are batches sent once more at now: with the same frames, but dated anew.
func resent(late []projection.Message, now time.Time) []projection.Message {
	for i := range late {
		b := proto.CloneOf(late[i].Body)
		b.SentMs, b.MonoMs = now.UnixMilli(), uint64(now.Sub(epoch).Milliseconds())
		late[i].Body, late[i].Time = b, now.Add(20*time.Millisecond)
	}
	return late
}

func open(t testing.TB) *projection.Projection {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), projection.FileName))
}

func openAt(t testing.TB, path string) *projection.Projection {
	t.Helper()
	p, err := projection.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// feed applies messages in groups of at most n.
func feed(t testing.TB, p *projection.Projection, stream []projection.Message, n int) {
	t.Helper()
	for part := range slices.Chunk(stream, n) {
		_, err := p.Update(func(tx *projection.Tx) error {
			for i := range part {
				if err := tx.Apply(&part[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
