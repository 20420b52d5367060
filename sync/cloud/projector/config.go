package projector

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/wire"
)

// Names in the broker, see sync/DESIGN.md.
const (
	streamUp     = "UP"
	streamRollup = "RU"
	bucketLease  = "lease"
	leaseRollup  = "rollup"
	askQueue     = "cloud"
)

// Key is a public key that a box has or had.
type Key struct {
	ID     uint64    // wire.KeyID of Public
	Public []byte    // SubjectPublicKeyInfo
	Until  time.Time // when it was revoked or replaced; zero while it is good
}

// Keys knows the keys of boxes, from memory.
type Keys interface {
	// Keys returns every key the box ever had; none for a box that is not known.
	Keys(box wire.BoxID) []Key
	// Refresh reads the box's record now: memory may be behind the stream.
	Refresh(ctx context.Context, box wire.BoxID) error
}

// Desired knows what the central team wants of boxes, from memory.
type Desired interface {
	// PolicyFor returns the desired policy; revision 0 for none.
	PolicyFor(box wire.BoxID) wire.Policy
	// Pending returns commands that have not expired and have no result.
	Pending(box wire.BoxID) []wire.Command
	// Wants returns for how long the box is watched live, and whether it is to
	// renew its certificate at once.
	Wants(box wire.BoxID) (live wire.Seconds, renew bool)
}

// Results takes the outcomes of commands. It may be called more than once with
// the same, and by each node.
type Results interface {
	Result(ctx context.Context, r projection.Result) error
}

// Config is what a Projector needs. JetStream, Conn, Projection, Keys, Desired
// and Results are required; zero durations are defaults.
type Config struct {
	Projection *projection.Projection
	JetStream  jetstream.JetStream
	Conn       *nats.Conn
	Keys       Keys
	Desired    Desired
	Results    Results
	Node       string // names this node in leases
	// Ahead has Over show what boxes say while the stream does not hand it on:
	// for a cluster, whose stream has no leader for seconds when a server dies.
	// It makes who publishes to a stream without a leader wait for an answer that
	// does not come, instead of having the broker say that nobody listens.
	Ahead  bool
	Logger *slog.Logger

	Linger      time.Duration // for how long messages are gathered for a transaction, 250 ms
	CheckEvery  time.Duration // how often the stream is looked at, 5 s
	ResyncAfter time.Duration // how long frames may be missing, 30 s
	NudgeEvery  time.Duration // a box is told at most so often, 500 ms
	AskEvery    time.Duration // a box that has asked 64 times is answered once in it, 62.5 ms
	RollEvery   time.Duration // how often closed hours are looked for, 10 s
	LeaseTTL    time.Duration // of the bucket, 10 s
}

const (
	askEvery      = time.Second / 16
	maxBatch      = 512     // messages of a transaction
	maxBatchBytes = 1 << 20 // of them as sent: decompressed they take up to 16 times as much
	pullBytes     = 4 << 20 // that the broker may send ahead
	// rollGrace is how long after its end an hour is written: a box at rest
	// tells of its last minutes five minutes later.
	rollGrace = 6 * time.Minute
	// rollForget is when another node is taken to have written an hour.
	rollForget = 48 * time.Hour
)

func (c Config) withDefaults() Config {
	c.Linger = cmp.Or(c.Linger, 250*time.Millisecond)
	c.CheckEvery = cmp.Or(c.CheckEvery, 5*time.Second)
	c.ResyncAfter = cmp.Or(c.ResyncAfter, 30*time.Second)
	c.NudgeEvery = cmp.Or(c.NudgeEvery, 500*time.Millisecond)
	c.AskEvery = cmp.Or(c.AskEvery, askEvery)
	c.RollEvery = cmp.Or(c.RollEvery, 10*time.Second)
	c.LeaseTTL = cmp.Or(c.LeaseTTL, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c *Config) validate() error {
	if c.Projection == nil || c.JetStream == nil || c.Conn == nil || c.Keys == nil || c.Desired == nil || c.Results == nil || c.Node == "" {
		return errors.New("projector: Projection, JetStream, Conn, Keys, Desired, Results and Node are required")
	}
	return nil
}
