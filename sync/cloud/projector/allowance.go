package projector

import (
	"time"

	"signalbox/sync/wire"
)

// Bounds of what boxes may ask. A box in use asks when it connects and after a
// nudge, so twice a second at most; one that posts does so with every batch, and
// while it catches up there are ten of those a second.
const (
	asksAtOnce    = 64
	maxAllowances = 8192
)

// allowance bounds how often each box is answered, so that none keeps the node
// from answering others. It is used by one goroutine.
type allowance struct {
	every time.Duration // a box gets one more Ask
	used  map[wire.BoxID]asked
}

// asked is how many Asks a box had used up at a time.
type asked struct {
	level float64
	at    time.Time
}

func newAllowance(every time.Duration) *allowance {
	return &allowance{every, map[wire.BoxID]asked{}}
}

func (a *allowance) levelOf(u asked, now time.Time) float64 {
	return max(0, u.level-float64(now.Sub(u.at))/float64(a.every))
}

// take reports whether the box may ask now, and counts it if so.
func (a *allowance) take(box wire.BoxID, now time.Time) bool {
	u, known := a.used[box]
	level := a.levelOf(u, now)
	if level > asksAtOnce-1 {
		return false
	}
	if !known && len(a.used) >= maxAllowances {
		a.makeRoom(now)
	}
	a.used[box] = asked{level + 1, now}
	return true
}

// makeRoom forgets boxes that have all of theirs back; if that is none, anybody:
// whoever asks beyond that begins with a full allowance.
func (a *allowance) makeRoom(now time.Time) {
	for box, u := range a.used {
		if a.levelOf(u, now) == 0 {
			delete(a.used, box)
		}
	}
	for box := range a.used {
		if len(a.used) < maxAllowances {
			return
		}
		delete(a.used, box)
	}
}
