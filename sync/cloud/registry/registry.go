// Package registry keeps what people decide and what boxes are: sites, boxes and
// their keys, tokens, policies, commands. It lies in the broker's bucket of that
// name, the same for every cloud node, and every node has the whole of it in
// memory: reading never goes to the network, writing waits until this node has
// read it back. A change is pushed to every node.
package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Errors that callers branch on.
var (
	// ErrNotFound is returned for a record that is not there.
	ErrNotFound = errors.New("not in the registry")
	// ErrExists is returned by Add for a record that is.
	ErrExists = errors.New("already in the registry")
	// ErrBusy is returned when others have changed the record each time before
	// this change could be written.
	ErrBusy = errors.New("the record is being changed by others all the time; try again")
)

const (
	bucket = "registry"

	checkEvery = time.Second            // that the watch has missed nothing
	checkGrace = 250 * time.Millisecond // for what is on its way
	callWait   = 2 * time.Second        // for an answer of the broker
	loadWait   = 60 * time.Second       // for all records
	retryMax   = 2 * time.Second
	seenWait   = 2 * time.Second // that a write comes back
)

// Config is what New needs.
type Config struct {
	JetStream jetstream.JetStream // its bucket may come later
	Logger    *slog.Logger        // nil: discard
}

// Registry is the records. All methods may be called from any goroutine; those
// that read give the state of before Run has loaded it as empty, so wait for
// Loaded before serving.
type Registry struct {
	js     jetstream.JetStream
	log    *slog.Logger
	loaded chan struct{}

	mu      sync.RWMutex
	tables  map[string]table
	seen    uint64        // revision up to which the memory is
	newer   chan struct{} // closed and made anew when seen grows
	health  error
	readers map[*Changes]struct{}
	running bool

	Sites    *Table[Site]
	Boxes    *Table[Box]
	Tokens   *Table[Token]
	Policies *Table[Policy]
	Commands *Table[Command]
	Results  *Table[Result]
}

// table is a Table[T] of some T. Its methods are called with mu held.
type table interface {
	applyLocked(key string, revision uint64, at time.Time, value []byte) error
	removeLocked(key string) bool
	keysLocked() []string
	hasLocked(key string, revision uint64) bool
}

// New makes an empty registry. Other packages add their own tables before Run.
func New(cfg Config) *Registry {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Registry{
		js: cfg.JetStream, log: cfg.Logger.With("component", "registry"),
		loaded: make(chan struct{}), newer: make(chan struct{}),
		tables: make(map[string]table), readers: make(map[*Changes]struct{}), health: errors.New("registry: not loaded yet"),
	}
	r.Sites = NewTable[Site](r, KindSite)
	r.Boxes = NewTable[Box](r, KindBox)
	r.Tokens = NewTable[Token](r, KindToken)
	r.Policies = NewTable[Policy](r, KindPolicy)
	r.Commands = NewTable[Command](r, KindCommand)
	r.Results = NewTable[Result](r, KindResult)
	return r
}

// Loaded is closed when everything has been read once.
func (r *Registry) Loaded() <-chan struct{} { return r.loaded }

// Healthy returns nil while the memory follows the bucket. When it does not the
// last known state is served.
func (r *Registry) Healthy() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.health
}

// Run follows the bucket until ctx is cancelled. It is for one call. What fails
// is tried again for ever.
func (r *Registry) Run(ctx context.Context) error {
	r.mu.Lock()
	r.running = true
	r.mu.Unlock()
	wait := 50 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		why := r.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		r.setHealth(fmt.Errorf("registry: %w", why))
		if time.Since(began) > 10*time.Second {
			wait = 50 * time.Millisecond
		}
		r.log.Debug("reading the registry again", "reason", why)
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, retryMax)
	}
	return nil //nolint:nilerr // being stopped is no error
}

func (r *Registry) setHealth(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.health = err
}

// Why a watch ends; Run begins another.
var (
	errRemade    = errors.New("the bucket has been made anew")
	errMissed    = errors.New("the watch has missed something")
	errReconnect = errors.New("connected to the broker again")
	errWatch     = errors.New("the watch has ended")
)

// follow loads all records and then applies each change as it is pushed.
func (r *Registry) follow(ctx context.Context) error {
	// Consumers of a server that restarts are gone; nats.go would notice that by
	// missing heartbeats, some ten seconds later.
	connected := r.js.Conn().StatusChanged(nats.CONNECTED)
	defer r.js.Conn().RemoveStatusListener(connected)
	state, err := r.stream(ctx)
	if err != nil {
		return err
	}
	kv, err := bound(ctx, callWait, func(ctx context.Context) (jetstream.KeyValue, error) { return r.js.KeyValue(ctx, bucket) })
	if err != nil {
		return err
	}
	watch, err := kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = watch.Stop() }()
	if err := r.load(ctx, watch, state.State.LastSeq); err != nil {
		return err
	}
	r.setHealth(nil)
	select {
	case <-r.loaded:
	default:
		close(r.loaded)
	}
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-connected:
			return errReconnect
		case e, ok := <-watch.Updates():
			if !ok {
				return errWatch
			}
			if e != nil {
				r.apply(e)
			}
		case <-check.C:
			if err := r.check(ctx, state.Created, watch); err != nil {
				return err
			}
		}
	}
}

func (r *Registry) stream(ctx context.Context) (*jetstream.StreamInfo, error) {
	return bound(ctx, callWait, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		stream, err := r.js.Stream(ctx, "KV_"+bucket)
		if err != nil {
			return nil, err
		}
		return stream.CachedInfo(), nil
	})
}

// check compares what has been pushed with what there is: the server that pushes
// may be gone from the cluster without a word.
func (r *Registry) check(ctx context.Context, created time.Time, watch jetstream.KeyWatcher) error {
	now, err := r.stream(ctx)
	switch {
	case err != nil:
		return err
	case !now.Created.Equal(created) || now.State.LastSeq < r.revision():
		return errRemade
	}
	grace := time.NewTimer(checkGrace)
	defer grace.Stop()
	for r.revision() < now.State.LastSeq {
		select {
		case e, ok := <-watch.Updates():
			if !ok {
				return errWatch
			}
			if e != nil {
				r.apply(e)
			}
		case <-grace.C:
			return errMissed
		}
	}
	return nil
}

func (r *Registry) revision() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.seen
}

// load takes in everything there is, and takes out what there is no more.
func (r *Registry) load(ctx context.Context, watch jetstream.KeyWatcher, last uint64) error {
	limit := time.NewTimer(loadWait)
	defer limit.Stop()
	var all []jetstream.KeyValueEntry
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return fmt.Errorf("loading takes more than %v", loadWait)
		case e, ok := <-watch.Updates():
			if !ok {
				return errWatch
			}
			if e == nil {
				r.replace(all, last)
				return nil
			}
			all = append(all, e)
		}
	}
}

// bound gives one call of the broker a deadline.
func bound[T any](ctx context.Context, wait time.Duration, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return call(ctx)
}
