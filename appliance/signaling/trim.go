package signaling

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// trim returns memory to the system after a wave of connections has come or
// gone. A handshake leaves several times as much garbage as its connection
// keeps, and when all is quiet afterwards nothing else would have the runtime
// collect it: the box would hold on to it for minutes, and to a part for good.
type trim struct {
	wake  chan struct{}
	moves atomic.Int64 // connections that came or went since the last trim
}

const (
	trimMoves = 100         // fewer are not worth a collection
	trimQuiet = time.Second // without another: the wave is over
	trimWaits = 10          // or so many times that long
)

func newTrim() *trim { return &trim{wake: make(chan struct{}, 1)} }

// moved notes that a connection has come or gone.
func (t *trim) moved() {
	if t.moves.Add(1) == trimMoves {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// run trims after each wave, until ctx ends. Between them it sleeps.
func (t *trim) run(ctx context.Context, free func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		}
		if !t.calm(ctx) {
			return
		}
		t.moves.Store(0)
		free()
	}
}

// calm waits until the wave is over; false when ctx ends first.
func (t *trim) calm(ctx context.Context) bool {
	timer := time.NewTimer(trimQuiet)
	defer timer.Stop()
	for range trimWaits {
		before := t.moves.Load()
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
		if t.moves.Load() == before {
			return true
		}
		timer.Reset(trimQuiet)
	}
	return true
}

// returnMemory collects twice: what pools hold survives one collection.
func returnMemory() {
	runtime.GC()
	debug.FreeOSMemory()
}
