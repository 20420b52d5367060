package projection

import (
	"cmp"
	"slices"

	"signalbox/sync/wire"
)

// Count is a counter's total. Lists of them ascend by ID.
type Count struct {
	ID    wire.MetricID
	Value uint64
}

func byID(c Count, id wire.MetricID) int { return cmp.Compare(c.ID, id) }

// ValueOf returns the total of id, 0 if it is not in counts.
func ValueOf(counts []Count, id wire.MetricID) uint64 {
	if i, ok := slices.BinarySearchFunc(counts, id, byID); ok {
		return counts[i].Value
	}
	return 0
}

// countsOf are a frame's counters, each at most maxCount.
func countsOf(f *wire.Frame) []Count {
	counts := make([]Count, len(f.GetCounterIds()))
	for i, id := range f.GetCounterIds() {
		counts[i] = Count{id, min(f.GetCounterValues()[i], maxCount)}
	}
	return counts
}

// raise takes the larger of each counter, and leaves out new ones beyond
// maxMetrics. a is changed; b is not.
func raise(a, b []Count) []Count {
	return combine(a, b, func(x, y uint64) uint64 { return max(x, y) })
}

// Sum adds counters up. a is changed; b is not.
func Sum(a, b []Count) []Count {
	return combine(a, b, func(x, y uint64) uint64 { return x + min(y, ^uint64(0)-x) })
}

// less takes each of b from a. a is changed; what would fall below 0 is 0.
func less(a, b []Count) []Count {
	for _, c := range b {
		if i, ok := slices.BinarySearchFunc(a, c.ID, byID); ok {
			a[i].Value -= min(c.Value, a[i].Value)
		}
	}
	return slices.DeleteFunc(a, func(c Count) bool { return c.Value == 0 })
}

func combine(a, b []Count, with func(x, y uint64) uint64) []Count {
	i := 0
	for _, c := range b {
		for i < len(a) && a[i].ID < c.ID {
			i++
		}
		switch {
		case i < len(a) && a[i].ID == c.ID:
			a[i].Value = with(a[i].Value, c.Value)
		case len(a) < maxMetrics && c.Value > 0:
			a = slices.Insert(a, i, c)
		}
	}
	return a
}

func (e *encoder) counts(counts []Count) {
	var before wire.MetricID
	list(e, counts, func(e *encoder, c *Count) {
		e.uint(uint64(c.ID - before))
		e.uint(c.Value)
		before = c.ID
	})
}

func (d *decoder) counts() []Count {
	var before wire.MetricID
	return unlist(d, func(d *decoder, c *Count) {
		c.ID = before + wire.MetricID(d.uint())
		c.Value = d.uint()
		before = c.ID
	})
}
