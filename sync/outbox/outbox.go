package outbox

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"signalbox/sync/wire"
)

// ErrAhead is returned by Applied when the cloud has frames of this incarnation
// that the outbox never made: it was restored from an older copy, and its
// numbers mean something else there. NewIncarnation is the way out.
var ErrAhead = errors.New("the cloud is ahead of this outbox")

// errClosed is returned by calls after Close, and while a new file cannot be made.
var errClosed = errors.New("the outbox is not open")

// Outbox is the queue of one box. It may be used concurrently: one commit at a
// time, reads beside it.
type Outbox struct {
	cfg Config

	// writing is held by who changes the file, across its I/O: commits are a
	// minute apart, and nothing that a device waits for goes through here.
	writing sync.Mutex
	// merged says up to which frame all that could be merged into hours, and
	// into days, has been. Guarded by writing.
	merged [2]uint64
	// reopened says that damage was found and the file passed inspection all the
	// same: the next time it is begun anew. Guarded by writing.
	reopened bool
	// suspect asks the next commit to open the file again and look at all of it.
	suspect atomic.Bool
	written atomic.Uint64

	mu        sync.RWMutex // held for reading while db is read
	db        *file        // nil when closed, or when there was no way to begin anew
	closed    bool
	rec       *record // as committed; not changed in place
	tally     tally
	applied   uint64 // the watermark, newer than rec's
	agreed    bool   // the cloud and this outbox were in agreement
	recovered string
}

// Open opens the outbox in cfg.Dir, or makes one. A damaged one is moved aside
// and begun anew, which Recovered tells. Errors are those of the disk and of
// another program that has the file open.
func Open(cfg Config) (*Outbox, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	o := &Outbox{cfg: cfg}
	sweep(cfg.Dir)
	if err := o.openAny(); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return o, nil
}

// openAny opens what is there, whatever it is: a sound file, none, or one that
// is damaged and is moved aside. As open.
func (o *Outbox) openAny() error {
	err := inspect(o.cfg.path())
	if errors.Is(err, os.ErrNotExist) {
		err = create(o.cfg)
	}
	if err == nil {
		err = o.open()
	}
	if broken(err) {
		err = o.beginAnew(err)
	}
	return err
}

// reopen closes the file after cause and opens it again as Open does. As open.
func (o *Outbox) reopen(cause error) error {
	o.cfg.Logger.Warn("the outbox is opened again", "err", cause)
	o.abandon()
	o.suspect.Store(false)
	if o.reopened {
		return o.beginAnew(cause) // it passes inspection, and yet it does not work
	}
	o.reopened = true
	return o.openAny()
}

func (o *Outbox) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.db != nil {
		_ = o.db.close() // nothing of it is of use
		o.db = nil
	}
}

// create makes a new file with a new incarnation.
func create(cfg Config) error {
	return createFile(cfg, func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{framesBucket, roomsBucket, hoursBucket, stateBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		r := record{Incarnation: newIncarnation(), State: newState()}
		return r.save(tx, &record{})
	})
}

// newIncarnation is random, and never 0.
func newIncarnation() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return max(binary.BigEndian.Uint64(b[:]), 1)
}

// open opens a file that inspect has passed, reads all of it and leaves out
// frames that are damaged. Called before anybody else has o, or with writing held.
func (o *Outbox) open() error {
	db, err := openFile(o.cfg.path(), o.cfg)
	if err != nil {
		return err
	}
	rec, w, found := &record{}, (*work)(nil), findings{}
	err = db.view(func(tx *bbolt.Tx) (err error) {
		if err := rec.load(tx); err != nil {
			return err
		}
		w = newWork(tx, rec, tally{})
		found = w.scan(o.reopened)
		w.finish()
		return nil
	})
	if err == nil && !found.none() {
		err = db.update(func(tx *bbolt.Tx) error {
			was := rec.clone()
			w = newWork(tx, rec, w.tally)
			if err := w.repair(found); err != nil {
				return err
			}
			w.finish()
			return rec.save(tx, was)
		})
	}
	if err != nil {
		return errors.Join(err, db.close())
	}
	if rec.Since == nil {
		rec.Since, rec.Opened = maps.Clone(rec.State.Counters), rec.Seq+1
	}
	if rec.Opened == 0 { // of a version that did not keep it
		rec.Opened = rec.Seq + 1
	}
	rec.State.apart = true
	o.mu.Lock()
	defer o.mu.Unlock()
	o.db, o.rec, o.tally, o.applied, o.agreed, o.merged = db, rec, w.tally, rec.Applied, false, [2]uint64{}
	if !found.none() {
		o.recovered = fmt.Sprintf("frames of the outbox were damaged (%d) or missing (%d places); later ones hold their totals", len(found.damaged), found.missing)
		o.cfg.Logger.Warn("frames of the outbox were damaged or missing; later ones hold their totals", "damaged", len(found.damaged), "missing", found.missing)
	}
	return nil
}

// beginAnew moves a damaged file aside and opens a new one, whose incarnation is
// another. Called before anybody else has o, or with writing held.
func (o *Outbox) beginAnew(cause error) error {
	o.abandon()
	name, err := moveAside(o.cfg)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	o.mu.Lock() // told even if a full disk leaves the rest to a later call
	o.recovered = fmt.Sprintf("the outbox was begun anew and its old file kept as %s: %v", name, cause)
	o.mu.Unlock()
	if err := create(o.cfg); err != nil {
		return err
	}
	if err := o.open(); err != nil {
		return err
	}
	o.cfg.Logger.Error("the outbox was damaged and is begun anew; what the cloud had not yet is lost", "file", name, "err", cause)
	return nil
}

// Recovered says what was wrong with the file since it was opened, or "".
func (o *Outbox) Recovered() string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.recovered
}

// Incarnation names the counting: totals of different ones are added up.
func (o *Outbox) Incarnation() uint64 {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.rec.Incarnation
}

// Close closes the file. Later calls of other methods fail; Close itself may be
// called again.
func (o *Outbox) Close() error {
	o.writing.Lock()
	defer o.writing.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	if o.db == nil {
		return nil
	}
	db := o.db
	o.db = nil
	return db.close()
}

// Next returns the frames that stand for sequence numbers from from on, the
// oldest first: at most maxFrames, and together at most maxBytes in a Body, but
// always one if there is one. Calling it with a lower from is all there is to
// sending again. A frame may begin below from, when it was merged.
func (o *Outbox) Next(from uint64, maxFrames, maxBytes int) ([]*wire.Frame, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.db == nil {
		return nil, errClosed
	}
	var frames []*wire.Frame
	err := o.db.view(func(tx *bbolt.Tx) error {
		total := 0
		c := tx.Bucket(framesBucket).Cursor()
		for k, v := c.Seek(frameKey(from)); k != nil && len(frames) < maxFrames; k, v = c.Next() {
			s, err := parseStored(k, v)
			if err != nil {
				return err
			}
			f, size, err := s.frame()
			if err != nil {
				return err
			}
			if total += size + frameOverhead; total > maxBytes && len(frames) > 0 {
				break
			}
			frames = append(frames, f)
		}
		return nil
	})
	if err != nil {
		o.suspect.Store(true)
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return frames, nil
}

// frameOverhead is what a Body adds to a frame: a tag and a length.
const frameOverhead = 5

// Applied takes the watermark of the cloud: it has applied every frame of that
// incarnation up to seq. It may go down, when the cloud was restored from an
// older copy. It is written with the next commit, but for the first since the
// file was opened, which is on disk when Applied returns: from then on the cloud may
// know more than it did at the opening. Watermarks of other incarnations are
// ignored; ErrAhead is returned for a seq above Stats.Known.
func (o *Outbox) Applied(incarnation, seq uint64) error {
	first, err := o.takeApplied(incarnation, seq)
	if err != nil || !first {
		return err
	}
	if err := o.Update(func(*State) error { return nil }); err != nil {
		o.cfg.Logger.Warn("the outbox cannot keep that the cloud agrees with it", "err", err) // the next commit does
	}
	return nil
}

func (o *Outbox) takeApplied(incarnation, seq uint64) (first bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch known := o.knownLocked(); {
	case incarnation != o.rec.Incarnation:
		return false, nil
	case seq > known:
		return false, fmt.Errorf("outbox: %w: it has applied %d, it can know of %d", ErrAhead, seq, known)
	}
	first = !o.agreed
	o.applied, o.agreed = seq, true
	return first, nil
}

// knownLocked is the highest sequence number that the cloud can have heard of
// from this outbox: nothing is sent before the two agree.
func (o *Outbox) knownLocked() uint64 {
	if o.agreed || o.rec.Since == nil {
		return o.rec.Seq
	}
	return min(o.rec.Opened-1, o.rec.Seq)
}

// Stats are the outbox's own numbers.
type Stats struct {
	Incarnation    uint64
	Oldest, Newest uint64 // sequence numbers; Oldest above Newest: none
	Applied        uint64
	Known          uint64 // the highest number that the cloud can have heard of from here
	Frames         int
	Bytes          int64  // of all frames
	FileBytes      int64  // of the file, which never shrinks
	UsedBytes      int64  // of those, in use; merging begins by it
	LimitBytes     int64  // HardBytes
	Merged         uint64 // frames that were merged away, in this incarnation
	Lost           uint64 // changes that were left out, in this incarnation
	WrittenBytes   uint64 // to the disk, since Open
}

// Stats returns them as of the last commit.
func (o *Outbox) Stats() Stats {
	o.mu.RLock()
	defer o.mu.RUnlock()
	s := Stats{
		Incarnation: o.rec.Incarnation, Oldest: o.tally.oldest, Newest: o.rec.Seq, Applied: o.applied, Known: o.knownLocked(),
		Frames: o.tally.frames, Bytes: o.tally.bytes, LimitBytes: o.cfg.HardBytes,
		Merged: o.rec.Merged, Lost: o.rec.Lost, WrittenBytes: o.written.Load(),
	}
	if o.db != nil {
		s.FileBytes, s.UsedBytes = o.db.sizes()
	}
	return s
}

// sizes returns how large the file is, and how much of it is not free.
func (db *file) sizes() (size, used int64) {
	page := int64(db.Info().PageSize)
	stats := db.Stats()
	_ = guarded(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			used = tx.Size() - int64(stats.FreePageN+stats.PendingPageN)*page
			return nil
		})
	})
	if info, err := db.f.Stat(); err == nil {
		size = info.Size()
	}
	return size, used
}
