package outbox

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"signalbox/sync/wire"
)

// Commit adds one frame, which fill makes, and keeps with it in one transaction
// what fill changes in the state. It returns the frame's sequence number.
//
// After an error nothing has changed, and what fill did to the state is
// forgotten; the process lives on and the next minute tries again, which loses
// nothing, since counters are totals. A full disk is such an error. After
// ErrDamaged the outbox has begun anew under another incarnation.
//
// fill runs without a lock that others wait for, and must not call the outbox.
func (o *Outbox) Commit(now time.Time, fill func(*State) (*wire.Draft, error)) (seq uint64, err error) {
	err = o.change(func(next *record) (*stored, error) {
		draft, err := fill(&next.State)
		if err != nil {
			return nil, err
		}
		f, err := draft.Finish()
		if err != nil {
			return nil, err
		}
		next.Seq++
		f.First, f.Last = next.Covered+1, next.Seq
		next.Covered = next.Seq
		next.State.EndMs = f.GetEndMs()
		next.State.forgetCommands(now)
		s, err := packBounded(f)
		if lost := f.GetLost(); lost > 0 {
			next.Lost += lost
			next.State.Reported.Whole = true
		}
		seq = next.Seq
		return &s, err
	}, now)
	return seq, err
}

// Update changes the state without a frame: for what must be on disk before it
// is done, as that a command is begun. Errors are as those of Commit.
func (o *Outbox) Update(fn func(*State) error) error {
	return o.change(func(next *record) (*stored, error) { return nil, fn(&next.State) }, time.Time{})
}

// NewIncarnation begins to count anew under another name, because the cloud was
// told more in the present one than this outbox knows of. What was counted and
// observed since the outbox was opened is not among that, and is where the new
// one begins.
func (o *Outbox) NewIncarnation(reason string) error {
	return o.change(func(next *record) (*stored, error) {
		state := next.State
		for id, total := range state.Counters {
			base := next.Since[id]
			if next.Since == nil { // it has agreed so far, and is told all
				base = total
			}
			state.Counters[id] = total - min(base, total)
		}
		state.Reported, state.Alerts = wire.Reported{}, map[wire.AlertKind]bool{}
		state.hours.renew()
		state.apart = true
		*next = record{Incarnation: newIncarnation(), Commits: next.Commits, Since: map[wire.MetricID]uint64{}, Opened: 1, State: state}
		o.cfg.Logger.Warn("the outbox counts under a new incarnation; frames of the old one are dropped", "reason", reason)
		return nil, nil
	}, time.Time{})
}

// Adopt has the outbox count for a box, as wire.BoxID writes it, and returns the
// state. One that has counted for another box begins anew in the same
// transaction and keeps nothing: neither totals nor orders of one site are the
// business of the next.
func (o *Outbox) Adopt(box string) (state State, err error) {
	err = o.change(func(next *record) (*stored, error) {
		if was := next.State.Box; was != "" && was != box {
			*next = record{Incarnation: newIncarnation(), Commits: next.Commits, Since: map[wire.MetricID]uint64{}, Opened: 1, State: newState()}
			o.cfg.Logger.Warn("the outbox counts for another box; frames of the old one are dropped", "node", was)
		}
		next.State.Box = box
		state = next.State
		return nil, nil
	}, time.Time{})
	return state, err
}

// change runs one transaction: make prepares the next record and perhaps a
// frame, the rest keeps the file within its bounds.
func (o *Outbox) change(make func(*record) (*stored, error), now time.Time) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	if err := o.ready(); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	was, next := o.rec, o.begin() // rec and db are only replaced with writing held
	s, err := make(next)
	if err != nil {
		return err
	}
	next.Commits++
	w, err := o.transact(was, next, s, now)
	if err != nil && !o.landed(&err, next) {
		return fmt.Errorf("outbox: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rec, o.tally, o.merged, o.reopened = next, w.tally, w.merged, false
	if was.Incarnation != next.Incarnation {
		o.applied, o.agreed = 0, false
	}
	return nil
}

// ready makes up for what an earlier call could not: a file to write to.
func (o *Outbox) ready() error {
	switch {
	case o.closed:
		return errClosed
	case o.db == nil: // there was no room to begin anew
		return o.openAny()
	case o.suspect.Load():
		return o.reopen(errors.New("a frame cannot be read"))
	}
	return nil
}

// begin is a copy of the record with the watermark that came since.
func (o *Outbox) begin() *record {
	o.mu.RLock()
	defer o.mu.RUnlock()
	next := o.rec.clone()
	next.Applied = o.applied
	if o.agreed && next.Since != nil {
		next.Since, next.Opened = nil, 0
		next.State.agree()
	}
	return next
}

func (r *record) clone() *record {
	c := *r
	c.State = r.State.clone()
	return &c
}

func (o *Outbox) transact(was, next *record, s *stored, now time.Time) (w *work, err error) {
	_, used := o.db.sizes()
	before := o.db.Stats().TxStats
	defer func() {
		after := o.db.Stats().TxStats
		o.written.Add(uint64(after.GetPageAlloc()-before.GetPageAlloc()) + uint64(o.db.Info().PageSize)) // and the meta page
	}()
	err = o.db.update(func(tx *bbolt.Tx) error {
		w = newWork(tx, next, o.tally)
		w.merged = o.merged
		if was.Incarnation != next.Incarnation {
			if err := w.restart(tx); err != nil {
				return err
			}
		}
		if s != nil {
			if err := w.put(*s); err != nil {
				return err
			}
			if err := w.prune(now, o.cfg.KeepApplied, used > o.cfg.SoftBytes); err != nil {
				return err
			}
			if err := w.coarsen(&o.cfg, used); err != nil {
				return err
			}
		}
		w.finish()
		return next.save(tx, was)
	})
	return w, err
}

// restart drops all frames.
func (w *work) restart(tx *bbolt.Tx) error {
	if err := tx.DeleteBucket(framesBucket); err != nil {
		return err
	}
	b, err := tx.CreateBucket(framesBucket)
	if err != nil {
		return err
	}
	b.FillPercent = w.frames.FillPercent
	w.frames, w.tally, w.merged = b, tally{}, [2]uint64{}
	return nil
}

// landed tells whether a failed commit has reached the file all the same, when
// only the last sync failed: then it has succeeded. Else it adds to *cause what
// is wrong with the file, and opens a broken one again.
func (o *Outbox) landed(cause *error, next *record) bool {
	now := &record{}
	err := *cause
	if !broken(err) {
		err = o.db.view(now.load)
	}
	switch {
	case broken(err):
		*cause = errors.Join(*cause, o.reopen(err))
	case err != nil:
		*cause = errors.Join(*cause, err)
	default:
		return now.Commits == next.Commits
	}
	return false
}
