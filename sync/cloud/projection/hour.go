package projection

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"time"
)

const hourMs = int64(time.Hour / time.Millisecond)

// hourOf is the hour in which a frame ended. One that ended with the hour
// belongs to it, not to the next.
func hourOf(endMs int64) int64 { return (endMs - 1) / hourMs }

// Hour is what is kept of one UTC hour of a box.
type Hour struct {
	Ends   []HourEnd // ascending Incarnation
	Gauges []Gauge   // over the hour
	lastMs int64     // when the newest frame in it ended
}

// HourEnd is where the counters of one incarnation stood at the end of the hour.
type HourEnd struct {
	Incarnation uint64
	First, Last uint64 // sequence numbers
	Counters    []Count
}

// end merges what is known of an incarnation, and tells whether there is room
// for one more.
func (h *Hour) end(from HourEnd) bool {
	i, ok := slices.BinarySearchFunc(h.Ends, from.Incarnation, func(e HourEnd, id uint64) int { return cmp.Compare(e.Incarnation, id) })
	if !ok {
		if len(h.Ends) >= maxHourEnds {
			return false
		}
		from.Counters = slices.Clone(from.Counters)
		h.Ends = slices.Insert(h.Ends, i, from)
		return true
	}
	e := &h.Ends[i]
	e.First, e.Last = min(e.First, from.First), max(e.Last, from.Last)
	e.Counters = raise(e.Counters, from.Counters)
	return true
}

// level merges gauges of a frame, or an hour, that ended at endMs.
func (h *Hour) level(gauges []Gauge, endMs int64) {
	h.Gauges = widen(h.Gauges, gauges, endMs >= h.lastMs)
	h.lastMs = max(h.lastMs, endMs)
}

// merge takes in what another node knows of the same hour. The order does not
// matter, nor does repeating it.
func (h *Hour) merge(other *Hour) {
	for _, e := range other.Ends {
		h.end(e)
	}
	h.level(other.Gauges, other.lastMs)
}

func (h *Hour) encode(e *encoder) {
	list(e, h.Ends, func(e *encoder, end *HourEnd) {
		e.fixed(end.Incarnation)
		e.uint(end.First)
		e.uint(end.Last)
		e.counts(end.Counters)
	})
	e.gauges(h.Gauges)
	e.int(h.lastMs)
}

func (h *Hour) decode(d *decoder) {
	h.Ends = unlist(d, func(d *decoder, end *HourEnd) {
		end.Incarnation = d.fixed()
		end.First = d.uint()
		end.Last = d.uint()
		end.Counters = d.counts()
	})
	h.Gauges = d.gauges()
	h.lastMs = d.int()
}

func decodeHour(record []byte) (h Hour, err error) {
	d := &decoder{b: record}
	h.decode(d)
	return h, d.end()
}

// hour returns the box's hour for a change. The newest lies in the box's own
// record, since that is the one that frames of a living link change.
func (b *box) hour(hour int64) (*openHour, error) {
	switch {
	case hour == b.open.hour:
		return &b.open, nil
	case hour > b.open.hour:
		next, err := b.readHour(hour)
		if err != nil {
			return nil, err
		}
		before := b.open.hour
		if before != 0 {
			old := b.open
			b.hours[old.hour] = &old
		}
		b.open = *next
		if next.stored {
			if err := b.dropHour(hour); err != nil {
				return nil, err
			}
		}
		b.open.stored = false
		b.rolled = true
		b.newDay = b.newDay || before/24 != hour/24
		return &b.open, nil
	}
	if o, ok := b.hours[hour]; ok {
		return o, nil
	}
	o, err := b.readHour(hour)
	if err == nil {
		b.hours[hour] = o
	}
	return o, err
}

func (b *box) readHour(hour int64) (*openHour, error) {
	o := &openHour{hour: hour}
	key := b.timeKey(hour, 0)
	if record := b.tx.get(bucketHours, key); record != nil {
		var err error
		if o.Hour, err = decodeHour(record); err != nil {
			return nil, err
		}
		o.stored = true
	}
	if record := b.tx.get(bucketPoints, key); record != nil {
		d := &decoder{b: record}
		o.points.decode(d)
		if err := d.end(); err != nil {
			return nil, err
		}
		o.stored = true
	}
	return o, nil
}

func (b *box) dropHour(hour int64) error {
	key := b.timeKey(hour, 0)
	for _, bucket := range []string{bucketHours, bucketPoints} {
		if err := b.deleteOwn(bucket, key); err != nil {
			return err
		}
	}
	return nil
}

// timeKey is the key of what belongs to an hour, or of an event by its
// milliseconds: ascending in time within the box.
func (b *box) timeKey(at int64, room int) []byte {
	return binary.BigEndian.AppendUint64(b.prefix(8+room), uint64(at))
}

// settle writes the older hours and the events of a message, so that what lies
// on disk, and with it the box's bound, depends on messages and not on how they
// are grouped into transactions.
func (b *box) settle() error {
	for _, hour := range slices.Sorted(maps.Keys(b.hours)) {
		o := b.hours[hour]
		key := b.timeKey(hour, 0)
		if len(o.Ends) > 0 || len(o.Gauges) > 0 {
			e := &encoder{}
			o.Hour.encode(e)
			if err := b.putOwn(bucketHours, key, e.b); err != nil {
				return err
			}
		}
		if !o.points.empty() {
			e := &encoder{}
			o.points.encode(e)
			if err := b.putOwn(bucketPoints, key, e.b); err != nil {
				return err
			}
		}
		delete(b.hours, hour)
	}
	if err := b.keepEvents(); err != nil {
		return err
	}
	if b.rolled {
		if err := b.rolledOver(); err != nil {
			return err
		}
	}
	return b.bound()
}

// rolledOver drops what has become too old, once in an hour that has a frame.
func (b *box) rolledOver() error {
	b.rolled = false
	now := b.tx.nowMs
	for _, old := range []struct {
		bucket string
		keep   time.Duration
	}{{bucketHours, KeepHours}, {bucketPoints, KeepPoints}, {bucketSketches, KeepHours}} {
		limit := hourOf(now) - int64(old.keep/time.Hour)
		for {
			key, _ := b.first(old.bucket)
			if key == nil || b.timeOf(key) >= limit {
				break
			}
			if err := b.deleteOwn(old.bucket, key); err != nil {
				return err
			}
		}
	}
	if !b.newDay {
		return nil
	}
	b.newDay = false
	return b.foldSketches(hourOf(now) - int64(keepHourSketch/time.Hour))
}

// bound keeps the box within maxBytes: its oldest hour goes, and what belongs
// to it, until it is.
func (b *box) bound() error {
	for b.bytes > maxBytes {
		var oldest []byte
		var in string
		for _, bucket := range []string{bucketHours, bucketPoints, bucketSketches} {
			if key, _ := b.first(bucket); key != nil && (oldest == nil || b.timeOf(key) < b.timeOf(oldest)) {
				oldest, in = key, bucket
			}
		}
		if oldest == nil {
			return nil
		}
		if err := b.deleteOwn(in, oldest); err != nil {
			return err
		}
	}
	return nil
}

// first returns the box's lowest key in a bucket, nil if it has none.
func (b *box) first(bucket string) (key, value []byte) {
	prefix := b.prefix(0)
	k, v := b.tx.bucket(bucket).Cursor().Seek(prefix)
	if !bytes.HasPrefix(k, prefix) {
		return nil, nil
	}
	return bytes.Clone(k), v
}

func (b *box) timeOf(key []byte) int64 { return int64(binary.BigEndian.Uint64(key[len(b.key)+1:])) }

// putOwn and deleteOwn count what the box takes.
func (b *box) putOwn(bucket string, key, value []byte) error {
	if old := b.tx.get(bucket, key); old != nil {
		b.bytes -= int64(len(key) + len(old))
	}
	b.bytes += int64(len(key) + len(value))
	return b.tx.put(bucket, key, value)
}

func (b *box) deleteOwn(bucket string, key []byte) error {
	old := b.tx.get(bucket, key)
	if old == nil {
		return nil
	}
	b.bytes -= int64(len(key) + len(old))
	return b.tx.delete(bucket, key)
}
