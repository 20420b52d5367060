package projection

import (
	"slices"
	"strings"
	"time"

	"signalbox/sync/wire"
)

// Ahead is what a box has said of its present in frames that the stream has not
// handed on yet. It is kept in memory beside the projection, and has no part in
// totals, watermarks or history. It holds no more of a box than its BoxView
// does. The zero value knows nothing; it is for one goroutine at a time.
type Ahead struct {
	incarnation uint64
	newest      uint64 // sequence number of the newest frame in it
	heard       time.Time
	dated       time.Time
	gauges      []Gauge
	info        *wire.Box // nil when no frame in it has told
	alerts      []alertState
}

// Add takes in the frames of a message that are newer than what is in a and in
// view, which is of the same box, and reports whether there were any. Only the
// incarnation of the view counts: whether another is the box's next or one of its
// past is for the stream to say. m.Time is when it was heard.
func (a *Ahead) Add(view *BoxView, m *Message) (newer bool) {
	if m.Body.GetIncarnation() != view.Incarnation {
		return false
	}
	if a.incarnation != view.Incarnation {
		*a = Ahead{incarnation: view.Incarnation}
	}
	for _, f := range m.Body.GetFrames() {
		if f.GetLast() <= max(a.newest, view.Newest) {
			continue
		}
		newer = true
		end := wire.Date(m.Time, m.Body, f)
		a.newest, a.heard, a.dated = f.GetLast(), m.Time, end
		a.gauges = gaugesOf(f)
		if f.GetBox() != nil {
			a.info = cloneInfo(f.GetBox())
		}
		a.tellAlerts(f, end.UnixMilli())
	}
	return newer
}

// tellAlerts keeps the last word of each kind, as the projection does.
func (a *Ahead) tellAlerts(f *wire.Frame, endMs int64) {
	wrongMs := endMs - f.GetEndMs()
	for _, told := range f.GetAlerts() {
		s := alertState{strings.Clone(told.GetKind()), told.GetRaised(), f.GetLast(), min(max(told.GetAtMs()+wrongMs, 0), endMs), told.GetValue()}
		i, ok := slices.BinarySearchFunc(a.alerts, s.kind, func(have alertState, kind string) int { return strings.Compare(have.kind, kind) })
		switch {
		case ok:
			a.alerts[i] = s
		case len(a.alerts) < maxKinds:
			a.alerts = slices.Insert(a.alerts, i, s)
		}
	}
}

// Of reports whether a is newer than the view of its box.
func (a *Ahead) Of(view *BoxView) bool {
	return a.incarnation != 0 && a.incarnation == view.Incarnation && a.newest > view.Newest
}

// Over returns the view with the present as a has it, and the view itself where
// a is not newer. What counts and what is past stays as it is in the view.
func (a *Ahead) Over(view *BoxView) *BoxView {
	if !a.Of(view) {
		return view
	}
	over := *view
	over.Heard, over.Dated, over.Gauges = later(view.Heard, a.heard), later(view.Dated, a.dated), a.gauges
	if a.info != nil {
		over.Info = a.info
	}
	over.Alerts = slices.Clone(view.Alerts)
	for i := range a.alerts {
		s := &a.alerts[i]
		if s.seq <= view.Newest { // of a frame that the view has by now, as all that came after it
			continue
		}
		over.Alerts = slices.DeleteFunc(over.Alerts, func(have Alert) bool { return string(have.Kind) == s.kind })
		if s.raised {
			over.Alerts = append(over.Alerts, Alert{wire.AlertKind(s.kind), msTime(s.atMs), s.value})
		}
	}
	slices.SortFunc(over.Alerts, func(a, b Alert) int { return strings.Compare(string(a.Kind), string(b.Kind)) })
	return &over
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
