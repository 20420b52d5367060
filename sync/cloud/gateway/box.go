package gateway

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"signalbox/sync/wire"
)

// box is what a node remembers of a box that has been here: boxes of the
// registry and no others, so their number is bounded by it.
type box struct {
	limit   *rate.Limiter // of bytes
	lines   *rate.Limiter
	in, out atomic.Uint64
	last    atomic.Int64 // when it was here last, Unix nanoseconds
	posted  atomic.Int64 // when it posted last
	warned  atomic.Int64 // when the log was last told of what it sent

	// Guarded by the gateway's mu.
	tunnels []*tunnel // oldest first
	posts   int
}

func (g *Gateway) boxLocked(id wire.BoxID) *box {
	b := g.boxes[id]
	if b == nil {
		b = &box{
			limit: rate.NewLimiter(rate.Limit(g.cfg.BoxRate), g.cfg.BoxBytes),
			lines: rate.NewLimiter(rate.Limit(g.cfg.BoxLineRate), g.cfg.BoxLines),
		}
		g.boxes[id] = b
	}
	return b
}

// BoxStats is what a node knows of a box.
type BoxStats struct {
	Tunnels  int
	Since    time.Time // of the newest tunnel
	Last     time.Time // it was heard, zero if never
	BytesIn  uint64    // since this node's start
	BytesOut uint64
}

// Box returns what this node knows of a box.
func (g *Gateway) Box(id wire.BoxID) BoxStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.boxes[id]
	if b == nil {
		return BoxStats{}
	}
	s := BoxStats{Tunnels: len(b.tunnels), BytesIn: b.in.Load(), BytesOut: b.out.Load()}
	if at := b.last.Load(); at != 0 {
		s.Last = time.Unix(0, at)
	}
	if n := len(b.tunnels); n > 0 {
		s.Since = b.tunnels[n-1].since
	}
	return s
}

// admit counts a tunnel in. replaced, if any, is to be ended: it does not count
// any more.
func (g *Gateway) admit(t *tunnel) (replaced *tunnel, why *refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if why := g.roomLocked(); why != nil {
		return nil, why
	}
	b := g.boxLocked(t.id)
	if len(b.tunnels) >= maxTunnelsOfBox {
		replaced = b.tunnels[0]
		b.tunnels = append(b.tunnels[:0], b.tunnels[1:]...)
		g.open--
	}
	b.tunnels = append(b.tunnels, t)
	t.box = b
	g.open++
	g.tunnels.Add(2) // inward and outward
	return replaced, nil
}

// room tells whether one more tunnel may come.
func (g *Gateway) room() *refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.roomLocked()
}

func (g *Gateway) roomLocked() *refusal {
	switch {
	case g.stop:
		return refusedStopping
	case g.open >= g.cfg.MaxTunnels:
		return refusedFull
	default:
		return nil
	}
}

// dismiss counts a tunnel out.
func (g *Gateway) dismiss(t *tunnel) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range t.box.tunnels {
		if other == t {
			t.box.tunnels = append(t.box.tunnels[:i], t.box.tunnels[i+1:]...)
			g.open--
			break
		}
	}
}

// startPost counts a post in before anything of it is read.
func (g *Gateway) startPost() *refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stop:
		return refusedStopping
	case g.posts >= g.cfg.MaxPosts:
		return refusedFull
	default:
		g.posts++
		return nil
	}
}

func (g *Gateway) endPost() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.posts--
}

// startPostOf counts in those of one box; nil if it has too many.
func (g *Gateway) startPostOf(id wire.BoxID) *box {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.boxLocked(id)
	if b.posts >= maxPostsOfBox {
		return nil
	}
	b.posts++
	return b
}

func (g *Gateway) endPostOf(b *box) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b.posts--
}
