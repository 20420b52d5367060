package cloud

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"signalbox/sync/cloud/backups"
	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/cloud/gateway"
	"signalbox/sync/cloud/identity"
	"signalbox/sync/cloud/people"
	"signalbox/sync/cloud/presence"
	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projector"
	"signalbox/sync/cloud/registry"
)

// Node is a cloud node. New, Run, and Close for one that never ran.
type Node struct {
	cfg  Config
	log  *slog.Logger
	name string
	id   string // name and a random end: two nodes may be called alike

	authority  *identity.Authority
	server     *identity.Server
	broker     *broker.Broker
	registry   *registry.Registry
	registrar  *identity.Registrar
	gateway    *gateway.Gateway
	backups    *backups.Backups
	presence   *presence.Presence
	projection *projection.Projection
	projector  *projector.Projector
	plain      []net.Listener
	secure     []net.Listener

	people    atomic.Pointer[people.People]
	dashboard atomic.Pointer[dashboard.Dashboard] // nil until the broker is there
	ready     chan struct{}
}

// New reads or makes the authority, opens the projection and binds every
// socket; it does not wait for the broker.
func New(cfg Config) (*Node, error) {
	if err := errors.Join(cfg.checkTop(), cfg.HTTP.Validate(), cfg.TLS.Validate(), cfg.NATS.Validate(), cfg.OIDC.Validate()); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{cfg: cfg, log: cfg.Logger, name: cfg.Name, ready: make(chan struct{})}
	if n.name == "" {
		n.name, _ = os.Hostname()
	}
	n.id = n.name + "-" + strings.ToLower(rand.Text()[:8])
	if err := n.build(); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func (n *Node) build() error {
	if err := os.MkdirAll(n.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("create data folder: %w", err)
	}
	for _, step := range []func() error{n.buildIdentity, n.openProjection, n.bind, n.buildBroker, n.buildProjector, n.buildGateway} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) part(name string) *slog.Logger { return n.log.With("component", name) }

func (n *Node) buildIdentity() (err error) {
	n.authority, err = identity.Open(identity.Config{Dir: n.cfg.Data, Domain: n.cfg.Domain, Logger: n.part("identity")})
	if err != nil {
		return err
	}
	n.server, err = n.authority.ServerCertificate(identity.ServerConfig{
		Names: n.cfg.TLS.Names, CertFile: n.cfg.TLS.Cert, KeyFile: n.cfg.TLS.Key, Logger: n.part("identity"),
	})
	return err
}

func (n *Node) buildBroker() (err error) {
	cfg := broker.Config{
		Dir: filepath.Join(n.cfg.Data, "streams"), NATS: n.cfg.NATS.URLs, User: n.cfg.NATS.User, Creds: n.cfg.NATS.CredsFile,
		CAFile: n.cfg.NATS.CAFile, CertFile: n.cfg.NATS.CertFile, KeyFile: n.cfg.NATS.KeyFile, Account: n.cfg.NATS.Account,
		Replicas: n.cfg.NATS.Replicas, UpBytes: n.cfg.NATS.FramesMaxBytes, RollupBytes: n.cfg.NATS.RollupsMaxBytes,
		SessionKey: n.authority.SessionKey(), Logger: n.log,
	}
	if cfg.Password, err = secretIn(n.cfg.NATS.PasswordFile, "nats.password_file"); err != nil {
		return err
	}
	if cfg.CalloutSeed, err = secretIn(n.cfg.NATS.CalloutFile, "nats.callout_file"); err != nil {
		return err
	}
	if n.broker, err = broker.New(cfg); err != nil {
		return err
	}
	n.registry = registry.New(registry.Config{JetStream: n.broker.JetStream(), Logger: n.log})
	n.registrar, err = identity.NewRegistrar(identity.RegistrarConfig{Authority: n.authority, Registry: n.registry, Logger: n.part("identity")})
	return err
}

// secretIn reads a file with one line. No file is no secret.
func secretIn(file, key string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// What is asked of the projector, at Speed 1.
const (
	checkEvery  = 5 * time.Second
	resyncAfter = 30 * time.Second
	askEvery    = time.Second / 16
)

func (n *Node) speed() time.Duration { return time.Duration(max(n.cfg.Speed, 1)) }

// openProjection comes before everything that writes into the folder: its lock
// keeps a second node out.
func (n *Node) openProjection() (err error) {
	n.projection, err = projection.Open(filepath.Join(n.cfg.Data, projection.FileName))
	if err != nil {
		return err
	}
	if err := projector.Sweep(n.cfg.Data); err != nil {
		n.log.Warn("what an interrupted verify has left cannot be removed", "component", "projection", "err", err)
	}
	if damage := n.projection.Damage(); damage != nil {
		n.log.Warn("the projection was damaged and is made anew from the streams", "component", "projection", "err", damage)
	}
	return nil
}

func (n *Node) buildProjector() (err error) {
	n.projector, err = projector.New(projector.Config{
		Projection: n.projection, JetStream: n.broker.JetStream(), Conn: n.broker.Conn(),
		Keys: keys{n.registry}, Desired: desired{n.registry}, Results: results{n.registry}, Node: n.id, Logger: n.part("projector"), Ahead: len(n.cfg.NATS.URLs) > 0,
		CheckEvery: checkEvery / n.speed(), ResyncAfter: resyncAfter / n.speed(), AskEvery: askEvery / n.speed(),
	})
	return err
}

func (n *Node) buildGateway() (err error) {
	n.gateway, err = gateway.New(gateway.Config{Broker: n.broker, Registry: n.registry, Identity: gateway.Registrar{Registrar: n.registrar}, Logger: n.log})
	if err != nil {
		return err
	}
	n.backups, err = backups.New(backups.Config{
		JetStream: n.broker.JetStream(), Registry: n.registry, Identify: n.gateway.Identify, MaxBytes: n.cfg.NATS.BackupsMaxBytes, Logger: n.log,
	})
	if err != nil {
		return err
	}
	n.presence, err = presence.New(presence.Config{Conn: n.broker.Conn(), Node: n.id, Local: n.gateway.Online, Logger: n.part("presence")})
	return err
}

// Ready is closed once the node serves the dashboard.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Run serves until ctx is cancelled or a part fails, and waits for every part.
func (n *Node) Run(ctx context.Context) (err error) {
	defer n.Close()
	g, ctx := errgroup.WithContext(ctx)
	var rest sync.WaitGroup
	run := func(part string, f func(context.Context) error) {
		rest.Add(1)
		g.Go(func() error {
			defer rest.Done()
			return supervise(ctx, part, f)
		})
	}
	// The broker stops last: leases are given back to it, and what is under way
	// must still land.
	last, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g.Go(func() error { return supervise(last, "broker", n.broker.Run) })
	run("registry", n.registry.Run)
	run("projector", n.afterBroker(n.projector.Run))
	run("gateway", n.gateway.Run)
	run("backups", n.afterBroker(n.backups.Run))
	run("presence", n.presence.Run)
	run("https", n.serve)
	run("dashboard", n.runDashboard)
	g.Go(func() error {
		<-ctx.Done()
		rest.Wait()
		stop()
		return nil
	})
	return g.Wait()
}

// afterBroker runs what reads streams once they are there.
func (n *Node) afterBroker(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-n.broker.Ready():
			return run(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// supervise runs one part. A part that returns while ctx is live has failed,
// even when it returns nil; a part stopped through ctx has not.
func supervise(ctx context.Context, part string, run func(context.Context) error) error {
	err := run(ctx)
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	if err == nil {
		err = errors.New("stopped by itself")
	}
	return fmt.Errorf("%s: %w", part, err)
}

// bucketWait bounds a look for the buckets that the broker has just made.
const bucketWait = 30 * time.Second

// runDashboard begins when the broker and the registry are there: the streams
// of an external cluster may be long in coming.
func (n *Node) runDashboard(ctx context.Context) error {
	for _, there := range []<-chan struct{}{n.broker.Ready(), n.registry.Loaded()} {
		select {
		case <-there:
		case <-ctx.Done():
			return nil
		}
	}
	d, err := n.newDashboard(ctx)
	if err != nil {
		return err
	}
	n.dashboard.Store(d)
	n.log.Info("node serves", "component", "cloud", "node", n.name, "version", n.cfg.Version)
	close(n.ready)
	return d.Run(ctx)
}

func (n *Node) newDashboard(ctx context.Context) (*dashboard.Dashboard, error) {
	ctx, cancel := context.WithTimeout(ctx, bucketWait)
	defer cancel()
	js := n.broker.JetStream()
	buckets := map[string]jetstream.KeyValue{}
	for _, name := range []string{"registry", "signin", "lease"} {
		kv, err := js.KeyValue(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("bucket %s: %w", name, err)
		}
		buckets[name] = kv
	}
	audit := people.NewAudit(js, "AUDIT", "audit."+n.cfg.Tenant)
	who, err := people.New(people.Config{
		Registry: buckets["registry"], SignIn: buckets["signin"], Audit: audit, OIDC: n.cfg.OIDC, Logger: n.part("people"),
	})
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, n.authority.SessionKey(), nil, "signalbox dashboard 1", 32)
	if err != nil {
		return nil, err
	}
	metrics := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collector{n}} {
		if err := metrics.Register(c); err != nil {
			return nil, err
		}
	}
	seen := dashboard.Projected{
		Projection: n.projection, Presence: n.presence, Ahead: n.projector,
		Current: func() bool { return n.projector.Stats().Lag < behindLag },
	}
	d, err := dashboard.New(dashboard.Config{
		Tenant: n.cfg.Tenant, Node: n.name, Version: n.cfg.Version, URL: n.URL(), Key: key,
		Fleet: seen, History: seen, Registry: dashboard.Registered{Registry: n.registry, Tenant: n.cfg.Tenant},
		Identity: dashboard.Identified{Registrar: n.registrar, Authority: n.authority, Tenant: n.cfg.Tenant},
		Presence: n.presence, Tried: n.registrar.Tried,
		People: who, Audit: audit, Conn: n.broker.Conn(), Bucket: buckets["registry"], Lease: buckets["lease"],
		Parts: n.parts, Metrics: metrics, Logger: n.part("dashboard"),
	})
	if err == nil {
		n.people.Store(who)
	}
	return d, err
}

// FirstLink is the link by which the first administrator comes in, "" when there
// is one. Call it after Ready.
func (n *Node) FirstLink(ctx context.Context) (string, error) {
	who := n.people.Load()
	if who == nil {
		return "", errors.New("the node is not ready")
	}
	code, err := who.FirstLink(ctx)
	if err != nil || code == "" {
		return "", err
	}
	return n.URL() + "/#link=" + code, nil
}

// behindLag is how many messages of the stream may wait for the projection to
// count as current: those of a moment.
const behindLag = 1000

// parts is the health of the node.
func (n *Node) parts() []dashboard.Part {
	of := func(name string, required bool, err error) dashboard.Part {
		p := dashboard.Part{Name: name, OK: err == nil, Required: required}
		if err != nil {
			p.Reason = err.Error()
		}
		return p
	}
	var behind error
	if lag := n.projector.Stats().Lag; lag >= behindLag {
		behind = errors.New("the projection is behind the stream")
	}
	return []dashboard.Part{
		of("broker", true, n.broker.Healthy()), of("registry", true, n.registry.Healthy()), of("projection", false, behind),
	}
}

// Close undoes New. Run does so by itself.
func (n *Node) Close() {
	for _, l := range append(append([]net.Listener{}, n.plain...), n.secure...) {
		_ = l.Close()
	}
	if n.gateway != nil {
		n.gateway.Close()
	}
	if n.backups != nil {
		n.backups.Close()
	}
	if n.broker != nil {
		n.broker.Close()
	}
	if n.projection != nil {
		if err := n.projection.Close(); err != nil {
			n.log.Error("projection not closed", "err", err)
		}
	}
}

// Control serves the JSON API with the rights of an administrator, for a socket
// that only they can open. It answers 503 until Ready.
func (n *Node) Control() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := n.dashboard.Load()
		switch {
		case r.URL.Path == verifyPath && r.Method == http.MethodPost:
			n.serveVerify(w, r)
		case strings.HasPrefix(r.URL.Path, backupsPath):
			n.serveBackups(w, r)
		case d == nil:
			starting(w)
		default:
			d.Control().ServeHTTP(w, r)
		}
	})
}
