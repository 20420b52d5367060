package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/wire"
)

// ErrNotReady is what Healthy returns before the streams are there.
var ErrNotReady = errors.New("broker: not connected yet")

// Broker is the streams of a cloud node. All methods may be called from any
// goroutine.
type Broker struct {
	cfg      Config
	log      *slog.Logger
	embedded *embedded // nil with an external cluster
	external *external // nil with the embedded server
	callout  *callout
	conn     *nats.Conn
	js       jetstream.JetStream
	closed   chan struct{} // when conn is, for good
	wake     chan struct{} // connected again: look after the streams now
	ready    chan struct{} // the streams are there, for the first time

	mu     sync.Mutex
	health error
}

// New checks cfg. Conn and JetStream can be used at once to set things up, and
// fail until Run has connected.
func New(cfg Config) (*Broker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Broker{
		cfg: cfg, log: cfg.Logger.With("component", "broker"), health: ErrNotReady,
		closed: make(chan struct{}), wake: make(chan struct{}, 1), ready: make(chan struct{}),
	}
	if err := b.open(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Broker) open() error {
	addresses, opts, err := b.way()
	if err != nil {
		return err
	}
	if b.conn, err = nats.Connect(addresses, append(b.commonOptions(), opts...)...); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	if b.external != nil {
		b.external.known = b.conn.DiscoveredServers
		b.callout.conn = b.conn
		if err := b.callout.subscribe(); err != nil {
			return fmt.Errorf("broker: auth callout: %w", err)
		}
	}
	if b.js, err = jetstream.New(b.conn, jetstream.WithDefaultTimeout(apiTimeout)); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}

// way is how to reach the server.
func (b *Broker) way() (string, []nats.Option, error) {
	if len(b.cfg.NATS) == 0 {
		secret := newSecret()
		var err error
		b.embedded, err = newEmbedded(&b.cfg, secret)
		return "", []nats.Option{nats.InProcessServer(b.embedded), nats.UserInfo(cloudUser, secret)}, err
	}
	tlsConfig, err := b.cfg.tlsConfig()
	if err != nil {
		return "", nil, err
	}
	key, err := calloutKey(b.cfg.CalloutSeed)
	if err != nil {
		return "", nil, err
	}
	b.external = &external{urls: b.cfg.NATS, tls: tlsConfig}
	b.callout = &callout{key: key, session: b.cfg.SessionKey, account: b.cfg.Account}
	return strings.Join(b.cfg.NATS, ","), b.cfg.options(tlsConfig), nil
}

// commonOptions try for ever, and let whoever publishes meanwhile know at once
// instead of keeping it in memory: everything of ours can be sent again.
func (b *Broker) commonOptions() []nats.Option {
	return []nats.Option{
		nats.Name("signalbox cloud"),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // a password put right at the server is found without a restart here
		nats.ReconnectBufSize(-1),
		nats.Timeout(dialTimeout),
		nats.PingInterval(10 * time.Second), // of a server that is gone without a word
		nats.MaxPingsOutstanding(2),
		nats.CustomReconnectDelay(reconnectDelay),
		nats.ClosedHandler(func(*nats.Conn) { close(b.closed) }),
		nats.ConnectHandler(func(*nats.Conn) { b.connected() }),
		nats.ReconnectHandler(func(*nats.Conn) { b.connected() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { b.disconnected(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			b.log.Warn("nats reports an error", "subject", subject, "err", err)
		}),
	}
}

// reconnectDelay is asked for after all servers have been tried once.
func reconnectDelay(attempts int) time.Duration {
	most := min(reconnectMax, reconnectWait<<min(attempts, 8))
	return time.Duration(rand.Int64N(int64(most))) + reconnectWait/4
}

func (b *Broker) connected() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *Broker) disconnected(err error) {
	if err == nil {
		err = errors.New("connection closed")
	}
	b.setHealth(fmt.Errorf("broker: not connected: %w", err))
}

// Run starts the embedded server and keeps the streams as they should be until
// ctx is cancelled. It returns an error only where waiting is of no use: the
// embedded server does not start. Then, and when it returns, the broker is closed.
func (b *Broker) Run(ctx context.Context) error {
	defer b.Close()
	if b.embedded != nil {
		if err := b.embedded.start(); err != nil {
			return err
		}
		_ = b.conn.ForceReconnect() // do not wait for its next attempt
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		case <-timer.C:
		}
		timer.Reset(b.look(ctx))
	}
}

// look sees to the streams once and returns when to do so next.
func (b *Broker) look(ctx context.Context) time.Duration {
	if !b.conn.IsConnected() {
		return ensureEvery // wake comes before
	}
	each, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if err := b.ensure(each); err != nil {
		if ctx.Err() != nil {
			return ensureRetry
		}
		err = fmt.Errorf("broker: %w", err)
		was := b.Healthy()
		b.setHealth(err)
		if was == nil || was.Error() != err.Error() {
			b.log.Warn("streams are not as they should be", "err", err)
		}
		return ensureRetry
	}
	b.setHealth(nil)
	select {
	case <-b.ready:
	default:
		close(b.ready)
	}
	return ensureEvery
}

func (b *Broker) setHealth(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.health = err
}

// Ready is closed when the streams and buckets are there for the first time.
func (b *Broker) Ready() <-chan struct{} { return b.ready }

// Healthy returns nil while the broker is connected and its streams are there,
// as of the last look, at most 30 seconds ago.
func (b *Broker) Healthy() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.health
}

// Conn is the cloud's own connection; it may do everything. It must not be
// closed.
func (b *Broker) Conn() *nats.Conn { return b.conn }

// JetStream is that of Conn.
func (b *Broker) JetStream() jetstream.JetStream { return b.js }

// Session is the user name with which a box comes to the broker until then. It
// has the rights of that box: the gateway gives it to nobody else.
func (b *Broker) Session(box wire.BoxID, until time.Time) string {
	return formatSession(b.cfg.SessionKey, box, until)
}

// Dial opens a connection for a box, from before the INFO line on. It has no
// rights before it shows a session name in CONNECT.
func (b *Broker) Dial(ctx context.Context) (net.Conn, error) {
	if b.external != nil {
		return b.external.dial(ctx)
	}
	return b.embedded.InProcessConn()
}

// Close ends the connection and the embedded server. What is on its way out is
// given a moment. It may be called more than once; Run does so itself.
func (b *Broker) Close() {
	if b.conn != nil {
		if b.conn.IsConnected() {
			_ = b.conn.FlushTimeout(drainTimeout)
		}
		b.conn.Close()
		<-b.closed
	}
	if b.embedded != nil {
		b.embedded.stop()
	}
	b.setHealth(errors.New("broker: closed"))
}

// Stats are counters since the start.
type Stats struct {
	Granted  uint64 // sessions that the auth callout let in, of an external cluster
	Refused  uint64 // and did not
	Mistaken uint64 // requests that no server of NATS makes
}

// Stats returns a copy.
func (b *Broker) Stats() Stats {
	if b.callout == nil {
		return Stats{}
	}
	return Stats{b.callout.granted.Load(), b.callout.refused.Load(), b.callout.mistaken.Load()}
}
