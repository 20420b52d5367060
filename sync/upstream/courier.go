package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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
	ackTimeout  = 60 * time.Second  // an ack that has not come while others do
	staleAfter  = 30 * time.Second  // acked but not applied
	staleMost   = 10 * time.Minute
	askTimeout  = 10 * time.Second
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
	stale   int       // times in a row that the watermark did not move
	hold    time.Time // nothing is sent before
	credit  time.Time // nor before the bandwidth cap allows it
	refused int       // acks that were refusals, in a row
	asked   time.Time // an Ask without an answer, zero when there is none
	asks    int       // of those in a row
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
	if silent := c.silentAt(); !now.Before(silent.Add(deadAfter)) {
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
	if !now.Before(c.lostAt()) { // the broker answers, but not to this
		c.rewind(c.frames.Position().applied)
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
		at = earliest(at, silent.Add(deadAfter))
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
	return earliest(heard.Add(keepAlive), c.silentAt().Add(probeAfter))
}

// askAt is when to ask next: again soon while there is no answer.
func (c *courier) askAt() time.Time {
	if !c.asked.IsZero() {
		return c.asked.Add(min(askTimeout<<min(c.asks, 3), time.Minute))
	}
	return c.nextAsk
}

// lostAt is when a batch should have its ack.
func (c *courier) lostAt() time.Time {
	for _, f := range c.flights {
		if !f.acked {
			return f.at.Add(ackTimeout)
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
	return c.flights[0].at.Add(min(staleAfter<<min(c.stale, 8), staleMost))
}

func (c *courier) ask(now time.Time) error {
	err := c.way.ask(c.about(now))
	if !c.asked.IsZero() {
		c.asks++
	} else {
		c.expect = c.frames.Position().applied
	}
	c.asked = now
	return err
}

// fill sends what may be sent. The channel tells of a new bandwidth cap.
func (c *courier) fill(ctx context.Context, now time.Time) (changed <-chan struct{}) {
	for c.stood && len(c.flights) < maxFlights && !now.Before(c.hold) {
		under := 0
		for _, f := range c.flights {
			if !f.acked {
				under += f.bytes
			}
		}
		var wait time.Duration
		if wait, changed = c.meter.bucket.credit(); wait > 0 {
			c.credit = now.Add(wait)
			return changed
		}
		if under >= c.window {
			return nil
		}
		sent, more, err := c.sendNext(ctx, now, c.meter.bucket.most(min(batchBytes, c.window)))
		if err != nil {
			c.trouble(err)
			c.hold = now.Add(holdFirst)
			return nil
		}
		if !sent {
			return nil
		}
		if more { // one of many boxes that catch up: others want to get through, too
			c.hold = now.Add(drainPause/2 + rand.N(drainPause))
		}
	}
	return nil
}

// sendNext sends one batch of at most so many bytes of frames. more tells that
// the box has a lot to catch up.
func (c *courier) sendNext(ctx context.Context, now time.Time, bytes int) (sent, more bool, err error) {
	p := c.frames.Position()
	if p.newest <= c.next || p.oldest > p.newest {
		return false, false, nil
	}
	list, err := c.frames.After(c.next, wire.MaxBatchFrames, bytes)
	// A frame that is being committed can be read before it counts as the newest.
	// The cloud must not know of more than the outbox says of itself.
	list = slices.DeleteFunc(list, func(f *wire.Frame) bool { return f.GetLast() > p.newest })
	if err != nil || len(list) == 0 {
		return false, false, err
	}
	signer, err := c.signer()
	if err != nil {
		return false, false, err
	}
	data, err := wire.EncodeBatch(signer, c.body(p, list, now))
	if err != nil {
		return false, false, fmt.Errorf("encode frames %d to %d: %w", list[0].GetFirst(), list[len(list)-1].GetLast(), err)
	}
	f := flight{first: list[0].GetFirst(), last: list[len(list)-1].GetLast(), bytes: len(data), at: now}
	id := fmt.Sprintf("%s-%d", c.box.MsgID(p.incarnation, f.first), f.last)
	if c.attempt > 0 {
		id += fmt.Sprintf("-%d.%d", now.Unix(), c.attempt)
	}
	if err := c.way.send(ctx, &parcel{last: f.last, id: id, data: data}); err != nil {
		return false, false, err
	}
	c.next = f.last
	c.flights = append(c.flights, f)
	return true, p.newest-f.last > backlog, nil
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
	}
	return nil
}

func (c *courier) takeReceipt(r *receipt, now time.Time) {
	if r.err != nil {
		c.trouble(r.err)
		c.rewind(c.frames.Position().applied)
		c.hold = now.Add(holdFirst/2 + rand.N(min(holdFirst<<c.refused, holdMost)))
		c.refused = min(c.refused+1, 8)
		return
	}
	c.refused = 0
	for i := range c.flights {
		f := &c.flights[i]
		if f.last != r.last || f.acked {
			continue
		}
		f.acked = true
		switch took := now.Sub(f.at); {
		case took < quickAck:
			c.window = min(c.window+f.bytes, mostWindow)
		case took > slowAck:
			c.window = max(c.window/2, leastWindow)
		}
	}
}

func (c *courier) takeNudge(n *wire.Nudge, now time.Time) error {
	p := c.frames.Position()
	if n.Incarnation == p.incarnation {
		if n.Applied > p.newest && n.Applied > 0 { // the Standing tells what to do about it
			return c.ask(now)
		}
		c.applied(p.incarnation, n.Applied)
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
	c.asked, c.asks, c.nextAsk = time.Time{}, 0, now.Add(c.askPause())
	p := c.frames.Position()
	switch {
	case s.about != p.incarnation: // of before the outbox began anew
		return c.ask(now)
	case s.Applied > max(p.newest, p.applied):
		c.log.Warn("the cloud knows of more than this box; it counts anew", "seq", p.newest, "applied", s.Applied)
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
		c.doubt, c.nextAsk = true, now.Add(askTimeout)
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
			c.hold = now.Add(rand.N(drainSpread))
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
		return askIdle
	}
	return askEvery
}

// applied takes note of a watermark.
func (c *courier) applied(incarnation, seq uint64) {
	if err := c.frames.Applied(incarnation, seq); err != nil {
		c.trouble(err)
		return
	}
	for len(c.flights) > 0 && c.flights[0].last <= seq {
		c.flights = c.flights[1:]
		c.stale = 0
	}
	c.next = max(c.next, seq)
}

// rewind has everything after seq sent again.
func (c *courier) rewind(seq uint64) {
	kept := c.flights[:0]
	for _, f := range c.flights {
		if f.last <= seq {
			kept = append(kept, f)
		}
	}
	c.flights, c.next = kept, seq
	c.window = min(c.window, firstWindow)
}

func (c *courier) watched(length wire.Seconds, now time.Time) {
	if c.liveAt.Before(now) {
		c.liveAt = now
	}
	c.liveEnd = now.Add(min(time.Duration(length), wire.MaxLiveS) * time.Second)
}
