package projection

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"signalbox/sync/wire"

	"go.etcd.io/bbolt"
)

// Rollup is an hour of a box as the stream RU keeps it: all of the hour that a
// new node cannot learn from UP any more. Two of one hour merge in any order.
type Rollup struct {
	Box  wire.BoxID
	Hour int64 // hours since 1970
	Data []byte
	mark []byte
}

// Start is when the hour began.
func (r *Rollup) Start() time.Time { return msTime(r.Hour * hourMs) }

// rollup is what Data holds.
type rollup struct {
	Hour
	sketches []sketch
}

// ErrRollup is returned for a rollup that this version cannot read.
var ErrRollup = errors.New("this is no hour that this version can read")

// rollupForm is the version of Data.
const rollupForm = 1

func (r *rollup) encode() []byte {
	e := &encoder{}
	e.uint(rollupForm)
	r.Hour.encode(e)
	list(e, r.sketches, func(e *encoder, s *sketch) {
		e.int(s.hour)
		e.bool(s.day)
		e.uint(uint64(s.id))
		e.fixed(s.incarnation)
		e.uint(s.first)
		e.uint(s.last)
		e.bytes(s.data)
	})
	return e.b
}

func decodeRollup(data []byte) (r rollup, err error) {
	d := &decoder{b: data}
	if d.uint() != rollupForm {
		return r, ErrRollup
	}
	r.Hour.decode(d)
	r.sketches = unlist(d, func(d *decoder, s *sketch) {
		s.hour = d.int()
		s.day = d.bool()
		s.id = wire.MetricID(d.uint())
		s.incarnation = d.fixed()
		s.first = d.uint()
		s.last = d.uint()
		s.data = d.bytes()
	})
	if d.end() != nil {
		return r, ErrRollup
	}
	return r, nil
}

// MergeRollups joins two of the same box and hour; of one that cannot be read
// nothing is taken.
func MergeRollups(a, b []byte) []byte {
	x, errX := decodeRollup(a)
	y, errY := decodeRollup(b)
	switch {
	case errX != nil:
		return b
	case errY != nil:
		return a
	}
	x.Hour.merge(&y.Hour)
	for _, s := range y.sketches {
		if slices.ContainsFunc(x.sketches, func(have sketch) bool { return s.within(&have) }) {
			continue
		}
		x.sketches = slices.DeleteFunc(x.sketches, func(have sketch) bool { return have.within(&s) })
		x.sketches = append(x.sketches, s)
	}
	slices.SortFunc(x.sketches, compareSketches)
	return x.encode()
}

// Unrolled returns up to n hours before limit that have changed since they were
// rolled up, the oldest first, after the one given, nil to begin.
func (p *Projection) Unrolled(limit time.Time, after *Rollup, n int) (all []Rollup, err error) {
	err = p.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(bucketMarks)).Cursor()
		k, _ := c.First()
		if after != nil {
			if k, _ = c.Seek(after.mark); bytes.Equal(k, after.mark) {
				k, _ = c.Next()
			}
		}
		for ; k != nil && len(all) < n; k, _ = c.Next() {
			r := Rollup{Hour: int64(binary.BigEndian.Uint64(k)), mark: bytes.Clone(k)}
			if (r.Hour+1)*hourMs > limit.UnixMilli() {
				break
			}
			var err error
			if r.Box, err = wire.ParseBoxID(string(k[8:])); err != nil {
				return ErrDamaged
			}
			if r.Data, err = roll(tx, r.Box, r.Hour); err != nil {
				return err
			}
			all = append(all, r)
		}
		return nil
	})
	return all, err
}

// roll encodes what is known of an hour.
func roll(tx *bbolt.Tx, id wire.BoxID, hour int64) ([]byte, error) {
	t := &Tx{tx: tx, boxes: map[wire.BoxID]*box{}}
	b, err := t.box(id)
	if b == nil || err != nil {
		return nil, err
	}
	var r rollup
	if b.open.hour == hour {
		r.Hour = b.open.Hour
	} else {
		o, err := b.readHour(hour)
		if err != nil {
			return nil, err
		}
		r.Hour = o.Hour
	}
	err = b.eachSketch(hour, hour+1, func(_ []byte, s sketch) {
		s.data = bytes.Clone(s.data)
		r.sketches = append(r.sketches, s)
	})
	slices.SortFunc(r.sketches, compareSketches)
	return r.encode(), err
}

// Rolled notes that the rollups are in the stream. One whose hour has changed
// meanwhile stays to be rolled up again.
func (p *Projection) Rolled(all []Rollup) error {
	if len(all) == 0 {
		return nil
	}
	return p.db.Update(func(tx *bbolt.Tx) error {
		for _, r := range all {
			now, err := roll(tx, r.Box, r.Hour)
			if err != nil {
				return err
			}
			if bytes.Equal(now, r.Data) {
				if err := tx.Bucket([]byte(bucketMarks)).Delete(r.mark); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// ForgetUnrolled drops up to n marks of hours before limit: another node has
// written them.
func (p *Projection) ForgetUnrolled(limit time.Time, n int) error {
	return p.db.Update(func(tx *bbolt.Tx) error {
		marks := tx.Bucket([]byte(bucketMarks))
		var old [][]byte // a cursor loses its place when its key is deleted
		c := marks.Cursor()
		for k, _ := c.First(); k != nil && len(old) < n; k, _ = c.Next() {
			if (int64(binary.BigEndian.Uint64(k))+1)*hourMs > limit.UnixMilli() {
				break
			}
			old = append(old, bytes.Clone(k))
		}
		for _, k := range old {
			if err := marks.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
}

// Load takes in an hour from the stream RU. What it tells of is history and
// totals: which frames have been applied, and the present, come from UP.
func (t *Tx) Load(r *Rollup) error {
	from, err := decodeRollup(r.Data)
	if err != nil {
		return err
	}
	b, err := t.makeBox(r.Box)
	if err != nil {
		return err
	}
	t.nowMs = max(t.nowMs, (r.Hour+1)*hourMs)
	b.endMs = max(b.endMs, from.lastMs)
	for _, e := range from.Ends {
		if err := b.recall(e, from.lastMs); err != nil {
			return err
		}
	}
	if len(from.Ends) > 0 {
		h, err := b.hour(r.Hour)
		if err != nil {
			return err
		}
		h.merge(&from.Hour)
	}
	for i := range from.sketches {
		if err := b.keepSketch(&from.sketches[i]); err != nil {
			return err
		}
	}
	// Hours come in any order: days are not made of them before all are there.
	b.rolled, b.newDay = false, false
	return b.settle()
}

// recall raises the counters of an incarnation to where they stood.
func (b *box) recall(e HourEnd, atMs int64) error {
	if e.Incarnation == b.current.id {
		b.count(&b.current, e.Counters, true)
		return nil
	}
	inc, err := b.past(e.Incarnation)
	if err != nil || inc == nil && b.isFolded(e.Incarnation) {
		return err
	}
	if inc == nil {
		inc = &incarnation{id: e.Incarnation}
		b.loaded[inc.id] = inc
	}
	b.count(inc, e.Counters, false)
	b.touch(inc.id, atMs)
	return nil
}

// Loaded tells whether the stream RU has been read into this file.
func (p *Projection) Loaded() (done bool, err error) {
	err = p.db.View(func(tx *bbolt.Tx) error {
		done = tx.Bucket([]byte(bucketMeta)).Get(keyLoaded) != nil
		return nil
	})
	return done, err
}

// SetLoaded notes that it has, and whether there was anything in it.
func (t *Tx) SetLoaded(something bool) error {
	meta := t.bucket(bucketMeta)
	if something {
		if err := meta.Put(keyMixed, []byte{1}); err != nil {
			return err
		}
	}
	return meta.Put(keyLoaded, []byte{1})
}
