package dashboard

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// lease is the right to do what only one node may. Its entry ends by itself
// unless it is renewed. For one goroutine, but for held.
type lease struct {
	kv       jetstream.KeyValue
	key      string
	node     string
	revision uint64
	until    atomic.Int64 // Unix nanoseconds by this node's clock; 0: not held
	ttl      time.Duration
}

// leaseTTL is how long entries of the bucket live when it does not say.
const leaseTTL = 10 * time.Second

func newLease(ctx context.Context, kv jetstream.KeyValue, key, node string) *lease {
	l := &lease{kv: kv, key: key, node: node, ttl: leaseTTL}
	if status, err := kv.Status(ctx); err == nil && status.TTL() > 0 {
		l.ttl = status.TTL()
	}
	return l
}

// every is how often to call hold.
func (l *lease) every() time.Duration { return l.ttl / 4 }

// hold takes the lease or renews it, and tells whether this node has it.
func (l *lease) hold(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, l.every())
	defer cancel()
	asked := time.Now()
	var err error
	if l.revision == 0 {
		l.revision, err = l.kv.Create(ctx, l.key, []byte(l.node))
	} else {
		l.revision, err = l.kv.Update(ctx, l.key, []byte(l.node), l.revision)
	}
	switch {
	case err == nil:
		// The entry ends ttl after the broker took it, which was not before asked.
		l.until.Store(asked.Add(l.ttl * 3 / 4).UnixNano())
	case !l.held():
		l.revision = 0
	}
	return l.held()
}

// held tells whether nobody else can have it.
func (l *lease) held() bool { return time.Now().UnixNano() < l.until.Load() }

// release lets another node take it at once.
func (l *lease) release(ctx context.Context) {
	if l.revision != 0 {
		_ = l.kv.Purge(ctx, l.key, jetstream.LastRevision(l.revision)) // else it ends by itself
	}
	l.revision = 0
	l.until.Store(0)
}
