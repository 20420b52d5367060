package projection

import (
	"cmp"
	"slices"

	"signalbox/sync/wire"
)

// Gauge is a value and its extremes over some time. Lists of them ascend by ID.
type Gauge struct {
	ID              wire.MetricID
	Last, Low, High int64
}

// GaugeOf returns the gauge of id.
func GaugeOf(gauges []Gauge, id wire.MetricID) (Gauge, bool) {
	i, ok := slices.BinarySearchFunc(gauges, id, func(g Gauge, id wire.MetricID) int { return cmp.Compare(g.ID, id) })
	if !ok {
		return Gauge{ID: id}, false
	}
	return gauges[i], true
}

func gaugesOf(f *wire.Frame) []Gauge {
	gauges := make([]Gauge, len(f.GetGauges()))
	for i, g := range f.GetGauges() {
		gauges[i] = Gauge{g.GetId(), g.GetLast(), g.GetLast() - g.GetBelow(), g.GetLast() + g.GetAbove()}
	}
	return gauges
}

// widen takes the extremes of both lists, and b's last values if it is newer.
// New ones beyond maxMetrics are left out. a is changed; b is not.
func widen(a, b []Gauge, newer bool) []Gauge {
	i := 0
	for _, g := range b {
		for i < len(a) && a[i].ID < g.ID {
			i++
		}
		switch {
		case i < len(a) && a[i].ID == g.ID:
			a[i].Low, a[i].High = min(a[i].Low, g.Low), max(a[i].High, g.High)
			if newer {
				a[i].Last = g.Last
			}
		case len(a) < maxMetrics:
			a = slices.Insert(a, i, g)
		}
	}
	return a
}

func (e *encoder) gauges(gauges []Gauge) {
	var before wire.MetricID
	list(e, gauges, func(e *encoder, g *Gauge) {
		e.uint(uint64(g.ID - before))
		e.int(g.Last)
		e.uint(uint64(g.Last) - uint64(g.Low))
		e.uint(uint64(g.High) - uint64(g.Last))
		before = g.ID
	})
}

func (d *decoder) gauges() []Gauge {
	var before wire.MetricID
	return unlist(d, func(d *decoder, g *Gauge) {
		g.ID = before + wire.MetricID(d.uint())
		g.Last = d.int()
		g.Low = int64(uint64(g.Last) - d.uint())
		g.High = int64(uint64(g.Last) + d.uint())
		before = g.ID
	})
}
