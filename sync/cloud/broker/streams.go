package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/wire"
)

// Streams and buckets, see sync/DESIGN.md.
const (
	StreamUp     = "UP"
	StreamRollup = "RU"
	StreamAudit  = "AUDIT"

	BucketRegistry = "registry"
	BucketLease    = "lease"
	BucketSignin   = "signin"

	// AllRollups are the subjects of RU, AuditPrefix begins those of AUDIT.
	AllRollups  = "ru.*.*.*.*"
	AuditPrefix = "audit."
)

const (
	day        = 24 * time.Hour
	upAge      = 35 * day
	rollupAge  = 2 * 365 * day
	auditAge   = 2 * 365 * day
	dupeWindow = 10 * time.Minute
	signinAge  = 12 * time.Hour
	leaseAge   = 10 * time.Second
	// markerAge is how long the mark stays that a record has ended by itself, and
	// the shortest life of a record that may do so. Who is away that long reads all anew.
	markerAge    = 2 * time.Second
	registryPast = 16
)

// JetStream API error codes (server/errors.json).
const (
	codeNoPeers      jetstream.ErrorCode = 10005
	codeNotClustered jetstream.ErrorCode = 10074
)

func (c *Config) streams() []jetstream.StreamConfig {
	stream := jetstream.StreamConfig{
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage,
		// What a box sends twice within the window is stored once. That saves
		// room; nothing relies on it.
		Duplicates:  dupeWindow,
		Compression: jetstream.S2Compression, AllowDirect: true, MaxMsgSize: wire.MaxPayloadBytes,
	}
	up, ru, audit := stream, stream, stream
	up.Name, up.Description, up.Subjects = StreamUp, "frames of every box", []string{wire.AllFrames}
	up.MaxAge, up.MaxBytes = upAge, c.UpBytes
	ru.Name, ru.Description, ru.Subjects = StreamRollup, "closed hours of every box", []string{AllRollups}
	ru.MaxAge, ru.MaxBytes, ru.MaxMsgsPerSubject = rollupAge, c.RollupBytes, 1
	audit.Name, audit.Description, audit.Subjects = StreamAudit, "who did what", []string{AuditPrefix + ">"}
	audit.MaxAge, audit.MaxBytes, audit.DenyDelete, audit.DenyPurge = auditAge, auditBytes, true, true
	return []jetstream.StreamConfig{up, ru, audit}
}

func (c *Config) buckets() []jetstream.KeyValueConfig {
	return []jetstream.KeyValueConfig{
		{Bucket: BucketRegistry, Description: "sites, boxes, policies, commands, people", History: registryPast, MaxBytes: bucketBytes, LimitMarkerTTL: markerAge},
		{Bucket: BucketLease, Description: "who runs what only one node may", History: 1, TTL: leaseAge, MaxBytes: minStreamBytes, LimitMarkerTTL: markerAge},
		{Bucket: BucketSignin, Description: "people signed in", History: 1, TTL: signinAge, MaxBytes: bucketBytes / 4, LimitMarkerTTL: markerAge},
	}
}

// ensure makes what is missing and brings the rest up to date. Every node does
// so; the last to come has its sizes in force.
func (b *Broker) ensure(ctx context.Context) error {
	replicas, err := b.replicas(ctx)
	if err != nil {
		return err
	}
	for _, cfg := range b.cfg.streams() {
		if err := b.ensureStream(ctx, cfg, replicas); err != nil {
			return fmt.Errorf("stream %s: %w", cfg.Name, err)
		}
	}
	for _, cfg := range b.cfg.buckets() {
		if err := b.ensureBucket(ctx, cfg, replicas); err != nil {
			return fmt.Errorf("bucket %s: %w", cfg.Bucket, err)
		}
	}
	return nil
}

func (b *Broker) ensureStream(ctx context.Context, cfg jetstream.StreamConfig, replicas int) error {
	cfg.Replicas = replicas
	stream, err := b.js.Stream(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		// Two nodes may make it at once: with the same settings that is no error.
		_, err = b.js.CreateStream(ctx, cfg)
		return err
	}
	if err != nil {
		return err
	}
	now := stream.CachedInfo().Config
	cfg.Replicas = max(cfg.Replicas, now.Replicas)
	if sameStream(now, cfg) {
		return nil
	}
	_, err = b.js.UpdateStream(ctx, cfg)
	return err
}

// sameStream compares what this package sets; the server fills in the rest.
func sameStream(a, b jetstream.StreamConfig) bool {
	return slices.Equal(a.Subjects, b.Subjects) && a.MaxAge == b.MaxAge && a.MaxBytes == b.MaxBytes &&
		a.Duplicates == b.Duplicates && a.Replicas == b.Replicas &&
		max(a.MaxMsgsPerSubject, 0) == max(b.MaxMsgsPerSubject, 0) // the server says -1 for no limit
}

func (b *Broker) ensureBucket(ctx context.Context, cfg jetstream.KeyValueConfig, replicas int) error {
	cfg.Replicas = replicas
	kv, err := b.js.KeyValue(ctx, cfg.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		_, err = b.js.CreateKeyValue(ctx, cfg)
		return err
	}
	if err != nil {
		return err
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return err
	}
	now := status.Config()
	cfg.Replicas = max(cfg.Replicas, now.Replicas)
	if now.History == cfg.History && now.TTL == cfg.TTL && now.MaxBytes == cfg.MaxBytes && now.Replicas == cfg.Replicas && now.LimitMarkerTTL == cfg.LimitMarkerTTL {
		return nil
	}
	_, err = b.js.UpdateKeyValue(ctx, cfg)
	return err
}

// replicas is how many copies streams have: as configured, or 3 where a cluster
// takes that. What the cluster can bear is known only by trying: the smallest
// bucket is the one to try with. Once there are 3 it stays so.
func (b *Broker) replicas(ctx context.Context) (int, error) {
	if b.embedded != nil {
		return 1, nil
	}
	if b.cfg.Replicas != 0 {
		return b.cfg.Replicas, nil
	}
	probe := b.cfg.buckets()[1]
	err := b.ensureBucket(ctx, probe, 3)
	var api *jetstream.APIError
	switch {
	case err == nil:
		return 3, nil
	case errors.As(err, &api) && (api.ErrorCode == codeNotClustered || api.ErrorCode == codeNoPeers):
		return 1, nil
	default:
		return 0, fmt.Errorf("bucket %s: %w", probe.Bucket, err)
	}
}
