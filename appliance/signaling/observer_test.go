package signaling_test

import (
	"sync"
	"testing"
	"time"

	"signalbox/appliance/loadgen"
	"signalbox/appliance/signaling"
)

// watcher notes what an observer is told.
type watcher struct {
	mu   sync.Mutex
	took map[signaling.Stage][]time.Duration
	trip chan struct{} // closed after a round trip
	seen []string
}

func (w *watcher) Took(stage signaling.Stage, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took[stage] = append(w.took[stage], took)
	if stage == signaling.StageRoundTrip && len(w.took[stage]) == 1 {
		close(w.trip)
	}
}

func (w *watcher) Seen(subject string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, subject)
}

// The observer hears of each stage once, and the counters of sessions and rooms
// agree with what clients did.
func TestObserver(t *testing.T) {
	w := &watcher{took: map[signaling.Stage][]time.Duration{}, trip: make(chan struct{})}
	b := start(t, func(c *signaling.Config) { c.Observer, c.PingEvery = w, time.Second })
	cam, panel := b.device("cam-7"), b.device("panel-2")
	for _, c := range []*loadgen.Client{cam, panel} {
		join(t, c, "line-3")
	}
	join(t, cam, "line-4")
	send(t, panel, loadgen.Send{Type: "offer", Room: "line-3", To: cam.Member(), Gen: 2, Data: jsonOf(`{}`)})
	await(t, cam, "offer")
	for range 2 { // an answer that is said twice is one answer
		send(t, cam, loadgen.Send{Type: "answer", Room: "line-3", To: panel.Member(), Gen: 2, Data: jsonOf(`{}`)})
		await(t, panel, "answer")
	}
	send(t, cam, loadgen.Send{Type: "leave", ID: 9, Room: "line-4"})
	await(t, cam, "ok")
	select {
	case <-w.trip:
	case <-time.After(15 * time.Second):
		t.Fatal("no round trip was measured")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.took[signaling.StageJoin]) != 2 || len(w.took[signaling.StageAnswer]) != 1 {
		t.Errorf("observed %v, want two joins and one answer", w.took)
	}
	for stage, all := range w.took {
		for _, d := range all {
			if d <= 0 || d > 10*time.Second {
				t.Errorf("stage %v took %v", stage, d)
			}
		}
	}
	if len(w.seen) != 2 {
		t.Errorf("seen %v, want each device once", w.seen)
	}
	if st := b.Stats(); st.Opened != 2 || st.RoomsCreated != 2 || st.RoomsClosed != 1 {
		t.Errorf("opened %d sessions, created %d rooms, closed %d; want 2, 2 and 1", st.Opened, st.RoomsCreated, st.RoomsClosed)
	}
}
