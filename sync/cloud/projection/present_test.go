package projection_test

import (
	"maps"
	"testing"
	"time"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projection/projectiontest"
	"signalbox/sync/wire"
)

var box = wire.BoxID{Tenant: "main", Site: "s", Box: "b"}

// frameAt is a frame of a minute that ended some time after Epoch.
func frameAt(seq uint64, end time.Duration, gauges ...*wire.Gauge) *wire.Frame {
	at := projectiontest.Epoch.Add(end)
	return &wire.Frame{First: seq, Last: seq, StartMs: at.Add(-time.Minute).UnixMilli(), EndMs: at.UnixMilli(), Boot: 1, MonoMs: uint64(end.Milliseconds()), Gauges: gauges}
}

// message is a batch that was sent some time after Epoch.
func message(sent time.Duration, frames ...*wire.Frame) projection.Message {
	return projection.Message{
		Seq: uint64(sent / time.Second), Time: projectiontest.Epoch.Add(sent), Box: box,
		Body: &wire.Body{Incarnation: 1, Oldest: 1, Boot: 1, MonoMs: uint64(sent.Milliseconds()), Frames: frames},
	}
}

// TestStrip: an outage of the link is a hole at first, and told later; one of
// the box stays a hole.
func TestStrip(t *testing.T) {
	p := open(t)
	minute := time.Minute
	feed(t, p, []projection.Message{
		message(5*minute, frameAt(1, 5*minute)),
		// Nothing for an hour. Then the box tells of a minute amid it, and of an
		// alert that held ten minutes later.
		message(70*minute, frameAt(2, 30*minute), &wire.Frame{
			First: 3, Last: 3, StartMs: projectiontest.Epoch.Add(35 * minute).UnixMilli(), EndMs: projectiontest.Epoch.Add(50 * minute).UnixMilli(), Boot: 1, MonoMs: uint64((50 * minute).Milliseconds()),
			Alerts: []*wire.Alert{{Kind: string(wire.AlertDisk), Raised: true, AtMs: projectiontest.Epoch.Add(40 * minute).UnixMilli()}},
		}, frameAt(4, 70*minute)),
	}, 1)
	strip := p.Box(box).Strip(projectiontest.Epoch.Add(71 * minute))
	at := func(m int) projection.Cell { return strip[len(strip)-1-(70/5-m/5)] }
	for _, want := range []struct {
		minute int
		cell   projection.Cell
	}{
		{0, projection.CellGood},
		{10, projection.CellUnknown},
		{25, projection.CellGood | projection.CellLate},
		{30, projection.CellUnknown},
		{35, projection.CellBad | projection.CellLate},
		{45, projection.CellBad | projection.CellLate},
		{55, projection.CellUnknown},
		{65, projection.CellBad},
		{70, projection.CellUnknown},
	} {
		if got := at(want.minute); got != want.cell {
			t.Errorf("after %d minutes the cell is %#x, want %#x", want.minute, got, want.cell)
		}
	}
	// A day later nothing of it is left, though no frame has come.
	for _, c := range p.Box(box).Strip(projectiontest.Epoch.Add(26 * time.Hour)) {
		if c != projection.CellUnknown {
			t.Errorf("a day later a cell is %#x", c)
		}
	}
	events, err := p.Events([]wire.BoxID{box}, 10)
	if err != nil || len(events) != 1 || !events[0].Raised || !events[0].Late || !events[0].At.Equal(projectiontest.Epoch.Add(40*minute)) {
		t.Errorf("events are %+v, %v", events, err)
	}
}

// TestLateEvents: what is told by a link that works is not late, and does not
// become so when a cloud that lost something is told again.
func TestLateEvents(t *testing.T) {
	p := open(t)
	minute := time.Minute
	alerting := func(seq uint64, end time.Duration, kinds ...wire.AlertKind) *wire.Frame {
		f := frameAt(seq, end)
		for _, k := range kinds {
			f.Alerts = append(f.Alerts, &wire.Alert{Kind: string(k), Raised: true, AtMs: f.GetEndMs()})
		}
		return f
	}
	feed(t, p, []projection.Message{
		message(5*minute, alerting(1, 5*minute, wire.AlertDisk)),
		message(10*minute, alerting(2, 5*minute, wire.AlertMemory)), // an idle box's frame
		message(60*minute, alerting(3, 5*minute, wire.AlertDisk), alerting(4, 48*minute, wire.AlertPart)),
	}, 1)
	events, err := p.Events([]wire.BoxID{box}, 10)
	if err != nil {
		t.Fatal(err)
	}
	late := map[wire.AlertKind]bool{}
	for _, e := range events {
		late[e.Kind] = e.Late
	}
	want := map[wire.AlertKind]bool{wire.AlertDisk: false, wire.AlertMemory: false, wire.AlertPart: true}
	if !maps.Equal(late, want) {
		t.Errorf("late are %v, want %v", late, want)
	}
}

// TestPoints: of five minutes the peak, of free disk the lowest; those of two
// days ago are gone.
func TestPoints(t *testing.T) {
	p := open(t)
	sessions := func(last, above int64) *wire.Gauge {
		return &wire.Gauge{Id: wire.SessionsOnline, Last: last, Above: above}
	}
	disk := func(last, below int64) *wire.Gauge {
		return &wire.Gauge{Id: wire.BoxDiskFreeBytes, Last: last, Below: below}
	}
	feed(t, p, []projection.Message{
		message(time.Minute, frameAt(1, time.Minute, sessions(3, 4), disk(100, 20))),
		message(2*time.Minute, frameAt(2, 2*time.Minute, sessions(5, 0), disk(90, 0))),
		message(61*time.Minute, frameAt(3, 61*time.Minute, sessions(9, 0))),
	}, 1)
	from, to := projectiontest.Epoch, projectiontest.Epoch.Add(72*time.Hour)
	points, err := p.Points(box, from, to)
	if err != nil || len(points) != 2 {
		t.Fatalf("points are %+v, %v", points, err)
	}
	if n, ok := points[0].Value(wire.SessionsOnline); n != 7 || !ok {
		t.Errorf("sessions are %d, %v", n, ok)
	}
	if n, ok := points[0].Value(wire.BoxDiskFreeBytes); n != 80 || !ok {
		t.Errorf("free disk is %d, %v", n, ok)
	}
	if _, ok := points[1].Value(wire.BoxDiskFreeBytes); ok || !points[1].Start.Equal(projectiontest.Epoch.Add(time.Hour)) {
		t.Errorf("second point is %+v", points[1])
	}
	hours, err := p.Hours(box, wire.SessionsOnline, from, to)
	if err != nil || len(hours) != 2 || hours[0].Gauge != (projection.Gauge{ID: wire.SessionsOnline, Last: 5, Low: 3, High: 7}) {
		t.Errorf("hours are %+v, %v", hours, err)
	}
	feed(t, p, []projection.Message{message(52*time.Hour, frameAt(4, 52*time.Hour, sessions(1, 0)))}, 1)
	if points, err = p.Points(box, from, to); err != nil || len(points) != 1 {
		t.Errorf("two days later points are %+v, %v", points, err)
	}
	if hours, err = p.Hours(box, wire.SessionsOnline, from, to); err != nil || len(hours) != 3 {
		t.Errorf("two days later hours are %+v, %v", hours, err)
	}
}

// TestDays: whatever order hours and merged days come in, each join counts once;
// and after 35 days the cloud itself keeps days alone.
func TestDays(t *testing.T) {
	var frames []*wire.Frame
	for h := range 30 {
		f := frameAt(uint64(h+1), time.Duration(h+1)*time.Hour)
		f.StartMs = f.EndMs - 3600_000
		d := wire.NewDistribution()
		for range h + 1 {
			d.Add(float64(h))
		}
		f.Sketches = []*wire.Sketch{{Id: wire.QualityJoinMs, StartMs: f.StartMs, SpanS: wire.HourS, Data: d.Encode()}}
		frames = append(frames, f)
	}
	day := wire.MergeDay(frames[:12]...)
	more := wire.MergeDay(append([]*wire.Frame{day}, frames[12:24]...)...)
	rest := wire.MergeDay(frames[12:24]...)
	late := 31 * time.Hour
	const want = 30 * 31 / 2
	for name, batches := range map[string][]*wire.Frame{
		"hours, then days":   {frames[3], frames[11], frames[12], day, rest, frames[24], frames[25], frames[26], frames[27], frames[28], frames[29]},
		"a day that grows":   {day, more, frames[24], frames[25], frames[26], frames[27], frames[28], frames[29]},
		"the whole at first": {frames[29], more, day, frames[28], frames[5], frames[27], frames[26], frames[25], frames[24]},
		"halves, backwards":  {frames[29], rest, frames[28], frames[27], frames[26], frames[25], frames[24], day, frames[2]},
	} {
		p := open(t)
		var stream []projection.Message
		for i, f := range batches {
			stream = append(stream, message(late+time.Duration(i)*time.Second, f))
		}
		feed(t, p, stream, 1)
		boxes, from, to := []wire.BoxID{box}, projectiontest.Epoch, projectiontest.Epoch.Add(48*time.Hour)
		d, err := p.Distribution(boxes, wire.QualityJoinMs, from, to)
		if err != nil || d.Count() != want {
			t.Errorf("%s: %d joins, want %d (%v)", name, d.Count(), want, err)
		}
		bytes := p.Box(box).Bytes
		feed(t, p, []projection.Message{message(40*24*time.Hour, frameAt(31, 40*24*time.Hour))}, 1)
		if d, err = p.Distribution(boxes, wire.QualityJoinMs, from, to); err != nil || d.Count() != want {
			t.Errorf("%s: %d joins after 40 days, want %d (%v)", name, d.Count(), want, err)
		}
		if p.Box(box).Bytes >= bytes {
			t.Errorf("%s: history has grown from %d to %d bytes", name, bytes, p.Box(box).Bytes)
		}
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	}
}

// TestRetention: hours go after two years, totals never.
func TestRetention(t *testing.T) {
	p := open(t)
	f := frameAt(1, time.Hour)
	f.CounterIds, f.CounterValues = []uint32{wire.RelayPackets}, []uint64{40}
	feed(t, p, []projection.Message{message(time.Hour, f), message(2*time.Hour, frameAt(2, 2*time.Hour)), message(3*366*24*time.Hour, frameAt(3, 3*366*24*time.Hour))}, 1)
	hours, err := p.Hours(box, wire.RelayPackets, projectiontest.Epoch, projectiontest.Epoch.AddDate(4, 0, 0))
	if err != nil || len(hours) != 1 {
		t.Errorf("hours are %+v, %v", hours, err)
	}
	if n := p.Box(box).Total(wire.RelayPackets); n != 40 {
		t.Errorf("total is %d, want 40", n)
	}
}

// TestDamage: a file that is none is moved aside, and another begun.
func TestDamage(t *testing.T) {
	path := t.TempDir() + "/" + projection.FileName
	p, err := projection.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	feed(t, p, []projection.Message{message(time.Hour, frameAt(1, time.Hour))}, 1)
	if _, err := p.Update(func(*projection.Tx) error { return projection.ErrDamaged }); err == nil {
		t.Error("an update that found damage has succeeded")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = openAt(t, path)
	if p.Damage() == nil || p.Position().Seq != 0 || len(p.Overview()) != 0 {
		t.Errorf("damage is %v, position %+v", p.Damage(), p.Position())
	}
	feed(t, p, []projection.Message{message(time.Hour, frameAt(1, time.Hour))}, 1)
	if v := p.Box(box); v == nil || v.Applied != 1 {
		t.Errorf("box is %+v", v)
	}
}

// TestFeed: a subscriber that is slow gets changes as one.
func TestFeed(t *testing.T) {
	p := open(t)
	f := p.Subscribe()
	defer f.Close()
	feed(t, p, []projection.Message{message(time.Hour, frameAt(1, time.Hour)), message(2*time.Hour, frameAt(2, 2*time.Hour))}, 1)
	c, err := f.Next(t.Context())
	if err != nil || len(c.Boxes) != 1 || c.Boxes[0] != box || c.Resync || c.Seq != 7200 {
		t.Errorf("change is %+v, %v", c, err)
	}
	feed(t, p, steady(5000, 1), 5000)
	if c, err = f.Next(t.Context()); err != nil || !c.Resync || len(c.Boxes) != 0 {
		t.Errorf("change is %+v, %v", c, err)
	}
}

// TestIncarnations: of very many the older are told apart no more; their sum
// stays, and one that comes back is not counted twice.
func TestIncarnations(t *testing.T) {
	p := open(t)
	var stream []projection.Message
	send := func(inc uint64, seq uint64, n uint64) {
		i := time.Duration(len(stream) + 1)
		f := frameAt(seq, i*time.Minute)
		f.CounterIds, f.CounterValues = []uint32{wire.RelayPackets}, []uint64{n}
		m := message(i*time.Minute, f)
		m.Body.Incarnation = inc
		stream = append(stream, m)
	}
	for inc := range uint64(100) {
		send(inc+1, 1, 10)
	}
	send(100, 2, 30)
	send(50, 2, 15) // told apart still
	send(1, 2, 999) // not any more
	feed(t, p, stream, 10)
	v := p.Box(box)
	if got := v.Total(wire.RelayPackets); got != 99*10+30+5 || v.Incarnation != 100 || v.Incarnations != 64 {
		t.Errorf("total is %d, want 1025; incarnation %d of %d", got, v.Incarnation, v.Incarnations)
	}
	if len(v.Refused) != 1 || v.Refused[0].Reason != "folded" {
		t.Errorf("refused are %+v", v.Refused)
	}
	for inc, want := range map[uint64]uint64{100: 2, 50: 2, 1: 0, 777: 0} {
		if got, newest, err := p.Applied(box, inc); got != want || newest < want || err != nil {
			t.Errorf("of incarnation %d, %d is applied, want %d (%v)", inc, got, want, err)
		}
	}
}

// TestNewIncarnationIsThePresent: a box that counts anew numbers its frames from
// 1 again, and they tell of now from the first on.
func TestNewIncarnationIsThePresent(t *testing.T) {
	p := open(t)
	online := func(n int64) *wire.Gauge { return &wire.Gauge{Id: wire.SessionsOnline, Last: n} }
	again := message(40*time.Minute, frameAt(1, 40*time.Minute, online(3)))
	again.Body.Incarnation = 2
	feed(t, p, []projection.Message{message(30*time.Minute, frameAt(500, 30*time.Minute, online(9))), again}, 1)
	if g, ok := projection.GaugeOf(p.Box(box).Gauges, wire.SessionsOnline); !ok || g.Last != 3 {
		t.Errorf("sessions online are %+v, %v; want the 3 of the new incarnation", g, ok)
	}
}
