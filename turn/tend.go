package turn

import (
	"context"
	"time"
)

const (
	// tendEvery is how often the relay looks at the machine's interfaces when
	// the kernel tells of no change.
	tendEvery = 2 * time.Second
	// settleTime is how long after a change it looks: changes come in groups.
	settleTime = 50 * time.Millisecond
	// firstRetry is when it tries an address again that was not usable, as an
	// IPv6 one is not while it is checked for duplicates (RFC 4862 §5.4). Then it
	// waits twice as long each time, tendEvery at most: a port that another
	// program has may never come free.
	firstRetry = 250 * time.Millisecond
)

// rounds says when to look at the machine. It belongs to one goroutine.
type rounds struct {
	timer *time.Timer
	due   time.Time
	retry time.Duration
}

func newRounds() *rounds {
	return &rounds{timer: time.NewTimer(tendEvery), due: time.Now().Add(tendEvery), retry: firstRetry}
}

func (r *rounds) in(d time.Duration) {
	r.due = time.Now().Add(d)
	r.timer.Reset(d)
}

// changed is for the news that something has changed. News that do not cease put
// nothing off.
func (r *rounds) changed() {
	if time.Until(r.due) > settleTime {
		r.in(settleTime)
	}
}

// looked is for the end of a round; failed says that some address could not be
// bound, and progress that another could.
func (r *rounds) looked(failed, progress bool) {
	if !failed || progress {
		r.retry = firstRetry
	}
	if !failed {
		r.in(tendEvery)
		return
	}
	r.in(r.retry)
	r.retry = min(2*r.retry, tendEvery)
}

// tend keeps the relay in step with the machine until ctx is cancelled. start
// serves a new address.
func (s *Server) tend(ctx context.Context, changes <-chan struct{}, start func(*service)) {
	rounds := newRounds()
	defer rounds.timer.Stop()
	for {
		select {
		case <-changes:
			rounds.changed()
		case now := <-rounds.timer.C:
			opened, failed := s.lookAround(now)
			for _, one := range opened {
				s.log.Info("address served", "component", "turn", "conn", one.at)
				start(one)
			}
			s.ports.expire(now)
			s.lookAtSecrets(now)
			for _, a := range s.registry.live() {
				a.sweep(now)
			}
			rounds.looked(failed, len(opened) > 0)
		case <-ctx.Done():
			return
		}
	}
}

// lookAround takes note of the networks that are attached now. While they
// cannot be listed, those of before count.
func (s *Server) lookAround(now time.Time) (opened []*service, failed bool) {
	interfaces, err := readInterfaces()
	if err != nil {
		s.failures.Warn("interfaces not listed", "err", err)
		return nil, false
	}
	next := newSite(interfaces, s.config.interfaces())
	if !s.policy.site().equal(next) {
		s.policy.setSite(next)
		s.log.Info("attached networks changed", "component", "turn", "site", next.networks)
	}
	return s.follow(next, now)
}
