package signaling

import (
	"context"
	"sync"
	"time"
)

// journal puts sessions on disk, many in one transaction (group commit), and
// lets the frames it has made safe be acknowledged.
//
// What it promises: a client frame is acknowledged only when the frames it
// caused are on disk, or acknowledged by their receivers. For that a commit is
// a cut between frames, which the server's gate gives: none is half carried
// out while the sessions are encoded. The disk is waited for outside of it.
type journal struct {
	srv  *Server
	wake chan struct{}

	mu     sync.Mutex
	set    []*Session
	reason string // why the last commit did not succeed

	trash []string // keys that could not be restored, for the first commit to delete
}

func newJournal(s *Server) *journal {
	return &journal{srv: s, wake: make(chan struct{}, 1)}
}

// mark adds a session to the set. Its mu is held.
func (j *journal) mark(s *Session) {
	j.mu.Lock()
	j.set = append(j.set, s)
	first := len(j.set) == 1
	j.mu.Unlock()
	if first {
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
}

// broken says why the journal does not work at present.
func (j *journal) broken() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.reason
}

const (
	commitTimeout = 10 * time.Second
	brokenPause   = time.Second
)

// run commits at most once in JournalEvery, and never while nothing changes.
func (j *journal) run(ctx context.Context) {
	timer := time.NewTimer(0)
	<-timer.C
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			j.commit()
			return
		case <-j.wake:
		}
		pause := j.srv.cfg.JournalEvery
		if j.broken() != "" {
			pause = max(pause, brokenPause)
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		j.commit()
	}
}

// promise is what a commit makes safe of one session.
type promise struct {
	sess   *Session
	done   uint64
	before span // frames on disk before it
}

// commit writes every session that changed and acknowledges.
func (j *journal) commit() {
	records := make(map[string][]byte)
	for _, key := range j.trash {
		records[key] = nil
	}
	promises := j.cut(records)
	if err := j.write(records); err != nil {
		// Signaling goes on without the promise rather than stopping the
		// site: what is acknowledged now is lost only if the box dies, too.
		for _, p := range promises {
			p.sess.redo(p.before)
		}
	} else {
		j.trash = nil
	}
	j.acknowledge(promises)
}

// cut encodes the sessions that changed, between frames.
func (j *journal) cut(records map[string][]byte) []promise {
	j.srv.gate.Lock()
	defer j.srv.gate.Unlock()
	taken := j.take()
	promises := make([]promise, 0, len(taken))
	for _, s := range taken {
		before := s.stored // only the journal changes it
		promises = append(promises, promise{s, s.encode(records), before})
	}
	return promises
}

// redo has the whole session written again after a commit that failed. What is
// on disk of its frames is some of those before and those that were tried.
func (s *Session) redo(before span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = s.stored.join(before)
	s.renumbered = true
	s.markDirtyLocked(true)
}

func (j *journal) take() []*Session {
	j.mu.Lock()
	defer j.mu.Unlock()
	set := j.set
	j.set = nil
	return set
}

func (j *journal) write(records map[string][]byte) error {
	if j.srv.cfg.Journal == nil || len(records) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	err := j.srv.cfg.Journal.PutSessions(ctx, records)
	reason := ""
	if err != nil {
		reason = err.Error()
		j.srv.count(&j.srv.commitErrors)
	} else {
		j.srv.count(&j.srv.commits)
	}
	j.mu.Lock()
	changed := (j.reason == "") != (reason == "")
	j.reason = reason
	j.mu.Unlock()
	switch {
	case changed && err != nil:
		j.srv.log.Error("session journal does not work; sessions would not survive a crash", "err", err)
	case changed:
		j.srv.log.Info("session journal works again")
	}
	return err
}

// acknowledge lets the sockets tell their clients what is safe.
func (j *journal) acknowledge(promises []promise) {
	var out batch
	for _, p := range promises {
		p.sess.mu.Lock()
		p.sess.committed = max(p.sess.committed, p.done)
		if c := p.sess.conn; c != nil && c.acked != p.sess.committed {
			out.add(c)
		}
		p.sess.mu.Unlock()
	}
	out.flush()
}
