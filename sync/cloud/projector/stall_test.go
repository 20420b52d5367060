package projector

import (
	"testing"
	"time"
)

func TestStall(t *testing.T) {
	t.Parallel()
	var s stall
	now := time.Now()
	for i, step := range []struct {
		after    time.Duration
		at, last uint64
		stalled  bool
	}{
		{0, 5, 5, false},
		{time.Hour, 5, 5, false}, // nothing to read
		{time.Second, 5, 6, false},
		{stalledAfter - time.Second, 5, 6, true},
		{time.Second, 6, 9, false}, // it goes on
		{stalledAfter - time.Millisecond, 6, 9, false},
		{time.Second, 7, 9, false},
		{stalledAfter, 7, 12, true},
	} {
		now = now.Add(step.after)
		if got := s.look(step.at, step.last, now); got != step.stalled {
			t.Errorf("step %d: stalled is %v", i, got)
		}
	}
}
