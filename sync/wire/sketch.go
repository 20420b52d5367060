package wire

import (
	"bytes"
	"cmp"
	"slices"
)

// sketchKey is what a later sketch replaces an earlier one by.
type sketchKey struct {
	start int64
	id    uint32
	span  uint32
}

func keyOf(s *Sketch) sketchKey { return sketchKey{s.GetStartMs(), s.GetId(), s.GetSpanS()} }

func compareSketches(a, b *Sketch) int {
	return cmp.Or(cmp.Compare(a.GetStartMs(), b.GetStartMs()), cmp.Compare(a.GetId(), b.GetId()), cmp.Compare(a.GetSpanS(), b.GetSpanS()))
}

// MergeSketchData joins two sketches of metric id, bit for bit the same in
// either order. Data that cannot be read, or of an id of no known kind, is left
// out in favour of the other.
func MergeSketchData(id MetricID, a, b []byte) []byte {
	switch KindOf(id) {
	case Distribution:
		da, errA := ParseDistribution(a)
		db, errB := ParseDistribution(b)
		if errA == nil && errB == nil {
			da.Merge(db)
			return da.Encode()
		}
		return readable(a, errA, b, errB)
	case Set:
		sa, errA := ParseSet(a)
		sb, errB := ParseSet(b)
		if errA == nil && errB == nil {
			sa.Merge(sb)
			return sa.Encode()
		}
		return readable(a, errA, b, errB)
	default:
		return slices.MaxFunc([][]byte{a, b}, bytes.Compare)
	}
}

func readable(a []byte, errA error, b []byte, errB error) []byte {
	switch {
	case errA == nil:
		return a
	case errB == nil:
		return b
	}
	return nil
}

// joinSketches merges lists of sketches, the older first. A later sketch of an
// hour replaces the earlier, which it contains. Those of a day stand for
// different hours of it, and are added up.
func joinSketches(older, newer []*Sketch) []*Sketch {
	byKey := make(map[sketchKey]*Sketch, len(older)+len(newer))
	for _, list := range [][]*Sketch{older, newer} {
		for _, s := range list {
			if old, ok := byKey[keyOf(s)]; ok && s.GetSpanS() != HourS {
				s = &Sketch{Id: s.GetId(), StartMs: s.GetStartMs(), SpanS: s.GetSpanS(), Data: MergeSketchData(s.GetId(), old.GetData(), s.GetData())}
			}
			byKey[keyOf(s)] = s
		}
	}
	return sortedSketches(byKey)
}

// daySketches adds up the sketches of the hours of the UTC day in which their
// frame ended. The last hour stays by itself, and so do hours of other days: the
// whole of a day's last hour is told after midnight, in a frame of the next day,
// and must be able to replace what was told before.
func daySketches(list []*Sketch, endMs int64) []*Sketch {
	const hourMs, dayMs = HourS * 1000, DayS * 1000
	day := floorDiv(endMs-1, dayMs) * dayMs
	byKey := make(map[sketchKey]*Sketch, len(list))
	for _, s := range list {
		if of := s.GetStartMs() - day; of >= 0 && of < dayMs-hourMs && s.GetSpanS() == HourS {
			s = &Sketch{Id: s.GetId(), StartMs: day, SpanS: DayS, Data: s.GetData()}
		}
		if old, ok := byKey[keyOf(s)]; ok {
			s = &Sketch{Id: s.GetId(), StartMs: s.GetStartMs(), SpanS: s.GetSpanS(), Data: MergeSketchData(s.GetId(), old.GetData(), s.GetData())}
		}
		byKey[keyOf(s)] = s
	}
	return sortedSketches(byKey)
}

func sortedSketches(byKey map[sketchKey]*Sketch) []*Sketch {
	list := make([]*Sketch, 0, len(byKey))
	for _, s := range byKey {
		list = append(list, s)
	}
	slices.SortFunc(list, compareSketches)
	return list
}
