package projection

import (
	"slices"
	"time"

	"signalbox/sync/wire"
)

// Message is a message of the stream UP, with what its reader made of it.
type Message struct {
	Seq  uint64
	Time time.Time // when the stream took it
	Box  wire.BoxID
	Body *wire.Body // checked by wire; nil when it was refused
	// Refused is why there is no Body, one of few labels.
	Refused string
}

// Refused counts messages of a box that were not taken.
type Refused struct {
	Reason string
	Count  uint64
	lastMs int64
}

// Last is when the last of them came.
func (r Refused) Last() time.Time { return msTime(r.lastMs) }

// maxReasons bounds the labels that are counted; others share the last.
const maxReasons = 24

// Apply takes in the message that follows the last in the stream. What it does
// depends on the state and the message alone.
func (t *Tx) Apply(m *Message) error {
	t.at.Seq, t.at.Time = m.Seq, m.Time
	t.nowMs = m.Time.UnixMilli()
	if m.Body == nil {
		return t.refuse(m)
	}
	b, err := t.makeBox(m.Box)
	if err != nil {
		return err
	}
	b.heardMs = max(b.heardMs, t.nowMs)
	inc, err := b.incarnation(m.Body.GetIncarnation(), t.nowMs)
	if err != nil {
		return err
	}
	if inc == nil {
		b.tally("folded", t.nowMs)
		return nil
	}
	before := inc.coverage
	before.above = slices.Clone(before.above)
	// A batch cannot hold what the outbox does not: a higher oldest is untrue.
	inc.coverage.skipTo(min(m.Body.GetOldest(), m.Body.GetFrames()[0].GetFirst()))
	for _, f := range m.Body.GetFrames() {
		if inc.coverage.add(span{f.GetFirst(), f.GetLast()}) {
			if err := b.frame(inc, m, f); err != nil {
				return err
			}
		}
	}
	inc.look(before.through, t.nowMs)
	if inc == &b.current {
		if err := b.forgetRooms(before); err != nil {
			return err
		}
	}
	return b.settle()
}

// frame takes in one that has not been applied, or only in part.
func (b *box) frame(inc *incarnation, m *Message, f *wire.Frame) error {
	current := inc == &b.current
	end := wire.Date(m.Time, m.Body, f)
	startMs, endMs := max(wire.DateStart(end, f).UnixMilli(), 0), end.UnixMilli()
	gauges := gaugesOf(f)
	counts := countsOf(f)
	b.count(inc, counts, current)
	if f.GetLast() > inc.newest {
		inc.newest, inc.newestMs = f.GetLast(), endMs
	}
	b.endMs = max(b.endMs, endMs)
	b.lost += min(f.GetLost(), maxCount)
	b.tellAlerts(f, endMs, current)
	if current {
		if err := b.now(f, gauges); err != nil {
			return err
		}
		b.strip.fill(startMs, endMs, b.condition(gauges), m.Time.Sub(end) > lateAfter)
	}
	if err := b.history(HourEnd{inc.id, f.GetFirst(), f.GetLast(), counts}, f, gauges, startMs, endMs); err != nil {
		return err
	}
	return b.tx.tellResults(b.id, f)
}

// count raises the incarnation's counters, and with those of a past one the sum
// that it is part of.
func (b *box) count(inc *incarnation, counts []Count, current bool) {
	if current {
		inc.counters = raise(inc.counters, counts)
		return
	}
	b.others = less(b.others, inc.counters)
	inc.counters = raise(inc.counters, counts)
	b.others = Sum(b.others, inc.counters)
}

// now takes in what a frame of the current incarnation says of the present.
func (b *box) now(f *wire.Frame, gauges []Gauge) error {
	if f.GetLast() > b.gaugesSeq {
		b.gauges, b.gaugesSeq = gauges, f.GetLast()
	}
	if f.GetBox() != nil && f.GetLast() > b.infoSeq {
		b.info, b.infoSeq = cloneInfo(f.GetBox()), f.GetLast()
	}
	return b.tellRooms(f)
}

// history takes in what a frame says of its time.
func (b *box) history(at HourEnd, f *wire.Frame, gauges []Gauge, startMs, endMs int64) error {
	hour := hourOf(endMs)
	if hour < hourOf(b.tx.nowMs)-int64(KeepHours/time.Hour) {
		return nil
	}
	h, err := b.hour(hour)
	if err != nil {
		return err
	}
	if !h.end(at) {
		b.dropped++
	}
	h.level(gauges, endMs)
	if err := b.tx.mark(hour, b.key); err != nil {
		return err
	}
	if err := b.plot(gauges, startMs, endMs); err != nil {
		return err
	}
	return b.tellSketches(f, at.Incarnation, endMs)
}

// refuse counts a message that was not taken.
func (t *Tx) refuse(m *Message) error {
	b, err := t.box(m.Box)
	if err != nil {
		return err
	}
	if b != nil {
		b.tally(m.Refused, t.nowMs)
		return nil
	}
	key := []byte(m.Refused)
	d := &decoder{b: t.get(bucketRefused, key)}
	n := uint64(0)
	if len(d.b) > 0 {
		n = d.uint()
	}
	e := &encoder{}
	e.uint(n + 1)
	return t.put(bucketRefused, key, e.b)
}

func (b *box) tally(reason string, nowMs int64) {
	i := slices.IndexFunc(b.refused, func(r Refused) bool { return r.Reason == reason })
	if i < 0 {
		if i = len(b.refused); i < maxReasons {
			b.refused = append(b.refused, Refused{Reason: reason})
		} else {
			i--
		}
	}
	b.refused[i].Count++
	b.refused[i].lastMs = nowMs
}
