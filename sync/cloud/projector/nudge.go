package projector

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/wire"
)

// nudger tells boxes how far the projection has come, each at most once in
// NudgeEvery, and asks for frames that stay missing. It keeps one entry for each
// box that waits for one or the other.
type nudger struct {
	conn        *nats.Conn
	projection  *projection.Projection
	every       time.Duration
	resyncAfter time.Duration
	nudges      atomic.Uint64
	resyncs     atomic.Uint64

	mu      sync.Mutex
	waiting map[wire.BoxID]*projection.BoxView // changed since they were told
	gaps    map[wire.BoxID]gap
	all     bool // every box is to send again what is not applied, once caught up
	ready   bool
}

// gap is a box of which frames are missing.
type gap struct {
	applied uint64    // up to where it begins
	due     time.Time // when to ask for them
}

func newNudger(cfg *Config) *nudger {
	return &nudger{
		conn: cfg.Conn, projection: cfg.Projection, every: cfg.NudgeEvery, resyncAfter: cfg.ResyncAfter,
		waiting: map[wire.BoxID]*projection.BoxView{}, gaps: map[wire.BoxID]gap{},
	}
}

// begin is called once the projection has caught up: what it lacks then is
// missing in the stream.
func (n *nudger) begin() {
	views := n.projection.Overview()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ready = true
	for _, v := range views {
		n.lookLocked(v)
	}
}

// resyncAll asks every box to send again what is not applied: the stream has
// lost messages that it had acknowledged.
func (n *nudger) resyncAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = true
}

// tell notes boxes that have changed.
func (n *nudger) tell(changed []*projection.BoxView) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, v := range changed {
		n.waiting[v.ID] = v
		n.lookLocked(v)
	}
}

func (n *nudger) lookLocked(v *projection.BoxView) {
	g, ok := n.gaps[v.ID]
	switch {
	case v.Gap.IsZero():
		delete(n.gaps, v.ID)
	case !ok || g.applied != v.Applied:
		n.gaps[v.ID] = gap{v.Applied, time.Now().Add(n.resyncAfter)}
	}
}

func (n *nudger) run(ctx context.Context) error {
	for sleep(ctx, n.every) {
		for _, v := range n.due(time.Now()) {
			n.publish(v.view, v.resync)
		}
	}
	return nil
}

// call is one nudge to send.
type call struct {
	view   *projection.BoxView
	resync bool
}

// due takes what is to be sent now. To ask again for the same frames it waits
// twice as long.
func (n *nudger) due(now time.Time) []call {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ready {
		return nil
	}
	var calls []call
	if n.all {
		n.all = false
		for _, v := range n.projection.Overview() {
			calls = append(calls, call{v, true})
			delete(n.waiting, v.ID)
		}
	}
	for id, g := range n.gaps {
		if g.due.After(now) {
			continue
		}
		if v := n.projection.Box(id); v != nil {
			calls = append(calls, call{v, true})
			delete(n.waiting, id)
		}
		n.gaps[id] = gap{g.applied, now.Add(2 * n.resyncAfter)}
	}
	for _, v := range n.waiting {
		calls = append(calls, call{v, false})
	}
	clear(n.waiting)
	return calls
}

func (n *nudger) publish(v *projection.BoxView, resync bool) {
	if v.Incarnation == 0 {
		return
	}
	nudge := wire.Nudge{Incarnation: v.Incarnation, Applied: v.Applied}
	if resync {
		nudge.Resync = v.Applied + 1
		n.resyncs.Add(1)
	}
	data, err := json.Marshal(nudge)
	if err != nil {
		return // numbers always marshal
	}
	// A nudge that is lost is made up for by the next Standing.
	if n.conn.Publish(v.ID.NudgeSubject(), data) == nil {
		n.nudges.Add(1)
	}
}
