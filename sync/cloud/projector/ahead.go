package projector

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/wire"
)

// Why a batch is not shown ahead of the stream, beside the reasons of batches
// that are refused. None of it is lost: the stream brings it, or the box sends
// it again.
const (
	aheadRoom        = "room"        // too many wait to see whether the stream brings them
	aheadCrowded     = "crowded"     // newer ones of the same box took its place
	aheadIncarnation = "incarnation" // the box may have begun anew: the stream has to say so
	aheadKnown       = "known"       // nothing in it is newer than what is known
	aheadEnded       = "ended"       // it was shown for aheadFor and the stream has not brought it
)

const (
	// aheadAfter is how long the stream has to bring a batch. In the common case
	// it does so within some 20 ms, and none is verified twice.
	aheadAfter  = 250 * time.Millisecond
	aheadEvery  = 125 * time.Millisecond // between looks at those that wait
	aheadFor    = 2 * time.Minute        // boxes send again every minute what has no answer
	aheadBytes  = 32 << 20               // of batches that wait
	aheadPerBox = 4                      // of those
)

// ahead shows what boxes say before the stream hands it on. While a cluster
// elects who leads the stream, which takes 4 to 10 s, nobody stores what is
// published and no consumer gets it; those who subscribe to its subject do.
//
// Everything waits a moment for the stream first. What is shown was verified as
// what the stream brings is, and only until that has come: the projection remains
// the only truth.
type ahead struct {
	projection *projection.Projection
	judge      *judge
	dropped    tally
	shown      atomic.Uint64 // batches

	mu    sync.Mutex
	waits map[wire.BoxID][]heard
	bytes int // in waits
	boxes map[wire.BoxID]*aheadBox
	tell  map[*func(wire.BoxID)]struct{}
}

// heard is a batch that the stream has not brought.
type heard struct {
	data []byte
	at   time.Time
}

// aheadBox is a box that is ahead of the projection, or was a moment ago.
type aheadBox struct {
	projection.Ahead
	last time.Time // when it was heard
}

func newAhead(cfg *Config) *ahead {
	j := newJudge(cfg.Keys)
	j.memory = true
	return &ahead{
		projection: cfg.Projection, judge: j,
		dropped: newTally(refusedSubject, refusedUnknown, refusedNoKey, refusedEnded, aheadRoom, aheadCrowded, aheadIncarnation, aheadKnown, aheadEnded),
		waits:   map[wire.BoxID][]heard{}, boxes: map[wire.BoxID]*aheadBox{}, tell: map[*func(wire.BoxID)]struct{}{},
	}
}

// run listens until ctx ends.
func (a *ahead) run(ctx context.Context, conn *nats.Conn) error {
	sub, err := conn.Subscribe(wire.AllFrames, a.hear)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	for sleep(ctx, aheadEvery) {
		a.look(ctx, time.Now())
	}
	return nil
}

// hear is called by the connection's goroutine; it only takes note.
func (a *ahead) hear(m *nats.Msg) {
	box, err := wire.ParseSubject(m.Subject)
	if err != nil {
		a.dropped.add(refusedSubject)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.waits[box]
	if len(list) == aheadPerBox {
		a.bytes -= len(list[0].data)
		list = list[1:]
		a.dropped.add(aheadCrowded)
	}
	if a.bytes+len(m.Data) > aheadBytes {
		a.dropped.add(aheadRoom)
	} else {
		a.bytes += len(m.Data)
		list = append(list, heard{m.Data, time.Now()})
	}
	a.keepLocked(box, list)
}

func (a *ahead) keepLocked(box wire.BoxID, list []heard) {
	if len(list) == 0 {
		delete(a.waits, box)
		return
	}
	a.waits[box] = list
}

// brought is called with what the stream has brought.
func (a *ahead) brought(subject string, data []byte) {
	box, err := wire.ParseSubject(subject)
	if err != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.waits[box]
	for i := range list {
		if bytes.Equal(list[i].data, data) {
			a.bytes -= len(data)
			a.keepLocked(box, append(list[:i:i], list[i+1:]...))
			return
		}
	}
}

// look shows what the stream should have brought by now, and forgets what it has
// brought since.
func (a *ahead) look(ctx context.Context, now time.Time) {
	for box, list := range a.due(now) {
		for _, h := range list {
			m := projection.Message{Box: box, Time: h.at.UTC()}
			if m.Body, m.Refused = a.judge.body(ctx, box, h.data, m.Time); m.Body == nil {
				a.dropped.add(m.Refused)
				continue
			}
			a.show(&m)
		}
	}
	a.mu.Lock()
	var ended []wire.BoxID
	for box, of := range a.boxes {
		if view := a.projection.Box(box); view != nil && of.Of(view) && now.Sub(of.last) < aheadFor {
			continue
		} else if view != nil && of.Of(view) {
			a.dropped.add(aheadEnded)
			ended = append(ended, box)
		}
		delete(a.boxes, box)
	}
	a.mu.Unlock()
	for _, box := range ended {
		a.changed(box)
	}
}

// due takes what has waited for long enough.
func (a *ahead) due(now time.Time) map[wire.BoxID][]heard {
	a.mu.Lock()
	defer a.mu.Unlock()
	due := map[wire.BoxID][]heard{}
	for box, list := range a.waits {
		n := 0
		for n < len(list) && now.Sub(list[n].at) >= aheadAfter {
			a.bytes -= len(list[n].data)
			n++
		}
		if n > 0 {
			due[box] = list[:n:n]
			a.keepLocked(box, list[n:])
		}
	}
	return due
}

// show takes in a batch that was verified.
func (a *ahead) show(m *projection.Message) {
	view := a.projection.Box(m.Box)
	if view == nil || view.Incarnation != m.Body.GetIncarnation() {
		a.dropped.add(aheadIncarnation)
		return
	}
	a.mu.Lock()
	of := a.boxes[m.Box]
	if of == nil {
		of = &aheadBox{}
	}
	newer := of.Add(view, m)
	if newer {
		of.last, a.boxes[m.Box] = m.Time, of
	}
	a.mu.Unlock()
	if !newer {
		a.dropped.add(aheadKnown)
		return
	}
	a.shown.Add(1)
	a.changed(m.Box)
}

// over is the view of a box with its present as it was heard.
func (a *ahead) over(view *projection.BoxView) *projection.BoxView {
	a.mu.Lock()
	defer a.mu.Unlock()
	if of := a.boxes[view.ID]; of != nil {
		return of.Over(view)
	}
	return view
}

func (a *ahead) changed(box wire.BoxID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for tell := range a.tell {
		(*tell)(box)
	}
}

func (a *ahead) watch(tell func(wire.BoxID)) (stop func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tell[&tell] = struct{}{}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.tell, &tell)
	}
}

// count is how many boxes are shown ahead of the stream now.
func (a *ahead) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.boxes)
}
