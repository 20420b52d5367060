package dashboard

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"signalbox/sync/wire"
)

// Keys in the registry.
const goingPrefix = "going."

const (
	// goneFor is how long a box has no connection before that is an event: less
	// is a node that restarts or a box that changes its address.
	goneFor    = 30 * time.Second
	maxGoings  = 20               // kept of a box, the newest
	goingsTurn = 50               // records written in one turn: deliveries go first
	latestSaid = 11 * time.Minute // after which a change was told late, as the projection has it
)

// Kinds of events that the cloud sees by itself. Those of a box's alerts have
// the alert's kind.
const (
	EventJoined  = "joined"
	EventOnline  = "online"
	EventOffline = "offline"
	EventVersion = "version"
	EventRevoked = "revoked"
)

// going is how a box came and went, the same on every node. It is no part of
// the projection: presence is not in the stream.
type going struct {
	Online  bool      `json:"online"`
	Since   time.Time `json:"since"`
	Version string    `json:"version,omitempty"`
	Past    []went    `json:"past,omitempty"` // the oldest first
}

// went is an event of a box that came, went or changed its version.
type went struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	What string    `json:"what,omitempty"` // the version, or for how long it was away
	Was  string    `json:"was,omitempty"`  // the version before
	Late bool      `json:"late,omitempty"`
}

func (w *went) event(box string) Event {
	e := Event{At: w.At, Box: box, Kind: w.Kind, Raised: true, Late: w.Late}
	switch w.Kind {
	case EventOnline:
		e.Text = "Box " + box + " is connected."
		if w.What != "" {
			e.Text = "Box " + box + " is connected again, after " + w.What + "."
		}
	case EventOffline:
		e.Text = "Box " + box + " lost its connection to the cloud."
	default:
		e.Text = "Box " + box + " runs version " + w.What + "; before, it was " + w.Was + "."
	}
	return e
}

// look is the record after a box was seen, and whether that changed it. gone is
// since when it has no connection, zero when it has one.
func (g going) look(box *BoxRow, gone, now time.Time, after time.Duration) (going, bool) {
	past, changed := slices.Clone(g.Past), false
	if g.Since.IsZero() {
		g.Online, g.Since, changed = box.Online, now, true
	}
	switch {
	case box.Online && !g.Online:
		w, again := went{At: now, Kind: EventOnline}, slices.ContainsFunc(past, func(w went) bool { return w.Kind == EventOffline })
		if again {
			w.What = spell(now.Sub(g.Since))
		}
		if again || now.Sub(g.Since) >= after { // else it has just joined, which is an event already
			past = append(past, w)
		}
		changed = true
		g.Online, g.Since = true, now
	case !box.Online && g.Online && !box.Revoked.IsZero(): // which is an event already
		g.Online, g.Since, changed = false, box.Revoked, true
	case !box.Online && g.Online && now.Sub(gone) >= after:
		past, changed = append(past, went{At: gone, Kind: EventOffline}), true
		g.Online, g.Since = false, gone
	}
	if v := box.Version; v != "" && v != g.Version {
		if g.Version != "" {
			at := cmp.Or(box.Started, box.Seen, now) // it has one version while it runs
			if at.After(now) {
				at = now
			}
			past = append(past, went{At: at.UTC().Truncate(time.Second), Kind: EventVersion, What: v, Was: g.Version, Late: now.Sub(at) > latestSaid})
		}
		g.Version, changed = v, true
	}
	g.Past = past[max(0, len(past)-maxGoings):]
	return g, changed
}

// goings writes down how boxes come and go. Only the node that tells webhooks
// does so, and only its run calls turn.
type goings struct {
	board *board
	after time.Duration
	seen  map[string]*entry // by site, as it was written down
	gone  map[wire.BoxID]time.Time
	swept bool // no record is left of a site that is gone
}

func newGoings(b *board) *goings {
	return &goings{board: b, after: goneFor}
}

// begin forgets what this node saw when it last had the lease.
func (g *goings) begin() {
	g.seen, g.gone, g.swept = map[string]*entry{}, map[wire.BoxID]time.Time{}, false
}

// turn brings the records up to date. A record that could not be written, or is
// more than goingsTurn, is written in another turn.
func (g *goings) turn(ctx context.Context, l *lease, s *snapshot, now time.Time) {
	left := goingsTurn
	for name, e := range s.sites {
		if g.seen[name] == e {
			continue
		}
		if g.site(ctx, l, e, now.UTC().Truncate(time.Second), &left) {
			g.seen[name] = e
		}
	}
	for name := range g.seen {
		if s.sites[name] == nil {
			delete(g.seen, name)
			g.swept = false
		}
	}
	if !g.swept {
		g.swept = g.sweep(ctx, l, s)
	}
}

// site looks at the boxes of one, and tells whether nothing is left to do until
// it changes.
func (g *goings) site(ctx context.Context, l *lease, e *entry, now time.Time, left *int) (done bool) {
	done = true
	for i := range e.row.Boxes {
		box, id := &e.row.Boxes[i], e.members[i].ID
		if box.Online {
			delete(g.gone, id)
		} else if g.gone[id].IsZero() {
			g.gone[id] = now
		}
		was, _ := g.board.goings.get(id.String())
		is, changed := was.look(box, g.gone[id], now, g.after)
		if changed {
			if *left--; *left < 0 || !l.held() {
				return false
			}
			if err := g.board.goings.put(ctx, id.String(), is); err != nil {
				g.board.log.Warn("coming or going of a box not written", "site", id.Site, "err", err)
				return false
			}
		}
		done = done && is.Online == box.Online
	}
	return done
}

// sweep takes records away of boxes whose site is gone, and tells whether it
// got through.
func (g *goings) sweep(ctx context.Context, l *lease, s *snapshot) (done bool) {
	maps.DeleteFunc(g.gone, func(id wire.BoxID, _ time.Time) bool { return s.sites[id.Site] == nil })
	for key := range g.board.goings.list() {
		id, err := wire.ParseBoxID(key)
		if err != nil || id.Tenant != g.board.cfg.Tenant || s.sites[id.Site] != nil {
			continue
		}
		if _, there := g.board.cfg.Registry.Site(id.Site); there {
			continue // made since the snapshot
		}
		if !l.held() || g.board.goings.remove(ctx, key) != nil {
			return false
		}
	}
	return true
}
