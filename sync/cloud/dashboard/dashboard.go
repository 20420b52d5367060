package dashboard

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"signalbox/internal/jsonapi"
	"signalbox/sync/cloud/people"
	"signalbox/sync/wire"
)

// Config is what New needs. Everything but the parts with a default is needed.
type Config struct {
	Tenant  string // empty: wire.DefaultTenant
	Node    string // name of this node
	Version string // of the program
	// URL is where people and boxes reach the cloud, like https://cloud:8453.
	// Empty: where the request was sent to.
	URL string
	// Key seals what browsers keep for us between two requests; 32 bytes, the
	// same on every node.
	Key []byte

	Fleet    Fleet
	History  History
	Registry Registry
	Identity Identity
	Presence Presence
	People   *people.People
	Audit    *people.Audit
	Conn     *nats.Conn         // for the live view and nudges
	Bucket   jetstream.KeyValue // registry: acknowledgements, webhooks, open problems
	Lease    jetstream.KeyValue // entries end by themselves

	// Tried tells when a box that was revoked has last tried to come in, zero if
	// it has not; nil when nobody knows. It answers from memory.
	Tried func(id wire.BoxID) time.Time
	// Parts is the health of the node's parts, in the order to show them; nil
	// for none.
	Parts func() []Part
	// Source names who a request is from; nil takes the address of the
	// connection. Behind a proxy that is trusted it reads what that one says.
	Source func(*http.Request) string
	// Secure reports a request whose browser used HTTPS; nil looks at the connection.
	Secure func(*http.Request) bool

	// AllowLocalWebhooks lets webhooks reach loopback and link-local addresses.
	AllowLocalWebhooks bool
	// Settle is how long a problem must be away to be over; 0 is a minute.
	Settle time.Duration
	// Streams is how many event streams may be open at once; 0 is 1000.
	Streams int
	// Metrics is what the node itself counts; nil makes one.
	Metrics *prometheus.Registry
	Logger  *slog.Logger
}

func (c *Config) settle() error {
	switch {
	case c.Fleet == nil || c.History == nil || c.Registry == nil || c.Identity == nil || c.Presence == nil:
		return errors.New("dashboard: Fleet, History, Registry, Identity and Presence are needed")
	case c.People == nil || c.Audit == nil || c.Conn == nil || c.Bucket == nil || c.Lease == nil:
		return errors.New("dashboard: People, Audit, Conn, Bucket and Lease are needed")
	case len(c.Key) != 32:
		return errors.New("dashboard: Key must have 32 bytes")
	}
	c.Tenant = cmp.Or(c.Tenant, wire.DefaultTenant)
	if c.Parts == nil {
		c.Parts = func() []Part { return []Part{} }
	}
	if c.Source == nil {
		c.Source = remoteAddr
	}
	if c.Secure == nil {
		c.Secure = func(r *http.Request) bool { return r.TLS != nil }
	}
	if c.Tried == nil {
		c.Tried = func(wire.BoxID) time.Time { return time.Time{} }
	}
	c.Settle = cmp.Or(c.Settle, settleFor)
	if c.Streams == 0 {
		c.Streams = 1000
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func remoteAddr(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return at.Addr().Unmap().WithZone("").String()
}

// signInLimits lets an office behind one address in, and keeps anyone from
// occupying the hashing of passwords; who guesses is slowed down by people.
var signInLimits = jsonapi.Limits{PerSource: 0.5, PerSourceBurst: 20, Total: 20, TotalBurst: 100, Sources: 1024}

// Dashboard serves the routes of the table in routes.go. Make one with New.
type Dashboard struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	origin  *http.CrossOriginProtection
	signIns *jsonapi.SourceLimiter
	board   *board
	live    *live
	hooks   *hooks
	claimed atomic.Bool   // there is an administrator; stays true
	streams chan struct{} // one slot per open stream
	scrape  sync.Mutex    // one at a time: each is some megabytes
	stop    sync.Once
	stopped chan struct{}
}

// New checks cfg and starts nothing.
func New(cfg Config) (*Dashboard, error) {
	if err := cfg.settle(); err != nil {
		return nil, err
	}
	d := &Dashboard{
		cfg: cfg, log: cfg.Logger, origin: http.NewCrossOriginProtection(), signIns: jsonapi.NewSourceLimiter(signInLimits),
		streams: make(chan struct{}, cfg.Streams), stopped: make(chan struct{}),
	}
	var err error
	if d.metrics, err = newMetrics(cfg.Metrics); err != nil {
		return nil, err
	}
	d.board = newBoard(&d.cfg)
	d.live = newLive(&d.cfg, d.metrics)
	d.hooks = newHooks(&d.cfg, d.board, d.metrics)
	return d, nil
}

// Run keeps the board and tells webhooks until ctx ends. What is served before
// the board is there is 503.
func (d *Dashboard) Run(ctx context.Context) error {
	defer d.Close()
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()
	parts.Go(func() { d.hooks.run(ctx) })
	return d.board.run(ctx)
}

// Handler serves /v1/, /healthz, /readyz and /metrics to the network.
func (d *Dashboard) Handler() http.Handler { return d.mux(false) }

// Control serves the same to whoever may open the node's control socket, with
// the rights of an administrator.
func (d *Dashboard) Control() http.Handler { return d.mux(true) }

// Close ends the open streams, which http.Server.Shutdown would wait for. It
// may be called more than once.
func (d *Dashboard) Close() error {
	d.stop.Do(func() {
		close(d.stopped)
		d.live.close()
	})
	return nil
}
