package outbox

import (
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"

	"signalbox/sync/wire"
)

// hours are the sketches of hours that have not been told to their end.
type hours map[hourKey]*hour

type hourKey struct {
	id      wire.MetricID
	startMs int64
}

// hour is one sketch: dist or set, by its metric's kind.
type hour struct {
	dist *wire.DistributionSketch
	set  *wire.SetSketch
	// recent is what of dist came since the file was opened, while the cloud and
	// this outbox have not agreed since; nil for nothing. It is not on disk.
	recent *wire.DistributionSketch
	// fresh counts what came since it was told, toldMs says when that was.
	fresh  int
	toldMs int64
}

// Of the running hour a sketch is told again after so many samples or so long.
const (
	tellAfterSamples = 50
	tellAfter        = 15 * time.Minute
	// maxHours bounds hours against a clock that jumps about.
	maxHours = 32
)

// Observe adds a value to the distribution id of the hour of at.
func (s *State) Observe(id wire.MetricID, at time.Time, value float64) {
	if h := s.hour(id, at); h != nil && h.dist != nil {
		h.dist.Add(value)
		h.fresh++
		if s.apart {
			if h.recent == nil {
				h.recent = wire.NewDistribution()
			}
			h.recent.Add(value)
		}
	}
}

// See adds a hash of wire.Veil.Hash to the set id of the hour of at.
func (s *State) See(id wire.MetricID, at time.Time, hash uint64) {
	if h := s.hour(id, at); h != nil && h.set != nil {
		h.set.Add(hash)
		h.fresh++
	}
}

func (s *State) hour(id wire.MetricID, at time.Time) *hour {
	key := hourKey{id, at.UnixMilli() - at.UnixMilli()%(wire.HourS*1000)}
	if h, ok := s.hours[key]; ok {
		return h
	}
	h := &hour{toldMs: at.UnixMilli()}
	switch wire.KindOf(id) {
	case wire.Distribution:
		h.dist = wire.NewDistribution()
	case wire.Set:
		h.set = wire.NewSet()
	default:
		return nil
	}
	if len(s.hours) >= maxHours || key.startMs < 0 {
		return nil
	}
	s.hours[key] = h
	return h
}

// Sketches tells the sketches that are due at now: of a closed hour the whole,
// which is then forgotten, and of the running one at times.
func (s *State) Sketches(d *wire.Draft, now time.Time) {
	told := 0
	for key, h := range s.hours {
		closed := now.UnixMilli() >= key.startMs+wire.HourS*1000 || now.UnixMilli() < key.startMs
		due := h.fresh >= tellAfterSamples || now.UnixMilli()-h.toldMs >= tellAfter.Milliseconds()
		if told < wire.MaxSketches && h.fresh > 0 && (closed || due) {
			start := time.UnixMilli(key.startMs)
			if h.dist != nil {
				d.Distribution(key.id, start, h.dist)
			} else {
				d.Set(key.id, start, h.set)
			}
			h.fresh, h.toldMs = 0, now.UnixMilli()
			told++
		}
		if closed && h.fresh == 0 {
			delete(s.hours, key)
		}
	}
}

// agree forgets what is recent: the cloud has heard the rest.
func (s *State) agree() {
	s.apart = false
	for _, h := range s.hours {
		h.recent = nil
	}
}

// renew leaves of distributions what the cloud cannot have heard under the
// incarnation before: told again, a value would count twice. A set may be told
// again.
func (hs hours) renew() {
	for key, h := range hs {
		switch {
		case h.set != nil:
		case h.recent == nil:
			delete(hs, key)
		default:
			h.dist, h.fresh, h.toldMs = h.recent.Copy(), int(h.recent.Count()), 0
		}
	}
}

func (hs hours) clone() hours {
	c := make(hours, len(hs))
	for key, h := range hs {
		n := *h
		if h.dist != nil {
			n.dist = h.dist.Copy()
		}
		if h.recent != nil {
			n.recent = h.recent.Copy()
		}
		if h.set != nil {
			n.set = h.set.Copy()
		}
		c[key] = &n
	}
	return c
}

func (k hourKey) bytes() []byte {
	b := binary.BigEndian.AppendUint32(nil, k.id)
	return binary.BigEndian.AppendUint64(b, uint64(k.startMs))
}

// save writes those that have changed: every change moves fresh or toldMs.
func (hs hours) save(b *bbolt.Bucket, was hours) error {
	for key := range was {
		if _, ok := hs[key]; !ok {
			if err := b.Delete(key.bytes()); err != nil {
				return err
			}
		}
	}
	for key, h := range hs {
		if old, ok := was[key]; ok && old.fresh == h.fresh && old.toldMs == h.toldMs {
			continue
		}
		value := binary.AppendUvarint(nil, uint64(h.fresh))
		value = binary.AppendVarint(value, h.toldMs)
		if h.dist != nil {
			value = append(value, h.dist.Encode()...)
		} else {
			value = append(value, h.set.Encode()...)
		}
		if err := b.Put(key.bytes(), seal(value)); err != nil {
			return err
		}
	}
	return nil
}

// load reads them. One that is damaged is left out: its hour begins anew.
func (hs hours) load(tx *bbolt.Tx) error {
	return tx.Bucket(hoursBucket).ForEach(func(k, v []byte) error {
		value, err := unseal(v)
		if err != nil || len(k) != 12 {
			return nil //nolint:nilerr // left out
		}
		key := hourKey{binary.BigEndian.Uint32(k), int64(binary.BigEndian.Uint64(k[4:]))}
		fresh, n := binary.Uvarint(value)
		toldMs, m := binary.Varint(value[max(n, 0):])
		if n <= 0 || m <= 0 {
			return nil
		}
		h := &hour{fresh: int(fresh), toldMs: toldMs}
		switch wire.KindOf(key.id) {
		case wire.Distribution:
			h.dist, err = wire.ParseDistribution(value[n+m:])
		case wire.Set:
			h.set, err = wire.ParseSet(value[n+m:])
		default:
			return nil
		}
		if err == nil {
			hs[key] = h
		}
		return nil
	})
}
