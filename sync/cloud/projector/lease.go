package projector

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// lease lets one node at a time do something. Its revision grows with every
// holder and renewal: the fencing token.
type lease struct {
	js   jetstream.JetStream
	key  string
	node string
	ttl  time.Duration
	now  atomic.Pointer[holding]
}

type holding struct {
	revision uint64
	until    time.Time // by this node's monotonic clock, before the bucket forgets it
}

// held returns the revision while the lease is this node's.
func (l *lease) held() (revision uint64, ok bool) {
	h := l.now.Load()
	if h == nil || time.Now().After(h.until) {
		return 0, false
	}
	return h.revision, true
}

// keep takes the lease when it is free and renews it, until ctx ends. Then it
// gives it back.
func (l *lease) keep(ctx context.Context) {
	for {
		l.step(ctx)
		if !sleep(ctx, l.ttl/3) {
			break
		}
	}
	if h := l.now.Swap(nil); h != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.ttl/3)
		defer cancel()
		if kv, err := l.js.KeyValue(ctx, bucketLease); err == nil {
			_ = kv.Delete(ctx, l.key, jetstream.LastRevision(h.revision)) // else it ends by itself
		}
	}
}

func (l *lease) step(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.ttl/3)
	defer cancel()
	// From before the call: what the broker counts begins later.
	until := time.Now().Add(l.ttl * 3 / 4)
	kv, err := l.js.KeyValue(ctx, bucketLease)
	if err != nil {
		return // a lease that is held ends in time
	}
	var revision uint64
	if h := l.now.Load(); h != nil {
		revision, err = kv.Update(ctx, l.key, []byte(l.node), h.revision)
	} else {
		revision, err = kv.Create(ctx, l.key, []byte(l.node))
	}
	switch {
	case err == nil:
		l.now.Store(&holding{revision, until})
	case ctx.Err() == nil:
		l.now.Store(nil)
	}
}
