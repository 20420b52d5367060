// Package backups keeps sealed backups of boxes, a few of each, in an object
// store of the broker: so every cloud node has all, and there is no second place
// to look after. What they hold it cannot know.
package backups

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/gateway"
	"signalbox/sync/cloud/registry"
)

// Config is what New needs. A zero field means its default.
type Config struct {
	JetStream jetstream.JetStream
	Registry  *registry.Registry
	// Identify tells which box makes a request; when ok is false it has answered.
	Identify func(w http.ResponseWriter, r *http.Request) (c gateway.Caller, ok bool)

	// MaxBytes bounds all backups of all boxes, 8 GiB by default. When that is
	// full there are no new ones, and the old ones stay.
	MaxBytes int64
	// MaxTransfers bounds those of this node that are under way, 16 by default.
	MaxTransfers int

	Logger *slog.Logger // nil: discard
}

// Bounds and waits.
const (
	Bucket = "backups"

	defaultMaxBytes     = 8 << 30
	defaultMaxTransfers = 16

	ensureRetry  = 5 * time.Second
	lookEvery    = time.Minute // how old the figures are that Stats tells
	sweepEvery   = 24 * time.Hour
	apiTimeout   = 10 * time.Second
	transferMost = time.Hour        // of one backup, either way
	chunkWait    = 60 * time.Second // for each 128 KiB of it
	// strayAfter is how long a backup stays whose site is unknown. The backups of a
	// site that is removed go at once; this is for what a node that died then has left.
	strayAfter = 7 * 24 * time.Hour
)

// Backups is an http.Handler for wire.BackupPath. New, and Run.
type Backups struct {
	cfg     Config
	log     *slog.Logger
	changes *registry.Changes
	store   atomic.Pointer[store] // nil until the bucket is there
	counts  counts

	mu     sync.Mutex
	active int
	boxes  map[string]*box // by BoxID; those of the registry that have been here
}

// New makes the handler; it refuses everything until Run has found the bucket.
func New(cfg Config) (*Backups, error) {
	if cfg.JetStream == nil || cfg.Registry == nil || cfg.Identify == nil {
		return nil, errors.New("backups: wants a broker, a registry and an identity")
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	if cfg.MaxTransfers == 0 {
		cfg.MaxTransfers = defaultMaxTransfers
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Backups{
		cfg: cfg, log: cfg.Logger.With("component", "backups"), changes: cfg.Registry.Changes(), boxes: map[string]*box{},
	}, nil
}

// Close undoes New. Run does so itself.
func (b *Backups) Close() { b.changes.Close() }

// Run makes the bucket, removes the backups of sites that are removed, and tidies
// up once a day. It returns nil when ctx ends: boxes live without backups here, so
// nothing in it is a reason to stop the node.
func (b *Backups) Run(ctx context.Context) error {
	defer b.Close()
	s := b.awaitStore(ctx)
	if s == nil {
		return nil
	}
	b.store.Store(s)
	look, sweep := time.NewTicker(lookEvery), time.NewTimer(0)
	defer look.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.changes.Ready():
			b.follow(ctx, s)
		case <-look.C:
			b.look(ctx, s)
		case <-sweep.C:
			b.sweep(ctx, s)
			b.look(ctx, s)
			sweep.Reset(sweepEvery)
		}
	}
}

// awaitStore makes the bucket or finds it, nil when ctx ends before.
func (b *Backups) awaitStore(ctx context.Context) *store {
	told := ""
	for {
		s, err := b.ensure(ctx)
		if err == nil {
			return s
		}
		if ctx.Err() == nil && err.Error() != told {
			told = err.Error()
			b.log.Warn("no place for the backups of boxes yet", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(ensureRetry):
		}
	}
}

// ensure has the bucket with as many copies as the frames have, and with this
// node's bound.
func (b *Backups) ensure(ctx context.Context) (*store, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	select {
	case <-b.cfg.Registry.Loaded():
	case <-ctx.Done():
		return nil, fmt.Errorf("registry: %w", ctx.Err())
	}
	js := b.cfg.JetStream
	frames, err := js.Stream(ctx, broker.StreamUp)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", broker.StreamUp, err)
	}
	want := jetstream.ObjectStoreConfig{
		Bucket: Bucket, Description: "sealed backups of boxes", MaxBytes: b.cfg.MaxBytes, Storage: jetstream.FileStorage,
		Replicas: frames.CachedInfo().Config.Replicas,
	}
	objects, err := js.ObjectStore(ctx, Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		if objects, err = js.CreateObjectStore(ctx, want); errors.Is(err, jetstream.ErrBucketExists) {
			objects, err = js.ObjectStore(ctx, Bucket) // another node was first
		}
	}
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", Bucket, err)
	}
	stream, err := js.Stream(ctx, "OBJ_"+Bucket)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", Bucket, err)
	}
	if now := stream.CachedInfo().Config; now.MaxBytes != want.MaxBytes || now.Replicas != want.Replicas {
		if objects, err = js.UpdateObjectStore(ctx, want); err != nil {
			return nil, fmt.Errorf("bucket %s: %w", Bucket, err)
		}
	}
	return &store{js, objects, stream}, nil
}

// follow removes the backups of sites that are gone.
func (b *Backups) follow(ctx context.Context, s *store) {
	for _, c := range b.changes.Take() {
		if c.Kind != registry.KindSite || !c.Gone {
			continue
		}
		removed, err := s.removeSite(ctx, c.Key)
		b.counts.removed.Add(uint64(removed))
		switch {
		case err != nil && ctx.Err() == nil:
			b.log.Warn("backups of a removed site are left; they go within days", "site", c.Key, "err", err)
		case removed > 0:
			b.log.Info("backups of a removed site are gone", "site", c.Key)
		}
	}
}

// look notes how much there is.
func (b *Backups) look(ctx context.Context, s *store) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if bytes, err := s.size(ctx); err == nil {
		b.counts.bytes.Store(bytes)
	}
}

// sweep removes what nobody will ask for.
func (b *Backups) sweep(ctx context.Context, s *store) {
	removed, err := s.sweep(ctx, b.cfg.Registry.HasSite, strayAfter, 2*transferMost)
	b.counts.removed.Add(uint64(removed))
	if err != nil && ctx.Err() == nil {
		b.log.Warn("backups are not tidied up; it is tried again tomorrow", "err", err)
	}
}
