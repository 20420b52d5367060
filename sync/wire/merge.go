package wire

import "slices"

// Merge returns one frame that stands for all of frames, which are adjacent and
// of one incarnation, the oldest first. They are not changed, and the result
// shares parts with them.
//
// It is associative: frames merged in any groups, and those merged again, are
// the same frame. Its counters, being totals, are those of the last. Applying
// it where some of frames were applied before changes no total either: a later
// frame holds all that an earlier one had.
//
// What exceeds the bounds of a frame is left out, the oldest first, and counted
// in Lost: never a total, and never the last alert of a kind.
func Merge(frames ...*Frame) *Frame {
	f := join(frames)
	Bound(f)
	return f
}

// MergeDay is Merge for the frames of a UTC day, whose sketches of hours it adds
// up to sketches of the day, but for the last hour. What is to be known of a day
// is in its day's sketch and in those of hours beside it.
func MergeDay(frames ...*Frame) *Frame {
	f := join(frames)
	f.Sketches = daySketches(f.GetSketches(), f.GetEndMs())
	Bound(f)
	return f
}

// join merges without bounds.
func join(frames []*Frame) *Frame {
	if len(frames) == 0 {
		return &Frame{}
	}
	into := shallow(frames[0])
	for _, f := range frames[1:] {
		joinInto(into, f)
	}
	return into
}

// shallow copies a frame so far that joinInto may change the copy.
func shallow(f *Frame) *Frame {
	return &Frame{
		First: f.GetFirst(), Last: f.GetLast(), StartMs: f.GetStartMs(), EndMs: f.GetEndMs(), Boot: f.GetBoot(), MonoMs: f.GetMonoMs(),
		CounterIds: f.GetCounterIds(), CounterValues: f.GetCounterValues(), Gauges: f.GetGauges(), Sketches: f.GetSketches(),
		Rooms: slices.Clip(f.GetRooms()), Alerts: slices.Clip(f.GetAlerts()), Box: f.GetBox(), Lost: f.GetLost(),
		Results: slices.Clip(f.GetResults()), AllRooms: f.GetAllRooms(),
	}
}

func joinInto(into, f *Frame) {
	into.First, into.Last = min(into.First, f.GetFirst()), max(into.Last, f.GetLast())
	// A clock set back within the span must not make it end before it begins.
	into.StartMs, into.EndMs = min(into.StartMs, f.GetStartMs()), f.GetEndMs()
	into.Boot, into.MonoMs = f.GetBoot(), f.GetMonoMs()
	into.CounterIds, into.CounterValues = f.GetCounterIds(), f.GetCounterValues()
	into.Gauges = joinGauges(into.Gauges, f.GetGauges())
	if len(f.GetSketches()) > 0 {
		into.Sketches = joinSketches(into.Sketches, f.GetSketches())
	}
	into.Rooms, into.AllRooms = joinRooms(into, f)
	into.Alerts = append(into.Alerts, f.GetAlerts()...)
	into.Results = append(into.Results, f.GetResults()...)
	into.Lost += f.GetLost()
	if f.GetBox() != nil {
		into.Box = f.GetBox()
	}
}

// joinGauges keeps the newer value and the extremes of both. Both lists ascend.
func joinGauges(older, newer []*Gauge) []*Gauge {
	out := make([]*Gauge, 0, max(len(older), len(newer)))
	for len(older) > 0 && len(newer) > 0 {
		a, b := older[0], newer[0]
		switch {
		case a.GetId() < b.GetId():
			out, older = append(out, a), older[1:]
		case a.GetId() > b.GetId():
			out, newer = append(out, b), newer[1:]
		default:
			low := min(a.GetLast()-a.GetBelow(), b.GetLast()-b.GetBelow())
			high := max(a.GetLast()+a.GetAbove(), b.GetLast()+b.GetAbove())
			out = append(out, &Gauge{Id: b.GetId(), Last: b.GetLast(), Below: b.GetLast() - low, Above: high - b.GetLast()})
			older, newer = older[1:], newer[1:]
		}
	}
	return append(append(out, older...), newer...)
}

// joinRooms keeps the last state of each room, those that changed last at the
// end. That a room is gone is kept too, even if it was made within the span: the
// cloud may have heard of it from a frame that is part of this one. Only after
// a list of all rooms, one that is gone needs no mention.
func joinRooms(older, newer *Frame) (rooms []*Room, all bool) {
	if newer.GetAllRooms() || len(newer.GetRooms()) == 0 {
		if newer.GetAllRooms() {
			return newer.GetRooms(), true
		}
		return older.GetRooms(), older.GetAllRooms()
	}
	changed := make(map[string]bool, len(newer.GetRooms()))
	for _, r := range newer.GetRooms() {
		changed[r.GetId()] = true
	}
	rooms = make([]*Room, 0, len(older.GetRooms())+len(newer.GetRooms()))
	for _, r := range older.GetRooms() {
		if !changed[r.GetId()] {
			rooms = append(rooms, r)
		}
	}
	for _, r := range newer.GetRooms() {
		if !older.GetAllRooms() || !r.GetGone() {
			rooms = append(rooms, r)
		}
	}
	return rooms, older.GetAllRooms()
}

// Bound leaves out what a frame has beyond the bounds of the format, and counts
// it in Lost.
func Bound(f *Frame) {
	f.CounterIds = f.CounterIds[:min(len(f.CounterIds), MaxCounters)]
	f.CounterValues = f.CounterValues[:min(len(f.CounterValues), MaxCounters)]
	f.Gauges = f.Gauges[:min(len(f.Gauges), MaxGauges)]
	f.Lost += newest(&f.Sketches, MaxSketches)
	f.Lost += newest(&f.Rooms, MaxRooms)
	f.Lost += newest(&f.Results, MaxResults)
	f.Lost += boundAlerts(f)
}

// newest cuts a list down to its last n, and returns how many it had more.
func newest[T any](list *[]T, n int) uint64 {
	over := max(len(*list)-n, 0)
	*list = (*list)[over:]
	return uint64(over)
}

// boundAlerts keeps the newest alerts, and of the others the last of each kind:
// what was raised and has ended since goes first, what still holds stays.
func boundAlerts(f *Frame) (lost uint64) {
	all := f.GetAlerts()
	over := len(all) - maxRecentAlerts
	if over <= 0 {
		return 0
	}
	later := map[string]bool{}
	for _, a := range all[over:] {
		later[a.GetKind()] = true
	}
	kept := slices.Clone(all[over:])
	for i := over - 1; i >= 0; i-- {
		if kind := all[i].GetKind(); later[kind] || len(kept) >= MaxAlerts {
			lost++
		} else {
			later[kind] = true
			kept = append([]*Alert{all[i]}, kept...)
		}
	}
	f.Alerts = kept
	return lost
}

// maxRecentAlerts leaves room below MaxAlerts for the last of each kind.
const maxRecentAlerts = MaxAlerts - 64
