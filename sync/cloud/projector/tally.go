package projector

import (
	"sync/atomic"

	"signalbox/sync/wire"
)

// reasonOther counts what has no label of its own.
const reasonOther = "other"

// tally counts refusals by reason. Every reason is there from the start.
type tally map[string]*atomic.Uint64

func newTally(reasons ...string) tally {
	t := tally{reasonOther: new(atomic.Uint64)}
	for _, r := range wire.Refusals {
		t[string(r)] = new(atomic.Uint64)
	}
	for _, r := range reasons {
		t[r] = new(atomic.Uint64)
	}
	return t
}

func (t tally) add(reason string) {
	n := t[reason]
	if n == nil {
		n = t[reasonOther]
	}
	n.Add(1)
}

func (t tally) counts() map[string]uint64 {
	counts := make(map[string]uint64, len(t))
	for reason, n := range t {
		counts[reason] = n.Load()
	}
	return counts
}
