package projector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/wire"
)

// Projector feeds one projection. Its methods may be called concurrently.
type Projector struct {
	cfg       Config
	judge     *judge
	nudger    *nudger
	roller    *roller
	allowance *allowance
	ahead     *ahead        // nil without Config.Ahead
	results   chan struct{} // holds one token when outcomes may wait
	ready     chan struct{} // closed when the projection has caught up for the first time

	lag     atomic.Uint64 // messages of the stream that were not read yet
	applied atomic.Uint64 // messages
	resets  atomic.Uint64
	asks    atomic.Uint64
	refused tally // asks
	spurned tally // messages of the stream
	health  atomic.Pointer[error]
}

// New checks cfg. Nothing runs before Run.
func New(cfg Config) (*Projector, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	p := &Projector{
		cfg: cfg, judge: newJudge(cfg.Keys), nudger: newNudger(&cfg), results: make(chan struct{}, 1), ready: make(chan struct{}),
	}
	p.roller, p.allowance = newRoller(&cfg), newAllowance(cfg.AskEvery)
	p.refused = newTally(refusedReply, refusedOften)
	p.spurned = newTally(refusedSubject, refusedUnknown, refusedNoKey, refusedEnded)
	p.lag.Store(^uint64(0))
	if cfg.Ahead {
		p.ahead = newAhead(&cfg)
	}
	return p, nil
}

// Run keeps the projection up until ctx ends. A broker that cannot be reached
// and a disk that is full are tried again, see Healthy; Run fails only with
// projection.ErrDamaged.
func (p *Projector) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.follow(ctx) })
	g.Go(func() error { return p.nudger.run(ctx) })
	g.Go(func() error { return p.afterReady(ctx, p.answer) })
	g.Go(func() error { return p.afterReady(ctx, p.roller.run) })
	g.Go(func() error { return p.handOn(ctx) })
	if p.ahead != nil {
		g.Go(func() error {
			return p.afterReady(ctx, func(ctx context.Context) error { return p.ahead.run(ctx, p.cfg.Conn) })
		})
	}
	return g.Wait()
}

// afterReady runs what must not begin before the projection has caught up: one
// that is behind would make boxes send again what is on its way.
func (p *Projector) afterReady(ctx context.Context, run func(context.Context) error) error {
	select {
	case <-p.ready:
		return run(ctx)
	case <-ctx.Done():
		return nil
	}
}

// Ready is closed once the projection has caught up with the stream.
func (p *Projector) Ready() <-chan struct{} { return p.ready }

// Over returns the view with what its box has said since, where the stream has
// not handed that on; see Config.Ahead.
func (p *Projector) Over(view *projection.BoxView) *projection.BoxView {
	if p.ahead == nil {
		return view
	}
	return p.ahead.over(view)
}

// WatchOver has tell called with each box of which Over shows something else
// than before, until stop. tell must not wait, nor call the Projector.
func (p *Projector) WatchOver(tell func(wire.BoxID)) (stop func()) {
	if p.ahead == nil {
		return func() {}
	}
	return p.ahead.watch(tell)
}

// Healthy returns why the projection does not follow the stream, nil if it does.
func (p *Projector) Healthy() error {
	if err := p.health.Load(); err != nil {
		return *err
	}
	return nil
}

// Stats are counts since the start, and where the projection is.
type Stats struct {
	Position projection.Position
	Lag      uint64 // messages of the stream not read yet; the highest number before it is known
	Applied  uint64 // messages applied, also such that changed nothing
	Resets   uint64 // how often the stream was read again from the start
	Nudges   uint64
	Resyncs  uint64 // nudges that asked for frames again
	Asks     uint64 // answered
	// AsksRefused and BatchesRefused count by reason; every reason is in them.
	AsksRefused    map[string]uint64
	BatchesRefused map[string]uint64
	// Of Config.Ahead: batches and boxes shown ahead of the stream, and batches
	// that were not by reason; nil without it.
	AheadShown   uint64
	AheadBoxes   int
	AheadDropped map[string]uint64
	Rolled       uint64 // hours written to RU
	Leader       bool   // writes them now
}

// Stats returns them.
func (p *Projector) Stats() Stats {
	_, leader := p.roller.lease.held()
	s := Stats{
		Position: p.cfg.Projection.Position(), Lag: p.lag.Load(), Applied: p.applied.Load(), Resets: p.resets.Load(),
		Nudges: p.nudger.nudges.Load(), Resyncs: p.nudger.resyncs.Load(), Asks: p.asks.Load(), AsksRefused: p.refused.counts(), BatchesRefused: p.spurned.counts(),
		Rolled: p.roller.rolled.Load(), Leader: leader,
	}
	if p.ahead != nil {
		s.AheadShown, s.AheadBoxes, s.AheadDropped = p.ahead.shown.Load(), p.ahead.count(), p.ahead.dropped.counts()
	}
	return s
}

// sleep waits, or returns false when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// handOn gives outcomes of commands to who waits for them. They lie in the
// projection until that has succeeded.
func (p *Projector) handOn(ctx context.Context) error {
	p.wakeResults()
	for {
		select {
		case <-p.results:
		case <-ctx.Done():
			return nil
		}
		err := p.handOnAll(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		p.cfg.Logger.Warn("results of commands wait", "err", err)
		if sleep(ctx, p.cfg.CheckEvery) {
			p.wakeResults()
		}
	}
}

// maxFailing are boxes whose outcomes are not taken after which nobody's are
// thought to be.
const maxFailing = 8

// handOnAll goes through all outcomes once. One that is not taken holds up those
// of its own box and of no other.
func (p *Projector) handOnAll(ctx context.Context) error {
	var first error
	var after *projection.Result
	failing := map[wire.BoxID]bool{}
	for len(failing) < maxFailing {
		some, err := p.cfg.Projection.Results(after, 64)
		if err != nil || len(some) == 0 {
			return errors.Join(first, err)
		}
		var done []projection.Result
		for _, r := range some {
			if failing[r.Box] || len(failing) >= maxFailing {
				continue
			}
			if err := p.cfg.Results.Result(ctx, r); err != nil {
				failing[r.Box] = true
				first = cmp.Or(first, fmt.Errorf("command %s of %s: %w", r.ID, r.Box, err))
				continue
			}
			done = append(done, r)
		}
		if err := p.cfg.Projection.Done(done); err != nil {
			return err
		}
		after = &some[len(some)-1]
	}
	return first
}

func (p *Projector) wakeResults() {
	select {
	case p.results <- struct{}{}:
	default:
	}
}
