package projection

import (
	"context"
	"maps"
	"slices"
	"sync"

	"signalbox/sync/wire"
)

// Feed tells a subscriber which boxes have changed. One that is slow gets the
// changes of many transactions as one, and beyond a bound the advice to look at
// everything again: it never holds the projection up.
type Feed struct {
	p     *Projection
	ready chan struct{} // holds one token while something waits

	mu     sync.Mutex
	boxes  map[wire.BoxID]struct{}
	resync bool
}

// Change is what has changed since the last.
type Change struct {
	Seq    uint64       // of the stream, up to which the changes are
	Boxes  []wire.BoxID // by id
	Resync bool         // too much has changed to name it
}

// Subscribe begins a feed with the next change. Close ends it.
func (p *Projection) Subscribe() *Feed {
	f := &Feed{p: p, ready: make(chan struct{}, 1), boxes: map[wire.BoxID]struct{}{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.feeds[f] = struct{}{}
	return f
}

// Close ends the feed; Next must not be called after it.
func (f *Feed) Close() {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	delete(f.p.feeds, f)
}

// tell is called with views that have just been shown.
func (f *Feed) tell(changed []*BoxView) {
	if len(changed) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range changed {
		f.boxes[v.ID] = struct{}{}
	}
	if len(f.boxes) > maxFeedings {
		f.resync = true
		clear(f.boxes)
	}
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// Next waits for a change. It returns the error of ctx when that ends.
func (f *Feed) Next(ctx context.Context) (Change, error) {
	select {
	case <-f.ready:
	case <-ctx.Done():
		return Change{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := Change{Seq: f.p.Position().Seq, Resync: f.resync}
	if !c.Resync {
		c.Boxes = slices.SortedFunc(maps.Keys(f.boxes), compareIDs)
	}
	clear(f.boxes)
	f.resync = false
	return c, nil
}
