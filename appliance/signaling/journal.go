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
// caused are on disk, or acknowledged by their receivers. A frame counts as
// carried out (Session.done) after all it caused is in the logs and their
// sessions are in the set; so whoever reads done first and takes the set
// afterwards has everything.
type journal struct {
	srv  *Server
	wake chan struct{}

	mu     sync.Mutex
	set    []*Session
	reason string // why the last commit did not succeed
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
	sess *Session
	done uint64
}

// commit writes every session that changed and acknowledges.
func (j *journal) commit() {
	promised := make(map[*Session]uint64)
	for _, s := range j.peek() {
		s.mu.Lock()
		promised[s] = s.done
		s.mu.Unlock()
	}
	records := make(map[string][]byte)
	taken := j.take()
	promises := make([]promise, 0, len(taken))
	for _, s := range taken {
		done, ok := promised[s]
		promises = append(promises, promise{s, s.encode(done, ok, records)})
	}
	err := j.write(records)
	if err != nil {
		// Signaling goes on without the promise rather than stopping the
		// site: what is acknowledged now is lost only if the box dies, too.
		for _, p := range promises {
			p.sess.mu.Lock()
			p.sess.markDirtyLocked(true)
			p.sess.mu.Unlock()
		}
	}
	j.acknowledge(promises)
}

func (j *journal) peek() []*Session {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]*Session(nil), j.set...)
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
	}
	j.srv.count(&j.srv.commits)
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
