package dashboard

import (
	"cmp"
	"slices"
	"time"

	"signalbox/sync/wire"
)

// Facts are what the projection has of a box at one moment. They do not change
// any more once they have been given away.
type Facts struct {
	ID    wire.BoxID
	Heard time.Time // when the stream took its newest message
	Dated time.Time // when its newest frame ended

	Version, Arch, Level, Name, Link string
	Started                          time.Time
	Policy                           uint64
	PolicyFault                      string
	CertificateEnd                   time.Time
	Backup                           time.Time // the newest; zero for none

	Gauges []Metered // of the newest frame, by id
	Totals []Counted // over all incarnations, by id
	Alerts []Alert   // that hold

	Refused       uint64    // batches not accepted
	RefusedReason string    // of the last
	RefusedLast   time.Time // when

	// Strip gives the 24 hours that end with now, see the type Strip.
	Strip func(now time.Time) string
}

// Metered is a gauge and its value.
type Metered struct {
	ID    wire.MetricID
	Value int64
}

// Counted is a counter and its total.
type Counted struct {
	ID    wire.MetricID
	Value uint64
}

// Alert is a condition that a box itself says holds.
type Alert struct {
	Kind  string // of wire's kinds, or of a later version's
	Text  string // for people
	Grave bool   // it makes the box red
	Since time.Time
	Value int64
}

// Gauge is the value of a gauge, 0 when it was not told.
func (f *Facts) Gauge(id wire.MetricID) int64 {
	v, _ := f.gauge(id)
	return v
}

func (f *Facts) gauge(id wire.MetricID) (int64, bool) {
	i, ok := slices.BinarySearchFunc(f.Gauges, id, func(g Metered, id wire.MetricID) int { return cmp.Compare(g.ID, id) })
	if !ok {
		return 0, false
	}
	return f.Gauges[i].Value, true
}

// total is a counter of all incarnations; false when it was not told.
func (f *Facts) total(id wire.MetricID) (uint64, bool) {
	i, ok := slices.BinarySearchFunc(f.Totals, id, func(c Counted, id wire.MetricID) int { return cmp.Compare(c.ID, id) })
	if !ok {
		return 0, false
	}
	return f.Totals[i].Value, true
}

// Trends are facts that need a look at the history: looked up every few
// minutes, a few boxes at a time, see trends.go.
type Trends struct {
	WrittenDay  int64   // bytes, by the stores, the last 24 h
	MergedDay   int64   // frames that were merged, the last 24 h
	StartsHours int64   // starts of the process, the last two hours
	QueueBefore int64   // most frames that waited half an hour ago
	FreeSlope   float64 // bytes a second by which free disk changes, over 24 h
}

// State is all there is to judge a box by.
type State struct {
	Member Member
	Facts  *Facts // nil until its first frame
	Trends Trends
	Online bool
	Tried  time.Time // after it was revoked
}

// Around is what judging a box needs to know besides the box.
type Around struct {
	Now time.Time
	// Listening is since when the cloud could have heard boxes: the silence of
	// a time in which it was down itself is none of theirs.
	Listening time.Time
	// Newest is the version that counts as the fleet's newest; may be empty.
	Newest string
}
