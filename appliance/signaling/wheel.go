package signaling

import (
	"context"
	"sync"
	"time"
)

const (
	wheelTick  = 250 * time.Millisecond
	wheelSlots = 1024 // a turn of about four minutes; what is due later comes round again
)

// wheel is the one clock of all sessions: pings, time-outs, expiries. A timer
// per session would cost a heap entry and a wake-up each.
type wheel struct {
	start  time.Time
	woken  chan struct{}
	pulses chan chan struct{} // each is closed by the goroutine that turns the wheel

	mu    sync.Mutex
	slots [wheelSlots][]*Session
	tick  int64 // the next tick to be run
	count int
}

func newWheel() *wheel {
	return &wheel{start: time.Now(), woken: make(chan struct{}, 1), pulses: make(chan chan struct{}), tick: 1}
}

// schedule has the session looked at when due, or earlier if it already is to be.
func (w *wheel) schedule(s *Session, due time.Time) {
	at := int64(due.Sub(w.start)/wheelTick) + 1
	w.mu.Lock()
	if w.count == 0 { // the wheel stood still
		w.tick = max(w.tick, int64(time.Since(w.start)/wheelTick)+1)
	}
	at = min(max(at, w.tick), w.tick+wheelSlots-1)
	if s.wheelAt != 0 && s.wheelAt <= at {
		w.mu.Unlock()
		return
	}
	s.wheelAt = at
	w.slots[at%wheelSlots] = append(w.slots[at%wheelSlots], s)
	w.count++
	first := w.count == 1
	w.mu.Unlock()
	if first {
		w.wake()
	}
}

func (w *wheel) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// run turns the wheel until ctx ends. With nothing scheduled it sleeps, so an
// idle box does not wake up.
func (w *wheel) run(ctx context.Context, fire func(*Session, time.Time)) {
	ticker := time.NewTicker(wheelTick)
	defer ticker.Stop()
	for {
		w.mu.Lock()
		idle := w.count == 0
		w.mu.Unlock()
		if idle {
			ticker.Stop()
			select {
			case <-ctx.Done():
				return
			case beat := <-w.pulses:
				close(beat)
				continue
			case <-w.woken:
				ticker.Reset(wheelTick)
			}
		}
		select {
		case <-ctx.Done():
			return
		case beat := <-w.pulses:
			close(beat)
		case now := <-ticker.C:
			for _, s := range w.due(now) {
				fire(s, now)
			}
		}
	}
}

// pulse has the goroutine that turns the wheel answer.
func (w *wheel) pulse(ctx context.Context) error {
	beat := make(chan struct{})
	select {
	case w.pulses <- beat:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	<-beat
	return nil
}

// due takes out the sessions whose time has come.
func (w *wheel) due(now time.Time) []*Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	var due []*Session
	for last := int64(now.Sub(w.start) / wheelTick); w.tick <= last; w.tick++ {
		slot := &w.slots[w.tick%wheelSlots]
		for _, s := range *slot {
			if s.wheelAt == w.tick { // else it was moved to an earlier tick
				s.wheelAt = 0
				due = append(due, s)
			}
		}
		w.count -= len(*slot)
		*slot = nil
	}
	return due
}
