package projection

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"signalbox/sync/wire"

	"go.etcd.io/bbolt"
)

// A sketch of an hour lies under (hour, id, incarnation): the newest replaces
// the one before, which it contains. Sketches of a day come from merged frames
// and stand for some of its hours, never the last (wire.MergeDay); each lies
// under its last sequence number, replaces parts whose frames its own contains,
// and the hours that it was made of. So whatever order they come in, every value
// is counted once.
type sketch struct {
	hour        int64 // in which it starts
	day         bool
	id          wire.MetricID
	incarnation uint64
	first, last uint64 // sequence numbers of its frame
	data        []byte
}

const sketchKeyBytes = 8 + 1 + 4 + 8 + 8

func (b *box) sketchKey(s *sketch) []byte {
	key := b.timeKey(s.hour, sketchKeyBytes)
	kind := byte(0)
	if s.day {
		kind = 1
	}
	key = binary.BigEndian.AppendUint32(append(key, kind), s.id)
	key = binary.BigEndian.AppendUint64(key, s.incarnation)
	if s.day {
		key = binary.BigEndian.AppendUint64(key, s.last)
	}
	return key
}

// record is the value. The data comes last, unchanged.
func (s *sketch) record() []byte {
	e := &encoder{}
	e.uint(s.first)
	e.uint(s.last)
	e.b = append(e.b, s.data...)
	return e.b
}

// parseSketch reads a key after the box's prefix, and its value. data is not copied.
func parseSketch(key, value []byte) (s sketch, err error) {
	d := &decoder{b: key}
	s.hour = int64(d.fixed())
	s.day = d.bool()
	if id := d.take(4); id != nil {
		s.id = binary.BigEndian.Uint32(id)
	}
	s.incarnation = d.fixed()
	if s.day {
		d.fixed()
	}
	if err := d.end(); err != nil {
		return s, err
	}
	v := &decoder{b: value}
	s.first, s.last = v.uint(), v.uint()
	s.data = v.b
	return s, v.err
}

// tellSketches takes in a frame's sketches.
func (b *box) tellSketches(f *wire.Frame, incarnation uint64, endMs int64) error {
	oldest := hourOf(b.tx.nowMs) - int64(KeepHours.Hours())
	for _, w := range f.GetSketches() {
		s := sketch{
			hour: wire.DateSketch(msTime(endMs), f, w).UnixMilli() / hourMs, day: w.GetSpanS() == wire.DayS, id: w.GetId(),
			incarnation: incarnation, first: f.GetFirst(), last: f.GetLast(), data: w.GetData(),
		}
		if s.hour < oldest || s.hour > hourOf(b.tx.nowMs)+1 {
			b.dropped++
			continue
		}
		if err := b.keepSketch(&s); err != nil {
			return err
		}
		if err := b.tx.mark(s.hour, b.key); err != nil {
			return err
		}
	}
	return nil
}

func (b *box) keepSketch(s *sketch) error {
	covered, replaced, err := b.meets(s)
	if err != nil || covered {
		return err
	}
	for _, key := range replaced {
		if err := b.deleteOwn(bucketSketches, key); err != nil {
			return err
		}
	}
	return b.putOwn(bucketSketches, b.sketchKey(s), s.record())
}

// meets compares s with its relatives of that day: covered tells that it says
// nothing new, replaced are the keys of those that it contains. It looks only
// where relatives lie: a box may send very many others.
func (b *box) meets(s *sketch) (covered bool, replaced [][]byte, err error) {
	meet := func(key []byte, have sketch) {
		switch {
		case s.within(&have):
			covered = true
		case have.within(s):
			replaced = append(replaced, bytes.Clone(key))
		}
	}
	day := sketch{hour: s.hour - s.hour%24, day: true, id: s.id, incarnation: s.incarnation}
	key := b.sketchKey(&day)
	parts, err := b.relatives(key[:len(key)-8], meet)
	if err != nil {
		return false, nil, err
	}
	hour := sketch{hour: s.hour, id: s.id, incarnation: s.incarnation}
	for range 24 {
		if _, err := b.relatives(b.sketchKey(&hour), meet); err != nil {
			return false, nil, err
		}
		if hour.hour++; !s.day {
			break
		}
	}
	if s.day && parts-len(replaced) >= maxParts {
		covered = true
		b.dropped++
	}
	return covered, replaced, nil
}

// maxParts is how many parts of one day are told apart: hours of it, at most.
const maxParts = 24

// relatives calls with the sketches whose keys begin so, and counts them.
func (b *box) relatives(prefix []byte, with func(key []byte, s sketch)) (n int, err error) {
	c := b.tx.bucket(bucketSketches).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		s, err := parseSketch(k[len(b.key)+1:], v)
		if err != nil {
			return n, err
		}
		n++
		with(k, s)
	}
	return n, nil
}

// within tells whether other, of the same day, contains all that s does.
func (s *sketch) within(other *sketch) bool {
	switch {
	case s.id != other.id || s.incarnation != other.incarnation:
		return false
	case other.day:
		return (s.day || !s.lastOfDay()) && other.first <= s.first && s.last <= other.last
	}
	return !s.day && s.hour == other.hour && s.last <= other.last
}

// lastOfDay tells whether it is of an hour that no sketch of a day holds.
func (s *sketch) lastOfDay() bool { return s.hour%24 == 23 }

// eachSketch calls with those that start within [from, to), in hours.
func (b *box) eachSketch(from, to int64, with func(key []byte, s sketch)) error {
	return eachSketch(b.tx.bucket(bucketSketches).Cursor(), b.prefix(0), from, to, with)
}

// foldSketches turns the sketches of hours before limit into those of their
// days, but for the last hour of each.
func (b *box) foldSketches(limit int64) error {
	limit -= limit % 24
	type part struct {
		day         int64
		id          wire.MetricID
		incarnation uint64
	}
	var order []part
	parts := map[part]*sketch{}
	var gone [][]byte
	err := b.eachSketch(0, limit, func(key []byte, s sketch) {
		if s.day || s.lastOfDay() {
			return
		}
		gone = append(gone, bytes.Clone(key))
		p := part{s.hour - s.hour%24, s.id, s.incarnation}
		sum, ok := parts[p]
		if !ok {
			s.hour, s.day, s.data = p.day, true, bytes.Clone(s.data)
			parts[p] = &s
			order = append(order, p)
			return
		}
		sum.first, sum.last = min(sum.first, s.first), max(sum.last, s.last)
		sum.data = wire.MergeSketchData(s.id, sum.data, bytes.Clone(s.data))
	})
	if err != nil {
		return err
	}
	for _, key := range gone {
		if err := b.deleteOwn(bucketSketches, key); err != nil {
			return err
		}
	}
	for _, p := range order {
		if err := b.putOwn(bucketSketches, b.sketchKey(parts[p]), parts[p].record()); err != nil {
			return err
		}
	}
	return nil
}

// eachSketch calls with the sketches under prefix that start within [from, to).
func eachSketch(c *bbolt.Cursor, prefix []byte, from, to int64, with func(key []byte, s sketch)) error {
	start := binary.BigEndian.AppendUint64(bytes.Clone(prefix), uint64(from))
	for k, v := c.Seek(start); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		s, err := parseSketch(k[len(prefix):], v)
		if err != nil {
			return err
		}
		if s.hour >= to {
			return nil
		}
		with(k, s)
	}
	return nil
}

func compareSketches(a, b sketch) int {
	kind := 0
	if a.day != b.day {
		kind = -1
		if a.day {
			kind = 1
		}
	}
	return cmp.Or(cmp.Compare(a.hour, b.hour), kind, cmp.Compare(a.id, b.id), cmp.Compare(a.incarnation, b.incarnation), cmp.Compare(a.last, b.last))
}
