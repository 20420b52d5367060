package outbox

import (
	"bytes"
	"encoding/binary"
)

// findings are what scan has found wrong with the frames.
type findings struct {
	damaged [][]byte // keys
	// widened are frames that follow on damaged or missing ones. They hold their
	// totals, and stand for their numbers from now on, so that the cloud misses
	// none.
	widened []stored
	missing int    // runs of numbers without a frame
	covered uint64 // up to where there are frames, or the cloud has applied
}

// none tells whether all is well.
func (f *findings) none() bool { return len(f.damaged) == 0 && f.missing == 0 }

// scan counts the frames and looks for damaged and missing ones: a page whose
// count of entries is wrong is a sound page to bbolt. deep decompresses each.
func (w *work) scan(deep bool) (f findings) {
	w.tally = tally{}
	prev := uint64(0) // up to where they are without a gap; 0 before the first
	c := w.frames.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		w.tally.frames++
		w.tally.bytes += int64(len(k) + len(v))
		s, err := parseStored(k, v)
		if err == nil && deep {
			_, _, err = s.frame()
		}
		if err != nil {
			f.damaged = append(f.damaged, bytes.Clone(k))
			continue
		}
		if prev == 0 && len(f.damaged) > 0 {
			prev = min(w.rec.Applied, s.first-1)
		}
		if gap := s.first > prev+1; gap && (prev > 0 || len(f.damaged) > 0) {
			f.missing++
			s.first, s.packed = prev+1, bytes.Clone(s.packed)
			f.widened = append(f.widened, s)
		}
		prev = s.last
	}
	f.covered = w.rec.Covered
	if end := max(prev, w.rec.Applied); end < f.covered {
		f.missing++
		f.covered = end
	}
	return f
}

// repair deletes the damaged frames and widens their followers.
func (w *work) repair(f findings) error {
	for _, k := range f.damaged {
		if err := w.delete(k); err != nil {
			return err
		}
	}
	for _, s := range f.widened {
		if err := w.delete(binary.BigEndian.AppendUint64(nil, s.last)); err != nil {
			return err
		}
		if err := w.put(s); err != nil {
			return err
		}
	}
	w.rec.Covered = f.covered
	w.lose(uint64(max(len(f.damaged), f.missing)))
	return nil
}
