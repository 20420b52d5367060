package projection

import (
	"slices"
	"time"

	"signalbox/sync/wire"
)

// BoxView is what is known of a box now. It never changes: a newer one takes
// its place. Times are zero when they are not known.
type BoxView struct {
	ID    wire.BoxID
	Heard time.Time // when the stream took its newest message
	Dated time.Time // when its newest frame ended

	Incarnation  uint64
	Incarnations int       // that are known, and not part of a sum
	Applied      uint64    // every frame of the incarnation up to it has been applied
	Newest       uint64    // highest sequence number seen
	Gap          time.Time // since when frames between Applied and Newest are missing
	Jumped       uint64    // frames that never came and do not exist any more

	Info   *wire.Box // nil until a frame has told; not to be changed
	Gauges []Gauge   // of the newest frame
	Totals []Count   // over all incarnations
	Alerts []Alert   // that hold, by kind
	Rooms  int       // that are open

	Lost    uint64    // changes and alerts that the box left out
	Dropped uint64    // rooms and metrics beyond what is kept
	Refused []Refused // messages not taken
	Bytes   int64     // that its history takes

	strip strip
}

// Strip returns the cells of the 24 hours that end with now, the oldest first.
func (v *BoxView) Strip(now time.Time) []Cell { return v.strip.until(now) }

// Gauge returns a gauge of the newest frame.
func (v *BoxView) Gauge(id wire.MetricID) (Gauge, bool) { return GaugeOf(v.Gauges, id) }

// Total returns a counter over all incarnations.
func (v *BoxView) Total(id wire.MetricID) uint64 { return ValueOf(v.Totals, id) }

// view copies what changes; lists that are only ever replaced are shared.
func (b *box) view() *BoxView {
	v := &BoxView{
		ID: b.id, Heard: knownTime(b.heardMs), Dated: knownTime(b.endMs),
		Incarnation: b.current.id, Incarnations: len(b.lives), Applied: b.current.coverage.through, Newest: b.current.newest,
		Gap: knownTime(b.current.gapMs), Jumped: b.current.coverage.jumped,
		Info: b.info, Gauges: b.gauges, Totals: Sum(slices.Clone(b.others), b.current.counters), Rooms: b.roomCount,
		Lost: b.lost, Dropped: b.dropped, Refused: slices.Clone(b.refused), Bytes: b.bytes, strip: b.strip,
	}
	if b.current.id != 0 {
		v.Incarnations++
	}
	for i := range b.alerts {
		if a := &b.alerts[i]; a.raised {
			v.Alerts = append(v.Alerts, Alert{wire.AlertKind(a.kind), msTime(a.atMs), a.value})
		}
	}
	return v
}

func knownTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return msTime(ms)
}
