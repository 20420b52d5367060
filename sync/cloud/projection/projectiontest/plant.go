// Package projectiontest makes frames as boxes do, and knows what the cloud must
// make of them.
package projectiontest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"signalbox/sync/wire"
)

// Epoch is when boxes begin, by their own clock and the cloud's.
var Epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// Plant is a box as its outbox would have it, and what the cloud must know of it
// in the end.
type Plant struct {
	ID     wire.BoxID
	Boot   uint32 // of the frames that come
	Now    time.Time
	Inc    uint64
	Seq    uint64
	Frames []*wire.Frame // of the incarnation, not yet sent
	Sent   []*wire.Body  // every body so far

	Rooms  map[string]*wire.Room // that are open
	Raised map[string]bool       // alerts that hold
	Union  *wire.SetSketch       // of all devices
	Joined uint64                // how many joins were measured

	rng      *rand.Rand
	counters map[wire.MetricID]uint64 // of the incarnation
	totals   map[wire.MetricID]uint64 // of those before
	devices  *wire.SetSketch          // of the hour
	joins    *wire.DistributionSketch
	hour     int64
	told     bool // of all rooms
}

// NewPlant makes the n-th box of a fleet, two a site.
func NewPlant(seed uint64, n int) *Plant {
	p := &Plant{
		rng: rand.New(rand.NewPCG(seed, uint64(n))), ID: wire.BoxID{Tenant: "main", Site: fmt.Sprintf("site-%03d", n/2), Box: fmt.Sprintf("box-%05d", n)},
		Boot: 7, Now: Epoch, totals: map[wire.MetricID]uint64{}, Union: wire.NewSet(),
	}
	p.Restart()
	return p
}

// Restart begins an incarnation, as a box does whose outbox was damaged.
func (p *Plant) Restart() {
	for id, n := range p.counters {
		p.totals[id] += n
	}
	p.Inc, p.Seq, p.Frames, p.told = p.rng.Uint64()|1, 0, nil, false
	p.counters, p.Rooms, p.Raised = map[wire.MetricID]uint64{}, map[string]*wire.Room{}, map[string]bool{}
	p.devices, p.joins = wire.NewSet(), wire.NewDistribution()
}

// Minute makes the next frame.
func (p *Plant) Minute() {
	start := p.Now
	p.Now = p.Now.Add(time.Minute)
	p.Seq++
	f := &wire.Frame{First: p.Seq, Last: p.Seq, StartMs: start.UnixMilli(), EndMs: p.Now.UnixMilli(), Boot: p.Boot, MonoMs: uint64(p.Now.Sub(Epoch).Milliseconds())}
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
	if p.Seq%60 == 1 {
		f.Box = &wire.Box{Version: "v1.2.3", Arch: "linux/arm64", Level: "default", StartedMs: Epoch.UnixMilli(), Policy: p.Seq}
	}
	p.Frames = append(p.Frames, f)
}

func (p *Plant) changeRooms(f *wire.Frame) {
	f.AllRooms, p.told = !p.told, true
	changed := map[string]*wire.Room{}
	for range p.rng.IntN(4) {
		id := fmt.Sprintf("room-%02d", p.rng.IntN(30))
		if p.Rooms[id] != nil && p.rng.IntN(2) == 0 {
			delete(p.Rooms, id)
			changed[id] = &wire.Room{Id: id, Gone: true}
		} else {
			p.Rooms[id] = &wire.Room{Id: id, Members: p.rng.Uint32N(9), CreatedMs: p.Now.UnixMilli()}
			changed[id] = p.Rooms[id]
		}
	}
	for _, id := range slices.Sorted(maps.Keys(changed)) {
		if !f.AllRooms || !changed[id].GetGone() {
			f.Rooms = append(f.Rooms, changed[id])
		}
	}
}

func (p *Plant) changeAlerts(f *wire.Frame) {
	if p.rng.IntN(40) > 0 {
		return
	}
	kind := []wire.AlertKind{wire.AlertDisk, wire.AlertClock, wire.AlertRelayFull}[p.rng.IntN(3)]
	p.Raised[string(kind)] = !p.Raised[string(kind)]
	f.Alerts = append(f.Alerts, &wire.Alert{Kind: string(kind), Raised: p.Raised[string(kind)], AtMs: p.Now.UnixMilli() - 500, Value: 3})
}

func (p *Plant) sketch(f *wire.Frame) {
	hour := (p.Now.UnixMilli() - 1) / 3600_000
	if hour != p.hour {
		p.hour, p.devices, p.joins = hour, wire.NewSet(), wire.NewDistribution()
	}
	device := p.rng.Uint64N(500) * 0x9E3779B97F4A7C15
	p.devices.Add(device)
	p.Union.Add(device)
	p.joins.Add(float64(p.rng.IntN(1000)))
	p.Joined++
	f.Sketches = []*wire.Sketch{
		{Id: wire.QualityJoinMs, StartMs: hour * 3600_000, SpanS: wire.HourS, Data: p.joins.Encode()},
		{Id: wire.DevicesUnique, StartMs: hour * 3600_000, SpanS: wire.HourS, Data: p.devices.Encode()},
	}
}

// Body takes what waits, up to n frames, into a batch.
func (p *Plant) Body(n int) *wire.Body {
	n = min(n, len(p.Frames))
	if n == 0 {
		return nil
	}
	b := &wire.Body{
		Incarnation: p.Inc, Oldest: 1, SentMs: p.Now.UnixMilli(), Boot: p.Boot, MonoMs: uint64(p.Now.Sub(Epoch).Milliseconds()),
		Frames: slices.Clone(p.Frames[:n]),
	}
	p.Frames = p.Frames[n:]
	p.Sent = append(p.Sent, b)
	return b
}

// Merge joins the oldest frames that wait, within their hour.
func (p *Plant) Merge() {
	n := 0
	for n < len(p.Frames) && (p.Frames[n].GetEndMs()-1)/3600_000 == (p.Frames[0].GetEndMs()-1)/3600_000 {
		n++
	}
	if n > 1 {
		p.Frames = append([]*wire.Frame{wire.Merge(p.Frames[:n]...)}, p.Frames[n:]...)
	}
}

// Total is what the cloud must know of a counter.
func (p *Plant) Total(id wire.MetricID) uint64 { return p.totals[id] + p.counters[id] }
