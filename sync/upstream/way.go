package upstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"signalbox/sync/wire"
)

// Ways to the cloud, as they are called in frames, status and metrics.
const (
	wayWebSocket = "websocket"
	wayPost      = "post"
)

// Ways are all there are.
var Ways = []string{wayWebSocket, wayPost}

// way is one open way to the cloud. What happens on it comes out of its events.
type way interface {
	name() string
	// send hands over a batch; its ack, or that there will be none, is an event.
	// Called from one goroutine.
	send(ctx context.Context, b *parcel) error
	// ask has the Standing come as an event.
	ask(a wire.Ask) error
	live(l wire.Live) error
	events() <-chan event
	// probe has the other side make a sound.
	probe()
	// sound is when the other side was heard last.
	sound() time.Time
	// done is closed when the way has ended; err then says why.
	done() <-chan struct{}
	err() error
	close()
}

// parcel is an encoded batch.
type parcel struct {
	last uint64
	id   string // the broker passes over what comes again under the same one
	data []byte
}

// event is something that came from the cloud; one of its fields is set.
type event struct {
	acked    *receipt
	nudge    *wire.Nudge
	standing *standing
}

// standing is the answer to an Ask about an incarnation.
type standing struct {
	*wire.Standing
	about uint64
}

// receipt tells that the broker has a batch, or why not.
type receipt struct {
	last uint64
	err  error
}

// errClosed ends a way that was closed from the other side without a word.
var errClosed = errors.New("the connection was cut")

// ending is the end of a way, which comes once.
type ending struct {
	once  sync.Once
	over  chan struct{}
	cause error
}

func newEnding() *ending { return &ending{over: make(chan struct{})} }

func (e *ending) done() <-chan struct{} { return e.over }

// err is why it ended; only after done.
func (e *ending) err() error { return e.cause }

func (e *ending) end(cause error) {
	e.once.Do(func() {
		e.cause = cause
		close(e.over)
	})
}

// maxEvents bounds what has come and is not yet looked at: an ack for each
// batch under way, and what the cloud says of itself.
const maxEvents = 2*maxFlights + 16
