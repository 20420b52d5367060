package projection

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"signalbox/internal/order"
	"signalbox/sync/wire"

	"go.etcd.io/bbolt"
)

// Totals adds up counters of boxes: of a site, or of all in Overview.
func Totals(boxes []*BoxView) []Count {
	// Nearly all ids are small, and a fleet has very many counters.
	var small [256]uint64
	large := map[wire.MetricID]uint64{}
	for _, v := range boxes {
		for _, c := range v.Totals {
			if c.ID < uint32(len(small)) {
				small[c.ID] += min(c.Value, ^uint64(0)-small[c.ID])
			} else {
				large[c.ID] += min(c.Value, ^uint64(0)-large[c.ID])
			}
		}
	}
	var all []Count
	for id, n := range small {
		if n > 0 {
			all = append(all, Count{wire.MetricID(id), n})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(large)) {
		all = append(all, Count{id, large[id]})
	}
	return all
}

// reader looks at one box in one state of the file.
type reader struct {
	tx     *bbolt.Tx
	box    *box
	prefix []byte
}

// read calls with a reader of the box; not at all when it is not known.
func (p *Projection) read(id wire.BoxID, with func(*reader) error) error {
	return p.db.View(func(tx *bbolt.Tx) error {
		t := &Tx{tx: tx, boxes: map[wire.BoxID]*box{}}
		b, err := t.box(id)
		if b == nil || err != nil {
			return err
		}
		return with(&reader{tx, b, b.prefix(0)})
	})
}

// Applied returns up to which sequence number every frame of an incarnation of
// the box has been applied; 0 for one that is not known.
func (p *Projection) Applied(id wire.BoxID, incarnation uint64) (through, newest uint64, err error) {
	if v := p.Box(id); v != nil && v.Incarnation == incarnation {
		return v.Applied, v.Newest, nil
	}
	err = p.read(id, func(r *reader) error {
		inc, err := r.box.past(incarnation)
		if inc != nil {
			through, newest = inc.coverage.through, inc.newest
		}
		return err
	})
	return through, newest, err
}

// Rooms returns the rooms that are open at a box, by id.
func (p *Projection) Rooms(id wire.BoxID) (rooms []Room, err error) {
	err = p.read(id, func(r *reader) error {
		l, err := r.box.readRooms()
		if err != nil {
			return err
		}
		for _, id := range slices.Sorted(maps.Keys(l.rooms)) {
			if s := l.rooms[id]; !s.gone {
				rooms = append(rooms, Room{id, s.members, knownTime(s.createdMs)})
			}
		}
		return nil
	})
	return rooms, err
}

// Events returns the last n alerts that began or ended at any of boxes, the
// newest first.
func (p *Projection) Events(boxes []wire.BoxID, n int) (events []Event, err error) {
	for _, id := range boxes {
		err := p.read(id, func(r *reader) error {
			c := r.tx.Bucket([]byte(bucketEvents)).Cursor()
			for k, v := c.Seek(r.prefix); bytes.HasPrefix(k, r.prefix); k, v = c.Next() {
				e, ok := decodeEvent(r.prefix, k, v)
				if !ok {
					return ErrDamaged
				}
				e.Box = id
				events = append(events, e)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	order.StableBy(events, func(a, b Event) int { return b.At.Compare(a.At) })
	return events[:min(n, len(events))], nil
}

// Point is five minutes of a box: of each series the peak, of free disk the lowest.
type Point struct {
	Start time.Time
	cell
}

// Value returns the value of a metric that points have.
func (p *Point) Value(id wire.MetricID) (int64, bool) {
	i := slices.Index(series[:], id)
	if i < 0 || p.has&(1<<i) == 0 {
		return 0, false
	}
	return p.values[i], true
}

// Points returns those that start within [from, to) and of which something was
// told, at most those of KeepPoints.
func (p *Projection) Points(id wire.BoxID, from, to time.Time) (points []Point, err error) {
	err = p.read(id, func(r *reader) error {
		return r.eachHour(bucketPoints, from.UnixMilli()/hourMs, to.UnixMilli()/hourMs+1, func(hour int64, record []byte) error {
			c := r.box.open.points
			if record != nil {
				c = chunk{}
				d := &decoder{b: record}
				c.decode(d)
				if err := d.end(); err != nil {
					return err
				}
			}
			for i := range c.cells {
				start := msTime(hour*hourMs + int64(i)*pointMs)
				if c.cells[i].has != 0 && !start.Before(from) && start.Before(to) {
					points = append(points, Point{start, c.cells[i]})
				}
			}
			return nil
		})
	})
	return points, err
}

// eachHour calls with the box's records of hours within [from, to), and last
// with nil for the newest hour, which lies in the box's own.
func (r *reader) eachHour(bucket string, from, to int64, with func(hour int64, record []byte) error) error {
	c := r.tx.Bucket([]byte(bucket)).Cursor()
	start := binary.BigEndian.AppendUint64(bytes.Clone(r.prefix), uint64(max(from, 0)))
	for k, v := c.Seek(start); bytes.HasPrefix(k, r.prefix); k, v = c.Next() {
		hour := r.box.timeOf(k)
		if hour >= to {
			break
		}
		if err := with(hour, v); err != nil {
			return err
		}
	}
	if h := r.box.open.hour; h != 0 && from <= h && h < to {
		return with(h, nil)
	}
	return nil
}

// HourValue is a metric over one hour.
type HourValue struct {
	Start time.Time
	Added uint64 // by which a counter grew
	Gauge Gauge  // of a gauge; Known tells whether there was one
	Known bool
}

// lookBack is how many earlier hours are searched for where counters stood.
const lookBack = 64

// Hours returns a metric of a box for each hour within [from, to) of which
// something was told. What a counter grew by while nothing was told belongs to
// the next hour that was; what it was when the box was first heard of, to none.
func (p *Projection) Hours(id wire.BoxID, metric wire.MetricID, from, to time.Time) (values []HourValue, err error) {
	first, last := from.UnixMilli()/hourMs, (to.UnixMilli()+hourMs-1)/hourMs
	err = p.read(id, func(r *reader) error {
		stood, err := r.stood(first, metric)
		if err != nil {
			return err
		}
		return r.eachHour(bucketHours, first, last, func(hour int64, record []byte) error {
			h := r.box.open.Hour
			if record != nil {
				if h, err = decodeHour(record); err != nil {
					return err
				}
			}
			v := HourValue{Start: msTime(hour * hourMs)}
			v.Gauge, v.Known = GaugeOf(h.Gauges, metric)
			for _, e := range h.Ends {
				now := ValueOf(e.Counters, metric)
				was, known := stood[e.Incarnation]
				if known || e.First == 1 {
					v.Added += max(now, was) - was
				}
				stood[e.Incarnation] = max(now, was)
			}
			values = append(values, v)
			return nil
		})
	})
	return values, err
}

// stood finds where a counter stood before an hour, for each incarnation.
func (r *reader) stood(hour int64, metric wire.MetricID) (map[uint64]uint64, error) {
	stood := map[uint64]uint64{}
	c := r.tx.Bucket([]byte(bucketHours)).Cursor()
	before := c.Prev
	if k, _ := c.Seek(binary.BigEndian.AppendUint64(bytes.Clone(r.prefix), uint64(max(hour, 0)))); k == nil {
		before = c.Last
	}
	k, v := before()
	for range lookBack {
		if !bytes.HasPrefix(k, r.prefix) {
			break
		}
		h, err := decodeHour(v)
		if err != nil {
			return nil, err
		}
		for _, e := range h.Ends {
			if _, ok := stood[e.Incarnation]; !ok {
				stood[e.Incarnation] = ValueOf(e.Counters, metric)
			}
		}
		k, v = c.Prev()
	}
	return stood, nil
}

// Distribution merges a distribution of boxes over [from, to). Days that are
// known only as a whole count when they begin within the span or hold from.
func (p *Projection) Distribution(boxes []wire.BoxID, id wire.MetricID, from, to time.Time) (*wire.DistributionSketch, error) {
	sum := wire.NewDistribution()
	err := p.sketches(boxes, id, from, to, func(data []byte) {
		// A box that sends what cannot be read spoils only its own part.
		if d, err := wire.ParseDistribution(data); err == nil {
			sum.Merge(d)
		}
	})
	return sum, err
}

// UniqueDevices estimates how many devices boxes had over [from, to), likewise.
func (p *Projection) UniqueDevices(boxes []wire.BoxID, from, to time.Time) (uint64, error) {
	sum := wire.NewSet()
	err := p.sketches(boxes, wire.DevicesUnique, from, to, func(data []byte) {
		if s, err := wire.ParseSet(data); err == nil {
			sum.Merge(s)
		}
	})
	return sum.Count(), err
}

func (p *Projection) sketches(boxes []wire.BoxID, id wire.MetricID, from, to time.Time, with func(data []byte)) error {
	first, last := from.UnixMilli()/hourMs, (to.UnixMilli()+hourMs-1)/hourMs
	for _, box := range boxes {
		err := p.read(box, func(r *reader) error {
			return eachSketch(r.tx.Bucket([]byte(bucketSketches)).Cursor(), r.prefix, first-first%24, last, func(_ []byte, s sketch) {
				if s.id == id && (s.day || s.hour >= first) {
					with(bytes.Clone(s.data))
				}
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Refused counts messages that were not taken, by reason, of boxes of which
// nothing else is known.
func (p *Projection) Refused() (counts map[string]uint64, err error) {
	counts = map[string]uint64{}
	err = p.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketRefused)).ForEach(func(reason, record []byte) error {
			d := &decoder{b: record}
			counts[string(reason)] = d.uint()
			return d.end()
		})
	})
	return counts, err
}
