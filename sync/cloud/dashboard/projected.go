package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/wire"
)

// Projected is the Fleet and the History that a projection is.
type Projected struct {
	Projection *projection.Projection
	// Current reports that the projection has read what the stream has.
	Current func() bool
	// Presence tells of boxes that come and go, which are changes too; may be nil.
	Presence interface {
		Watch(tell func(wire.BoxID)) (stop func())
	}
	// Ahead knows of boxes' present what the projection has still to be told, and
	// tells when that changes; may be nil.
	Ahead interface {
		Over(v *projection.BoxView) *projection.BoxView
		WatchOver(tell func(wire.BoxID)) (stop func())
	}
}

// Position is the last message that is applied.
func (p Projected) Position() (seq uint64, current bool) {
	return p.Projection.Position().Seq, p.Current()
}

// Box is what is known of a box, nil when it was never heard of.
func (p Projected) Box(id wire.BoxID) *Facts {
	v := p.Projection.Box(id)
	if v == nil {
		return nil
	}
	if p.Ahead != nil {
		v = p.Ahead.Over(v)
	}
	return factsOf(v)
}

func factsOf(v *projection.BoxView) *Facts {
	f := &Facts{
		ID: v.ID, Heard: v.Heard, Dated: v.Dated, Gauges: make([]Metered, len(v.Gauges)), Totals: make([]Counted, len(v.Totals)),
		Strip: func(now time.Time) string { return cellsText(v.Strip(now)) },
	}
	if i := v.Info; i != nil {
		f.Version, f.Arch, f.Level, f.Name, f.Link = i.GetVersion(), i.GetArch(), i.GetLevel(), i.GetName(), i.GetLink()
		f.Policy, f.PolicyFault = i.GetPolicy(), i.GetPolicyFault()
		f.Started, f.CertificateEnd, f.Backup = stampOf(i.GetStartedMs()), stampOf(i.GetCertEndMs()), stampOf(i.GetBackupMs())
	}
	for i, g := range v.Gauges {
		f.Gauges[i] = Metered{g.ID, g.Last}
	}
	for i, c := range v.Totals {
		f.Totals[i] = Counted{c.ID, c.Value}
	}
	for _, a := range v.Alerts {
		f.Alerts = append(f.Alerts, Alert{Kind: string(a.Kind), Text: alertText(a.Kind, a.Value), Grave: projection.Grave(a.Kind), Since: a.Since, Value: a.Value})
	}
	for _, r := range v.Refused {
		f.Refused += r.Count
		if r.Last().After(f.RefusedLast) {
			f.RefusedLast, f.RefusedReason = r.Last(), r.Reason
		}
	}
	return f
}

// stampOf reads Unix milliseconds; 0, and what no calendar has, is none.
func stampOf(ms int64) time.Time {
	const most = 253402300799000 // the year 9999, the last that JSON has
	if ms <= 0 || ms > most {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// alertText says an alert with its value.
func alertText(kind wire.AlertKind, value int64) string {
	text := cmp.Or(wire.AlertKinds[kind], fmt.Sprintf("The box says %.63q.", string(kind)))
	switch kind {
	case wire.AlertDisk:
		return text + " " + sizeText(value) + " are free."
	case wire.AlertMemory, wire.AlertOutboxMerging:
		return text + " " + sizeText(value) + " are in use."
	case wire.AlertOutboxFailing:
		return fmt.Sprintf("%s Since %d min.", text, value)
	case wire.AlertClock:
		return fmt.Sprintf("%s By %.1f s.", text, float64(value)/1000)
	case wire.AlertTemperature:
		return fmt.Sprintf("%s %.1f °C.", text, float64(value)/1000)
	case wire.AlertPart, wire.AlertRelayFull, wire.AlertSessionsFull:
		return fmt.Sprintf("%s %d.", text, value)
	case wire.AlertRelayBandwidth:
		return text + " " + bitsText(value) + "."
	case wire.AlertUpgrade:
		return text + " At " + stampOf(value).Format("2006-01-02 15:04 UTC") + "."
	case wire.AlertPolicy:
		return fmt.Sprintf("%s Revision %d.", text, value)
	case wire.AlertExhaustion:
		if m, ok := metricOf(wire.MetricID(value)); ok {
			return text + " " + m.Name + "."
		}
	}
	return text
}

func cellsText(cells []projection.Cell) string {
	text := make([]byte, len(cells))
	for i, c := range cells {
		text[i] = "-gar"[c.State()&3]
		if c&projection.CellLate != 0 && text[i] != '-' {
			text[i] -= 'a' - 'A'
		}
	}
	return string(text)
}

// Watch begins a feed of changes.
func (p Projected) Watch() Feed {
	f := &projectedFeed{feed: p.Projection.Subscribe(), moved: make(chan wire.BoxID, 1024)}
	move := func(id wire.BoxID) {
		select {
		case f.moved <- id:
		default: // the next look at all, within seconds, sees it too
		}
	}
	if p.Presence != nil {
		f.stops = append(f.stops, p.Presence.Watch(move))
	}
	if p.Ahead != nil {
		f.stops = append(f.stops, p.Ahead.WatchOver(move))
	}
	f.changes, f.ended = make(chan projection.Change), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	go f.run(ctx)
	return f
}

// projectedFeed brings changes of the projection, of what is ahead of it and of
// presence together. Its
// goroutine ends with Close.
type projectedFeed struct {
	feed    *projection.Feed
	moved   chan wire.BoxID
	stops   []func()
	changes chan projection.Change
	ended   chan struct{}
	cancel  func()
}

func (f *projectedFeed) run(ctx context.Context) {
	defer close(f.ended)
	for {
		c, err := f.feed.Next(ctx)
		if err != nil {
			return
		}
		select {
		case f.changes <- c:
		case <-ctx.Done():
			return
		}
	}
}

// Next waits for a change.
func (f *projectedFeed) Next(ctx context.Context) (changed []wire.BoxID, all bool, err error) {
	select {
	case c := <-f.changes:
		return c.Boxes, c.Resync, nil
	case id := <-f.moved:
		changed = append(changed, id)
		for len(f.moved) > 0 { // this is the only reader
			changed = append(changed, <-f.moved)
		}
		return changed, false, nil
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// Close ends the feed.
func (f *projectedFeed) Close() {
	for _, stop := range f.stops {
		stop()
	}
	f.cancel()
	<-f.ended
	f.feed.Close()
}

// Points are the peaks of five minutes of a metric.
func (p Projected) Points(id wire.BoxID, metric wire.MetricID, from, to time.Time) ([]Value, error) {
	points, err := p.Projection.Points(id, from, to)
	values := make([]Value, 0, len(points))
	for i := range points {
		if v, ok := points[i].Value(metric); ok {
			values = append(values, Value{points[i].Start, v})
		}
	}
	return values, err
}

// Hours are what a counter grew by, or a gauge's peak, of each hour.
func (p Projected) Hours(id wire.BoxID, metric wire.MetricID, from, to time.Time) ([]Value, error) {
	hours, err := p.Projection.Hours(id, metric, from, to)
	m, _ := metricOf(metric)
	values := make([]Value, 0, len(hours))
	for _, h := range hours {
		switch {
		case m.Kind == wire.Counter:
			values = append(values, Value{h.Start, int64(min(h.Added, 1<<63-1))})
		case h.Known && lowest(metric):
			values = append(values, Value{h.Start, h.Gauge.Low})
		case h.Known:
			values = append(values, Value{h.Start, h.Gauge.High})
		}
	}
	return values, err
}

// Distribution is Quality without its metric's name.
func (p Projected) Distribution(ids []wire.BoxID, metric wire.MetricID, from, to time.Time) (Quality, error) {
	d, err := p.Projection.Distribution(ids, metric, from, to)
	if err != nil || d.Count() == 0 {
		return Quality{}, err
	}
	return Quality{Count: d.Count(), P50: d.Quantile(.5), P90: d.Quantile(.9), P99: d.Quantile(.99)}, nil
}

// Devices estimates how many different ones there were.
func (p Projected) Devices(ids []wire.BoxID, from, to time.Time) (uint64, error) {
	return p.Projection.UniqueDevices(ids, from, to)
}

// Events are the last alerts that began or ended.
func (p Projected) Events(ids []wire.BoxID, n int) ([]Event, error) {
	events, err := p.Projection.Events(ids, n)
	list := make([]Event, len(events))
	for i, e := range events {
		list[i] = Event{At: e.At, Box: e.Box.Box, Kind: string(e.Kind), Raised: e.Raised, Text: alertText(e.Kind, e.Value), Late: e.Late}
	}
	return list, err
}

// Rooms are those that are open at a box.
func (p Projected) Rooms(id wire.BoxID) ([]RoomRow, error) {
	rooms, err := p.Projection.Rooms(id)
	list := make([]RoomRow, len(rooms))
	for i, r := range rooms {
		list[i] = RoomRow{Box: id.Box, ID: r.ID, Members: int(r.Members), Created: r.Created}
	}
	return list, err
}
