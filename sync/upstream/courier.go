package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"signalbox/sync/wire"
)

// Bounds of what is under way to the cloud.
const (
	maxFlights  = 64                // batches
	firstWindow = 16 << 10          // bytes without an ack at first
	leastWindow = 4 << 10           // and when answers are slow
	mostWindow  = 4 << 20           // and when they are quick
	batchBytes  = 220 << 10         // frames of one batch before compression; always fits
	quickAck    = time.Second       // more may be under way after it
	slowAck     = 4 * time.Second   // less may be under way after it
	keepAlive   = 150 * time.Second // without a sound: a sign of life, for proxies that cut unused links
	probeAfter  = 20 * time.Second  // without a sound while an answer is due: ask for one
	deadAfter   = 40 * time.Second  // and then the link is dead
	ackSoon     = 10 * time.Second  // without an ack: the batch is sent again, and
	ackTimeout  = 60 * time.Second  // after twice as long each time, up to this
	staleAfter  = 30 * time.Second  // acked but not applied
	staleMost   = 10 * time.Minute
	askTimeout  = 10 * time.Second
	askSoon     = time.Second            // when nobody was there to answer: the cloud is starting
	askEvery    = 5 * time.Minute        // of a box in use
	askIdle     = 15 * time.Minute       // of an idle one, whose answers would cost more than its frames
	drainPause  = 100 * time.Millisecond // between batches of a box with a backlog
	drainSpread = 2 * time.Second        // before the first of them
	holdFirst   = time.Second            // after a refusal
	holdMost    = time.Minute
	backlog     = 60 // frames more than which a box has to catch up
)

// frames are what the courier carries: the outbox.
type frames interface {
	// Position is what the outbox holds: sequence numbers from oldest to newest
	// of one incarnation, and up to which the cloud has applied them.
	Position() position
	// After returns frames from the one after seq on, at most so many and of at
	// most so many bytes, but one if there is one.
	After(seq uint64, count, bytes int) ([]*wire.Frame, error)
	Applied(incarnation, seq uint64) error
	// Renew begins a new incarnation, because the cloud knows more of this one
	// than the outbox does.
	Renew() error
}

// position is where an outbox stands.
type position struct {
	incarnation    uint64
	oldest, newest uint64 // oldest > newest: none
	applied        uint64
	known          uint64 // the highest that the cloud can have heard of from here
}

// flight is a batch under way.
type flight struct {
	first, last uint64
	bytes       int
	at          time.Time
	acked       bool
}

// courier takes frames to the cloud over one way, until that ends. It believes
// nothing but the watermark that the cloud's projection gives: an ack only says
// that the broker has a batch. It is of one goroutine.
type courier struct {
	*member
	way     way
	flights []flight
	next    uint64 // the last sequence number that was handed over
	window  int
	stood   bool      // the cloud has said where it stands, on this way
	attempt int       // tells batches apart that are sent again on purpose
	lost    int       // times in a row that a batch had no ack
	mute    time.Time // when the first of those was sent; zero when there is none
	stale   int       // times in a row that the watermark did not move
	hold    time.Time // nothing is sent before
	credit  time.Time // nor before the bandwidth cap allows it
	refused int       // acks that were refusals, in a row
	asked   time.Time // an Ask without an answer, zero when there is none
	asks    int       // of those in a row
	nobody  bool      // and nobody was there to answer
	expect  uint64    // the watermark when it was asked
	doubt   bool      // the last Standing fell short of that
	probed  time.Time
	nextAsk time.Time
	liveEnd time.Time
	liveAt  time.Time
}

// run works until ctx or the way ends, and returns why.
func (c *courier) run(ctx context.Context) error {
	c.window = firstWindow
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		if err := c.tend(ctx, now); err != nil {
			return err
		}
		changed := c.fill(ctx, now)
		timer.Reset(max(c.due(now).Sub(now), 0))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.way.done():
			return c.way.err()
		case e := <-c.way.events():
			if err := c.take(e, time.Now()); err != nil {
				return err
			}
		case <-c.news:
		case <-changed:
		case <-timer.C:
		}
	}
}

// tend does what has become due.
func (c *courier) tend(ctx context.Context, now time.Time) error {
	if silent := c.silentAt(); !now.Before(silent.Add(c.cfg.paced(deadAfter))) {
		return fmt.Errorf("nothing was heard for %v", now.Sub(silent).Round(time.Second))
	}
	if !now.Before(c.probeAt()) {
		c.probed = now
		c.way.probe()
	}
	if !now.Before(c.askAt()) {
		if err := c.ask(now); err != nil {
			return err
		}
	}
	if !now.Before(c.lostAt()) {
		c.unanswered()
	}
	if !now.Before(c.staleAt()) {
		c.stale, c.attempt = c.stale+1, c.attempt+1
		c.rewind(c.frames.Position().applied)
		if err := c.ask(now); err != nil {
			return err
		}
	}
	if now.Before(c.liveEnd) && !now.Before(c.liveAt) {
		c.liveAt = now.Add(time.Second)
		if err := c.way.live(c.sampleLive(now)); errors.Is(err, errNoLive) {
			c.liveEnd = now
		}
	}
	return nil
}

// due is when something has to be done although nothing comes in.
func (c *courier) due(now time.Time) time.Time {
	at := earliest(c.askAt(), c.lostAt(), c.staleAt(), c.probeAt())
	if silent := c.silentAt(); silent != never {
		at = earliest(at, silent.Add(c.cfg.paced(deadAfter)))
	}
	for _, t := range []time.Time{c.hold, c.credit} {
		if now.Before(t) {
			at = earliest(at, t)
		}
	}
	if now.Before(c.liveEnd) {
		at = earliest(at, c.liveAt)
	}
	return at
}

// never is later than everything.
var never = time.Unix(1<<40, 0)

func earliest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if t.Before(first) {
			first = t
		}
	}
	return first
}

// silentAt is since when an answer is due and nothing is heard; never while
// none is due.
func (c *courier) silentAt() time.Time {
	since, heard := never, c.way.sound()
	if !c.asked.IsZero() {
		since = c.asked
	}
	if c.probed.After(heard) {
		since = earliest(since, c.probed)
	}
	if !c.mute.IsZero() {
		since = earliest(since, c.mute)
	}
	for _, f := range c.flights {
		if !f.acked {
			since = earliest(since, f.at)
		}
	}
	if since != never && heard.After(since) {
		return heard
	}
	return since
}

// probeAt is when to ask for a sign of life: soon when an answer is due that
// does not come, else before anybody on the way takes the link for unused.
func (c *courier) probeAt() time.Time {
	heard := c.way.sound()
	if c.probed.After(heard) {
		return never // asked already
	}
	return earliest(heard.Add(c.cfg.paced(keepAlive)), c.silentAt().Add(c.cfg.paced(probeAfter)))
}

// askAt is when to ask next: again soon while there is no answer.
func (c *courier) askAt() time.Time {
	switch {
	case c.asked.IsZero():
	case c.nobody:
		return c.asked.Add(c.cfg.paced(min(askSoon<<min(c.asks, 6), time.Minute)))
	default:
		return c.asked.Add(c.cfg.paced(min(askTimeout<<min(c.asks, 3), time.Minute)))
	}
	return c.nextAsk
}

// lostAt is when a batch should have its ack. A stream without a leader takes
// nothing and says nothing. One that is posted has the timeout of its exchange.
func (c *courier) lostAt() time.Time {
	wait := min(ackSoon<<min(c.lost, 3), ackTimeout)
	if c.way.name() == wayPost {
		wait = ackTimeout
	}
	for _, f := range c.flights {
		if !f.acked {
			return f.at.Add(c.cfg.paced(wait))
		}
	}
	return never
}

// staleAt is when frames that the broker has should long have been applied. It
// comes later each time that nothing moves: a projection that is down does not
// get its frames sooner by getting them more often.
func (c *courier) staleAt() time.Time {
	if len(c.flights) == 0 || !c.flights[0].acked {
		return never
	}
	return c.flights[0].at.Add(c.cfg.paced(min(staleAfter<<min(c.stale, 8), staleMost)))
}

func (c *courier) ask(now time.Time) error {
	err := c.way.ask(c.about(now))
	if !c.asked.IsZero() {
		c.asks++
	} else {
		c.expect = c.frames.Position().applied
	}
	c.asked, c.nobody = now, false
	return err
}

// take looks at what has come.
func (c *courier) take(e event, now time.Time) error {
	switch {
	case e.acked != nil:
		c.takeReceipt(e.acked, now)
	case e.standing != nil:
		return c.takeStanding(e.standing, now)
	case e.nudge != nil:
		return c.takeNudge(e.nudge, now)
	case e.nobody:
		c.nobody = true
	}
	return nil
}

func (c *courier) takeNudge(n *wire.Nudge, now time.Time) error {
	p := c.frames.Position()
	if n.Incarnation == p.incarnation {
		switch {
		case !c.stood: // the Standing comes first: it tells whether these are this outbox's numbers
		case n.Applied > p.known:
			return c.ask(now)
		default:
			c.applied(p.incarnation, n.Applied)
		}
		if n.Resync > 0 {
			c.attempt++
			c.rewind(n.Resync - 1)
		}
	}
	if n.Live > 0 {
		c.watched(n.Live, now)
	}
	if n.Ask {
		return c.ask(now)
	}
	return nil
}

func (c *courier) takeStanding(s *standing, now time.Time) error {
	p := c.frames.Position()
	if s.about != p.incarnation {
		// Of before the outbox began anew, or what another box with a copy of this
		// one's folder has asked: two that asked again for that would never end.
		return nil
	}
	c.asked, c.asks, c.nextAsk = time.Time{}, 0, now.Add(c.askPause())
	switch {
	case max(s.Applied, s.Newest) > max(p.known, p.applied): // another copy of this outbox has told it
		c.log.Warn("the cloud knows of more than this box; it counts anew", "seq", p.known, "applied", s.Applied)
		if err := c.frames.Renew(); err != nil {
			return err
		}
		c.renewed.Store(true)
		poke(c.hurry)
		c.flights, c.next, c.stood = nil, 0, false
		return c.ask(now)
	case c.stood && s.Applied < c.expect && !c.doubt:
		// It may have been answered before the last nudge, or by a node that is a
		// bit behind the others.
		c.doubt, c.nextAsk = true, now.Add(c.cfg.paced(askTimeout))
	case !c.stood, s.Applied < c.expect: // a new way, or a cloud that has lost something
		if s.Applied < p.applied {
			c.log.Warn("the cloud has lost what it had applied; it gets it again", "seq", p.applied, "applied", s.Applied)
			c.attempt++
		}
		if err := c.frames.Applied(p.incarnation, s.Applied); err != nil {
			return err
		}
		c.rewind(s.Applied)
		c.stood, c.doubt = true, false
		if p.newest > s.Applied+backlog {
			c.hold = now.Add(rand.N(c.cfg.paced(drainSpread)))
		}
	default:
		c.doubt = false
		c.applied(p.incarnation, s.Applied)
	}
	if s.Live > 0 {
		c.watched(s.Live, now)
	}
	c.policy.take(s.Policy)
	c.orders.take(s.Commands)
	if s.Renew {
		poke(c.renewal)
	}
	return nil
}

// askPause is until the next Ask. An idle box takes longer: what it is not told
// at once it will be told with the next, and a nudge is hardly ever lost.
func (c *courier) askPause() time.Duration {
	switch {
	case c.way.name() == wayPost:
		return postEvery
	case c.resting.Load():
		return c.cfg.paced(askIdle)
	}
	return c.cfg.paced(askEvery)
}

func (c *courier) watched(length wire.Seconds, now time.Time) {
	if c.liveAt.Before(now) {
		c.liveAt = now
	}
	c.liveEnd = now.Add(min(time.Duration(length), wire.MaxLiveS) * time.Second)
}
