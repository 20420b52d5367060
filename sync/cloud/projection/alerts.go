package projection

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"signalbox/internal/order"
	"signalbox/sync/wire"
)

// Alert is a condition that holds at a box.
type Alert struct {
	Kind  wire.AlertKind // also of kinds that this version does not know
	Since time.Time
	Value int64
}

// Event is an alert that began or ended.
type Event struct {
	Box    wire.BoxID
	At     time.Time
	Kind   wire.AlertKind
	Raised bool
	Value  int64
	Late   bool // the cloud learned of it later than a link that works takes
}

// alertState is what was last told of a kind.
type alertState struct {
	kind   string
	raised bool
	seq    uint64
	atMs   int64
	value  int64
}

// grave are the kinds that make a box red by themselves; others make it yellow.
var grave = map[wire.AlertKind]bool{
	wire.AlertOutboxFailing: true, wire.AlertStoreRecovered: true, wire.AlertDisk: true,
	wire.AlertPart: true, wire.AlertCertificate: true,
}

// Grave tells whether a kind is one that makes a box red.
func Grave(kind wire.AlertKind) bool { return grave[kind] }

// tellAlerts takes in a frame's alerts. Events are kept of every incarnation,
// conditions of the current one. wrongMs is what the box's clock is behind.
func (b *box) tellAlerts(f *wire.Frame, endMs int64, current bool) {
	wrongMs := endMs - f.GetEndMs()
	for _, a := range f.GetAlerts() {
		at := min(max(a.GetAtMs()+wrongMs, 0), endMs)
		b.pastAlerts = append(b.pastAlerts, pastAlert{b.eventKey(a, at), a.GetValue(), b.tx.nowMs-at > lateAfter.Milliseconds()})
		if !current {
			continue
		}
		s := alertState{strings.Clone(a.GetKind()), a.GetRaised(), f.GetLast(), at, a.GetValue()}
		i, ok := slices.BinarySearchFunc(b.alerts, s.kind, func(have alertState, kind string) int { return strings.Compare(have.kind, kind) })
		switch {
		case ok && b.alerts[i].seq <= s.seq:
			b.alerts[i] = s
		case !ok && len(b.alerts) < maxKinds:
			b.alerts = slices.Insert(b.alerts, i, s)
		case !ok:
			b.dropped++
		}
	}
}

// pastAlert is an event that a message tells of.
type pastAlert struct {
	key   []byte
	value int64
	late  bool
}

func (b *box) eventKey(a *wire.Alert, atMs int64) []byte {
	raised := byte(0)
	if a.GetRaised() {
		raised = 1
	}
	return append(append(b.timeKey(atMs, 1+len(a.GetKind())), raised), a.GetKind()...)
}

// keepEvents keeps the newest maxEvents of the box: of one message no more are
// written, however many it tells of.
func (b *box) keepEvents() error {
	order.StableBy(b.pastAlerts, func(x, y pastAlert) int { return bytes.Compare(x.key, y.key) })
	for i, a := range b.pastAlerts {
		last := i+1 == len(b.pastAlerts) || !bytes.Equal(a.key, b.pastAlerts[i+1].key)
		if !last || len(b.pastAlerts)-i > maxEvents {
			continue
		}
		known := b.tx.get(bucketEvents, a.key)
		if known == nil {
			b.events++
		}
		e := &encoder{}
		e.int(a.value)
		e.bool(a.late && !onTime(known)) // one that is told again was not late for that
		if err := b.putOwn(bucketEvents, a.key, e.b); err != nil {
			return err
		}
	}
	b.pastAlerts = nil
	for b.events > maxEvents {
		oldest, _ := b.first(bucketEvents)
		if err := b.deleteOwn(bucketEvents, oldest); err != nil {
			return err
		}
		b.events--
	}
	return nil
}

// onTime tells whether a record is of an event that was not late.
func onTime(record []byte) bool {
	if record == nil {
		return false
	}
	d := &decoder{b: record}
	d.int()
	return !d.bool()
}

func decodeEvent(prefix, key, value []byte) (e Event, ok bool) {
	rest := bytes.TrimPrefix(key, prefix)
	d := &decoder{b: rest}
	e.At = time.UnixMilli(int64(d.fixed())).UTC()
	e.Raised = d.bool()
	e.Kind = wire.AlertKind(d.b)
	v := &decoder{b: value}
	e.Value, e.Late = v.int(), v.bool()
	return e, d.err == nil && v.end() == nil
}

// condition is the worst state that the box was in during a frame, as it and
// the alerts that hold tell.
func (b *box) condition(gauges []Gauge) Cell {
	state := CellGood
	for i := range b.alerts {
		if b.alerts[i].raised {
			state = max(state, CellWarn)
			if grave[wire.AlertKind(b.alerts[i].kind)] {
				return CellBad
			}
		}
	}
	if g, ok := GaugeOf(gauges, wire.BoxUnhealthyParts); ok && g.High > 0 {
		return CellBad
	}
	return state
}

func (a *alertState) encode(e *encoder) {
	e.string(a.kind)
	e.bool(a.raised)
	e.uint(a.seq)
	e.int(a.atMs)
	e.int(a.value)
}

func (a *alertState) decode(d *decoder) {
	a.kind = d.string()
	a.raised = d.bool()
	a.seq = d.uint()
	a.atMs = d.int()
	a.value = d.int()
}
