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
	in, out atomic.Uint64
	last    atomic.Int64 // when it was here last, Unix nanoseconds
	posted  atomic.Int64 // when it posted last

	// Guarded by the gateway's mu.
	tunnels []*tunnel // oldest first
	posts   int
}

func (g *Gateway) boxLocked(id wire.BoxID) *box {
	b := g.boxes[id]
	if b == nil {
		b = &box{limit: rate.NewLimiter(rate.Limit(g.cfg.BoxRate), g.cfg.BoxBytes)}
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

// admit counts a tunnel in. replaced, if any, is to be ended.
func (g *Gateway) admit(t *tunnel) (replaced *tunnel, why *refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stop {
		return nil, refusedStopping
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
	g.tunnels.Add(1)
	return replaced, nil
}

// room tells whether one more tunnel may come.
func (g *Gateway) room() *refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
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
	g.tunnels.Done()
}

// startPost counts a post in, or says why not.
func (g *Gateway) startPost(id wire.BoxID) (*box, *refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stop {
		return nil, refusedStopping
	}
	if g.posts >= g.cfg.MaxPosts {
		return nil, refusedFull
	}
	b := g.boxLocked(id)
	if b.posts >= maxPostsOfBox {
		return nil, refusedBusy
	}
	g.posts++
	b.posts++
	return b, nil
}

func (g *Gateway) endPost(b *box) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.posts--
	b.posts--
}
