// Package broker is where a cloud node keeps its streams: a nats-server with
// JetStream inside the process, or a cluster of them outside. Boxes reach it
// through the gateway alone. A box shows a session name and gets the rights of
// its own subjects and no other; the streams and buckets are made here.
package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/nats-io/nkeys"
)

// Config is what New needs. A zero field means its default.
type Config struct {
	// Dir is where the embedded server keeps its streams.
	Dir string
	// NATS are the addresses of an external cluster, nats://HOST:PORT or
	// tls://HOST:PORT. Empty: the embedded server.
	NATS []string
	// User and Password, or Creds (a file), or a certificate of CertFile and
	// KeyFile are how the cloud itself signs in at the external cluster.
	User, Password string
	Creds          string
	CAFile         string // nil: the system's authorities
	CertFile       string
	KeyFile        string
	// Account is the account of that cluster which has the streams.
	Account string
	// CalloutSeed is the seed of the account key (SA…) that signs what a box may
	// do there, see CalloutConfig. The same on every cloud node.
	CalloutSeed string

	// SessionKey signs session names. 32 bytes, the same on every cloud node.
	SessionKey []byte

	// UpBytes and RollupBytes bound the streams of frames and of closed hours.
	// When one is full its oldest messages go.
	UpBytes     int64
	RollupBytes int64
	// MemoryBytes bounds what JetStream holds in memory streams. It has none of
	// ours: this is for what nats-server itself makes.
	MemoryBytes int64
	// Replicas of streams in an external cluster; 0 is 3 where the cluster has
	// three nodes and 1 where not.
	Replicas int

	Logger *slog.Logger // nil: discard
}

// Bounds and defaults.
const (
	SessionKeyBytes = 32
	DefaultAccount  = "SIGNALBOX"

	defaultUpBytes     = 16 << 30
	defaultRollupBytes = 8 << 30
	defaultMemoryBytes = 64 << 20
	minStreamBytes     = 1 << 20

	bucketBytes = 256 << 20
	auditBytes  = 256 << 20
)

// Waits. Nothing in this package waits without one.
const (
	startTimeout  = 60 * time.Second // a large store is read before the server is ready
	dialTimeout   = 5 * time.Second
	apiTimeout    = 3 * time.Second // a cluster that has no leader yet does not answer at all
	ensureEvery   = 30 * time.Second
	ensureRetry   = time.Second
	drainTimeout  = 5 * time.Second
	reconnectWait = 250 * time.Millisecond
	reconnectMax  = 5 * time.Second
)

func (c Config) withDefaults() Config {
	if c.Account == "" {
		c.Account = DefaultAccount
	}
	if c.UpBytes == 0 {
		c.UpBytes = defaultUpBytes
	}
	if c.RollupBytes == 0 {
		c.RollupBytes = defaultRollupBytes
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = defaultMemoryBytes
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports everything that New would refuse, joined.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("broker: "+format, args...)) }
	if len(c.SessionKey) != SessionKeyBytes {
		fault("session key: got %d bytes, want %d", len(c.SessionKey), SessionKeyBytes)
	}
	if c.UpBytes < minStreamBytes || c.RollupBytes < minStreamBytes {
		fault("stream sizes: got %d and %d bytes, want at least %d", c.UpBytes, c.RollupBytes, minStreamBytes)
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		fault("replicas: got %d, want 0 to 5", c.Replicas)
	}
	if len(c.NATS) == 0 {
		if c.Dir == "" {
			fault("got neither a folder for the embedded server nor the address of an external one")
		}
		return errors.Join(errs...)
	}
	for _, text := range c.NATS {
		if err := checkURL(text); err != nil {
			fault("%w", err)
		}
	}
	if _, err := calloutKey(c.CalloutSeed); err != nil {
		fault("%w", err)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		fault("certificate %q and key %q: want both or neither", c.CertFile, c.KeyFile)
	}
	return errors.Join(errs...)
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" {
		return fmt.Errorf("nats address: got %.200q, want nats://HOST:PORT or tls://HOST:PORT", text)
	}
	if u.User != nil {
		return fmt.Errorf("nats address of %s: leave user and password out of it, they have settings of their own", u.Host)
	}
	return nil
}

// calloutKey reads an account seed. The seed is not in the error.
func calloutKey(seed string) (nkeys.KeyPair, error) {
	kp, err := nkeys.FromSeed([]byte(seed))
	if err == nil {
		var public string
		if public, err = kp.PublicKey(); err == nil && !nkeys.IsValidPublicAccountKey(public) {
			err = errors.New("it is of another kind")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("callout seed: want the seed of an account key, SA and 56 characters (signalbox cloud nats-config makes one): %w", err)
	}
	return kp, nil
}
