package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	// queueLength bounds the updates that wait; further callers wait to queue.
	queueLength = 1024
	// maxGroup bounds the updates of one commit, and with it how long the
	// first of them waits for the others.
	maxGroup = 128
	// lowPages is the free room below which ordinary writes are refused
	// without trying. A commit that runs out of room makes bbolt scan the
	// whole file for free pages, which a full box must not do all day.
	lowPages = 16
)

// request is one caller's update on its way through a commit.
type request struct {
	fn      func(*bbolt.Tx) error
	reclaim bool
	state   atomic.Uint32 // queued, then taken or withdrawn
	done    chan error    // gets the outcome; capacity 1
}

const (
	queued uint32 = iota
	taken
	withdrawn
)

// Update runs fn in a write transaction and returns once its changes are on
// the disk. Concurrent calls share a commit: fn may run more than once, always
// from a clean state, and may see the changes of others. When fn returns an
// error or panics nothing of it is kept, the others are not affected, and the
// caller gets the error or the panic. After ctx ends fn is not started; once
// started, Update waits for the outcome. A fn that changes nothing costs no
// commit, and its OnCommit handlers do not run. Values given to Put must stay
// unchanged until Update returns; fn must not call Update.
func (s *Store) Update(ctx context.Context, fn func(*bbolt.Tx) error) error {
	return s.submit(ctx, &request{fn: fn, done: make(chan error, 1)})
}

// Reclaim is Update for a fn that only deletes. It may use the pages that are
// held back from ordinary writes, so a full store can be emptied.
func (s *Store) Reclaim(ctx context.Context, fn func(*bbolt.Tx) error) error {
	return s.submit(ctx, &request{fn: fn, reclaim: true, done: make(chan error, 1)})
}

// submit queues r and waits for its outcome. There is no writer goroutine: a
// caller that finds nobody committing takes the lead for all that is queued.
func (s *Store) submit(ctx context.Context, r *request) error {
	for sent := false; !sent; {
		if err := s.refusal(ctx); err != nil {
			return err
		}
		select {
		case s.queue <- r:
			sent = true
		case s.leading <- struct{}{}: // the queue may be full of withdrawn requests
			s.lead()
		case <-ctx.Done():
		case <-s.closing:
		}
	}
	for {
		select {
		case err := <-r.done:
			return outcome(err)
		default:
		}
		select {
		case err := <-r.done:
			return outcome(err)
		case s.leading <- struct{}{}:
			s.lead()
		case <-ctx.Done():
			if r.state.CompareAndSwap(queued, withdrawn) {
				return context.Cause(ctx)
			}
			return outcome(<-r.done)
		case <-s.closing:
			if r.state.CompareAndSwap(queued, withdrawn) {
				return ErrClosed
			}
			return outcome(<-r.done)
		}
	}
}

func (s *Store) refusal(ctx context.Context) error {
	select {
	case <-s.closing:
		return ErrClosed
	default:
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return s.failure.err()
}

// outcome hands a panic of fn back to the goroutine that brought fn.
func outcome(err error) error {
	if p, ok := errors.AsType[*panicError](err); ok {
		panic(p)
	}
	return err
}

// lead commits one group and gives the lead back, even when a fn ends its
// goroutine with runtime.Goexit.
func (s *Store) lead() {
	defer func() { <-s.leading }()
	s.commitQueued()
}

// commitQueued commits up to maxGroup queued updates and returns their number.
// The caller holds the leading token.
func (s *Store) commitQueued() int {
	group := s.take()
	if len(group) == 0 {
		return 0
	}
	defer func() {
		s.counts.commitSince.Store(nil)
		for _, r := range group {
			r.answer(errAbandoned) // nothing happens when it has its answer
		}
	}()
	start := time.Now()
	s.counts.commitSince.Store(&start)
	s.commitGroup(group)
	s.counts.updates.Add(uint64(len(group)))
	s.counts.lastCommit.Store(int64(time.Since(start)))
	return len(group)
}

func (s *Store) take() []*request {
	var group []*request
	for len(group) < maxGroup {
		select {
		case r := <-s.queue:
			if r.state.CompareAndSwap(queued, taken) {
				group = append(group, r)
			}
		default:
			return group
		}
	}
	return group
}

// commitGroup answers every request of group. It tries them together; the ones
// that fail are taken out, and run again alone when the rest is safe: what they
// ran into may have been another's change.
func (s *Store) commitGroup(group []*request) {
	rest, alone := append([]*request(nil), group...), []*request(nil)
	if len(rest) == 1 {
		rest, alone = nil, rest
	}
	for len(rest) > 0 {
		at, err := s.commit(rest, s.cfg.softLimit())
		if at < 0 && !errors.Is(err, ErrFull) {
			answerAll(rest, err)
			break
		}
		if at < 0 { // together they do not fit; one by one some may
			alone = append(alone, rest...)
			break
		}
		alone = append(alone, rest[at])
		rest = append(rest[:at], rest[at+1:]...)
	}
	for _, r := range alone {
		limit := s.cfg.softLimit()
		if r.reclaim {
			limit = int(s.cfg.MaxBytes)
		}
		_, err := s.commit([]*request{r}, limit)
		r.answer(err)
	}
}

// commit runs the requests in one transaction. When one of them fails it
// returns its index and its error, and nothing is kept; otherwise -1.
func (s *Store) commit(group []*request, limit int) (at int, err error) {
	if err := s.failure.err(); err != nil {
		return -1, err
	}
	at = -1
	err = s.transact(limit, func(tx *bbolt.Tx) error {
		for i, r := range group {
			if err := call(r.fn, tx); err != nil {
				at = i
				return err
			}
		}
		return nil
	})
	return at, err
}

// transact is one bbolt transaction of at most limit bytes of file. A fault of
// the disk stops the store.
func (s *Store) transact(limit int, fn func(*bbolt.Tx) error) error {
	var ofCaller error
	s.db.MaxSize = limit // read by bbolt only inside a write transaction, and we hold the lead
	err := s.db.update(func(tx *bbolt.Tx) error {
		if limit < int(s.cfg.MaxBytes) && s.freeBytes(tx, limit) < lowPages*s.pageSize {
			return berrors.ErrMaxSizeReached
		}
		if ofCaller = fn(tx); ofCaller != nil {
			return ofCaller
		}
		if stats := tx.Stats(); stats.GetNodeCount() == 0 {
			return errUnchanged
		}
		return nil
	})
	switch {
	case err == nil:
		s.counts.commits.Add(1)
		s.counts.changed.Store(true)
		return nil
	case errors.Is(err, ErrFailed):
		s.fail(err)
		return err
	case ofCaller != nil:
		return ofCaller
	case errors.Is(err, errUnchanged):
		return nil
	case errors.Is(err, berrors.ErrMaxSizeReached):
		s.counts.full.Add(1)
		return fmt.Errorf("%w: the file has reached store.max_bytes (%d); delete what is not needed or raise it", ErrFull, s.cfg.MaxBytes)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		s.counts.full.Add(1)
		return fmt.Errorf("%w: no space left on the disk of %s; free some", ErrFull, s.cfg.Dir)
	}
	err = fmt.Errorf("%w: commit: %w", ErrFailed, err)
	s.fail(err)
	return err
}

// freeBytes estimates what tx may still allocate below limit.
func (s *Store) freeBytes(tx *bbolt.Tx, limit int) int64 {
	stats := s.db.Stats()
	reusable := int64(stats.FreePageN+stats.PendingPageN) * s.pageSize
	return max(int64(limit)-allocBytes-tx.Size(), 0) + reusable
}

var (
	errUnchanged = errors.New("nothing changed")
	errAbandoned = errors.New("the update that ran in the same commit ended its goroutine")
)

func (r *request) answer(err error) {
	select {
	case r.done <- err:
	default:
	}
}

func answerAll(group []*request, err error) {
	for _, r := range group {
		r.answer(err)
	}
}

// call runs a caller's fn, so that its panic ends only its own update.
func call(fn func(*bbolt.Tx) error, tx *bbolt.Tx) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if isFault(v) {
			panic(v) // the disk, not the caller
		}
		err = &panicError{value: v, stack: debug.Stack()}
	}()
	return fn(tx)
}

// panicError carries a panic from the goroutine that commits to the caller's.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string {
	return fmt.Sprintf("%v\n\nraised in an update:\n%s", p.value, p.stack)
}

// Unwrap gives the value of the panic when it is an error.
func (p *panicError) Unwrap() error {
	err, _ := p.value.(error)
	return err
}
