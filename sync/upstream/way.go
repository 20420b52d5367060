package upstream

import (
	"context"
	"errors"
	"time"

	"signalbox/sync/wire"
)

// Ways to the cloud, as they are called in frames, status and metrics.
const (
	wayWebSocket = "websocket"
	wayPost      = "post"
)

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
	// sound is when the other side was heard last.
	sound() time.Time
	close()
}

// parcel is an encoded batch.
type parcel struct {
	last uint64
	id   string // the same for the same frames: the broker passes over what it has
	data []byte
}

// event is something that came from the cloud; one of its fields is set.
type event struct {
	acked    *receipt
	nudge    *wire.Nudge
	standing *wire.Standing
	err      error // the way has ended, and why
}

// receipt tells that the broker has a batch, or why not.
type receipt struct {
	last uint64
	err  error
}

// errClosed ends a way that was closed from the other side without a word.
var errClosed = errors.New("the cloud closed the connection")

// maxEvents bounds what has come and is not yet looked at: an ack for each
// batch under way, and what the cloud says of itself.
const maxEvents = 2*maxFlights + 16
