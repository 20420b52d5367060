package outbox

import (
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"

	"signalbox/sync/wire"
)

// Bounds of the work of one commit, so that it takes milliseconds however long
// the cloud was away: in a minute one frame comes and up to 240 go.
const (
	maxPruned = 480
	maxGroups = 4
	maxGroup  = 60 // frames merged into one
)

const (
	hourMs = wire.HourS * 1000
	dayMs  = wire.DayS * 1000
)

// work is one write transaction: what it changes besides the file is taken over
// when it has committed.
type work struct {
	frames *bbolt.Bucket
	rec    *record
	tally  tally
	merged [2]uint64 // as Outbox.merged
}

// tally is what the frames' bucket holds.
type tally struct {
	frames int
	bytes  int64 // of keys and values
	oldest uint64
}

func newWork(tx *bbolt.Tx, rec *record, t tally) *work {
	w := &work{frames: tx.Bucket(framesBucket), rec: rec, tally: t}
	w.frames.FillPercent = 0.95 // keys only grow
	return w
}

func (w *work) put(s stored) error {
	value := s.value()
	w.tally.frames++
	w.tally.bytes += int64(len(value)) + 8
	return w.frames.Put(frameKey(s.last), value)
}

func (w *work) delete(key []byte) error {
	w.tally.frames--
	w.tally.bytes -= int64(len(w.frames.Get(key)) + len(key))
	return w.frames.Delete(key)
}

// finish notes what has become the oldest.
func (w *work) finish() {
	w.tally.oldest = w.rec.Seq + 1
	if k, v := w.frames.Cursor().First(); k != nil {
		if s, err := parseStored(k, v); err == nil {
			w.tally.oldest = s.first
		}
	}
}

// prune deletes what the cloud has applied: once it is older than keep, or at
// once when room is needed.
func (w *work) prune(now time.Time, keep time.Duration, needRoom bool) error {
	var keys [][]byte
	c := w.frames.Cursor()
	for k, v := c.First(); k != nil && len(keys) < maxPruned; k, v = c.Next() {
		if binary.BigEndian.Uint64(k) > w.rec.Applied {
			break
		}
		s, err := parseStored(k, v)
		if err != nil {
			return err
		}
		if !needRoom && now.UnixMilli()-s.endMs <= keep.Milliseconds() {
			break
		}
		keys = append(keys, frameKey(s.last)) // k is gone once the bucket changes
	}
	for _, k := range keys {
		if err := w.delete(k); err != nil {
			return err
		}
	}
	return nil
}

// coarsen merges the oldest frames, as far as used demands it: first the
// minutes of an hour, then the hours of a day, at last any neighbours.
func (w *work) coarsen(cfg *Config, used int64) error {
	for range maxGroups {
		var group []stored
		var err error
		merge := wire.Merge
		if used > cfg.SoftBytes {
			group, err = w.group(&w.merged[0], hourMs)
		}
		if err == nil && len(group) == 0 && used > cfg.dayBytes() {
			merge = wire.MergeDay
			group, err = w.group(&w.merged[1], dayMs)
		}
		if err == nil && len(group) == 0 && used > cfg.fullBytes() {
			var start uint64
			group, err = w.group(&start, 0)
		}
		if err != nil {
			return err
		}
		if len(group) == 0 {
			return nil
		}
		if err := w.merge(group, merge); err != nil {
			return err
		}
	}
	return nil
}

// group returns the oldest frames that ended in the same unit of time and are
// followed by one that did not, so that the unit is over; unit 0 is any time.
// Frames up to done are known to need no merging by this unit.
func (w *work) group(done *uint64, unitMs int64) ([]stored, error) {
	var run []stored
	c := w.frames.Cursor()
	for k, v := c.Seek(frameKey(*done + 1)); k != nil; k, v = c.Next() {
		s, err := parseStored(k, v)
		if err != nil {
			return nil, err
		}
		if len(run) > 0 && (len(run) == maxGroup || unitMs > 0 && unitOf(s, unitMs) != unitOf(run[0], unitMs)) {
			if len(run) > 1 {
				return run, nil
			}
			*done, run = run[0].last, nil
		}
		run = append(run, s)
	}
	return nil, nil
}

// unitOf numbers the unit in which a frame ended. One that ended on the stroke
// belongs to the unit before.
func unitOf(s stored, unitMs int64) int64 { return (s.endMs - 1) / unitMs }

func (w *work) merge(group []stored, merge func(...*wire.Frame) *wire.Frame) error {
	frames := make([]*wire.Frame, len(group))
	var lost uint64
	for i, s := range group {
		f, _, err := s.frame()
		if err != nil {
			return err
		}
		frames[i] = f
		lost += f.GetLost()
	}
	f := merge(frames...)
	s, err := packBounded(f)
	if err != nil {
		return err
	}
	for _, old := range group {
		if err := w.delete(frameKey(old.last)); err != nil {
			return err
		}
	}
	w.rec.Merged += uint64(len(group))
	w.lose(f.GetLost() - lost)
	return w.put(s)
}

// lose counts changes that were left out. One may have been of a room, and then
// only a list of all rooms puts the cloud right.
func (w *work) lose(n uint64) {
	if n > 0 {
		w.rec.Lost += n
		w.rec.State.Reported.Whole = true
	}
}

// packBounded packs a frame, and leaves out what may be left out if it is too
// large as a whole although each of its lists keeps its bounds.
func packBounded(f *wire.Frame) (stored, error) {
	s, err := pack(f)
	if wire.Reason(err) == wire.ErrOversize.Error() {
		f.Lost += uint64(len(f.GetRooms()) + len(f.GetSketches()) + len(f.GetResults()))
		f.Rooms, f.AllRooms, f.Sketches, f.Results = nil, false, nil, nil
		s, err = pack(f)
	}
	return s, err
}
