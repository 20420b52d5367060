// Package upstream is a box's side of the link to the cloud: it collects what
// there is to tell into frames of the outbox, takes them to the cloud over
// whatever way there is, and carries out what comes back. It is never in the way
// of the box: without network, identity or disk it waits and tries again.
package upstream

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"signalbox/sync/upstream/identity"
	"signalbox/sync/wire"
)

// Agent is the box's side. A box that has not joined a site keeps nothing for a
// cloud: no outbox is made, and what is observed is not kept.
type Agent struct {
	cfg      Config
	log      *slog.Logger
	meter    *meter
	observed observed
	veil     atomic.Pointer[wire.Veil] // nil before the box has joined
	connects atomic.Uint64
	backedUp chan struct{} // holds one when there may be a backup to bring
	joined   chan struct{} // holds one when somebody says that the box has joined
	// counted are the process's counters that a site has been told, for the next
	// one not to count them again. Of the goroutine of Run.
	counted map[wire.MetricID]uint64

	mu       sync.Mutex // guards what Status tells
	status   Status
	member   *member                  // nil before the box has joined
	lossTold time.Time                // when the log was told last that there is no connection
	bases    map[wire.MetricID]uint64 // totals, less what this process has counted
}

// New checks cfg. It touches neither network nor disk.
func New(cfg Config) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Dir == "" || cfg.Source == nil || len(cfg.SiteKey) < wire.MinSiteKeyBytes {
		return nil, errors.New("upstream: Dir, Source and a SiteKey are required")
	}
	cfg = cfg.withDefaults()
	a := &Agent{cfg: cfg, log: cfg.Logger, meter: newMeter(cfg.UplinkRate), backedUp: make(chan struct{}, 1), joined: make(chan struct{}, 1)}
	if cfg.connect != nil {
		a.meter.connect = cfg.connect
	}
	a.status.Level = cfg.Level
	return a, nil
}

// Run works until ctx is cancelled. Nothing that can go wrong here is a reason
// to stop the box, so it returns nil.
func (a *Agent) Run(ctx context.Context) error {
	for {
		id := a.awaitJoin(ctx)
		if id == nil {
			return nil
		}
		m := a.newMember(ctx, id)
		if m == nil {
			return nil
		}
		a.setMember(m)
		m.run(ctx)
		a.setMember(nil)
	}
}

// mendEvery is how often the agent looks whether an identity that cannot be used
// has been mended, of which nobody tells it.
const mendEvery = 2 * time.Second

// awaitJoin returns the identity of the box, as soon as it has one; nil when ctx
// ends before.
func (a *Agent) awaitJoin(ctx context.Context) Identity {
	told := ""
	for ctx.Err() == nil {
		id, err := a.cfg.open(a.cfg.Dir, a.cfg.CA)
		if err == nil {
			return id
		}
		every := identity.LookEvery
		if errors.Is(err, identity.ErrNone) {
			a.fault(nil)
		} else {
			a.fault(err)
			every = mendEvery
			if told != err.Error() {
				told = err.Error()
				a.log.Error("identity cannot be used", "err", err)
			}
		}
		a.awaitLook(ctx, every)
	}
	return nil
}

// awaitLook waits until it is time to look again whether the box has joined.
func (a *Agent) awaitLook(ctx context.Context, every time.Duration) {
	timer := time.NewTimer(every)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.joined:
	case <-ctx.Done():
	}
}

// Look has the agent look for another identity now: the box has just joined a
// site, or another one. It does not wait for what comes of it.
func (a *Agent) Look() {
	poke(a.joined)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.member != nil {
		poke(a.member.hurry)
	}
}

func openIdentity(dir, ca string) (Identity, error) {
	return identity.Open(dir, identity.Options{CAFile: ca})
}

// Took adds a duration to a distribution of the hour. It is quick and may be
// called from anywhere.
func (a *Agent) Took(id wire.MetricID, took time.Duration) {
	a.observed.add(id, time.Now(), float64(took)/float64(time.Millisecond))
}

// Saw counts a device among those of the hour. Only a keyed hash of it is kept.
func (a *Agent) Saw(device string) {
	if veil := a.veil.Load(); veil != nil {
		a.observed.see(veil.Hash(device), time.Now())
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
