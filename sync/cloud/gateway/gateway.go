// Package gateway is where boxes come in: the WebSocket tunnel to the broker,
// and POST for networks that no WebSocket crosses. Who they are is settled before
// a byte of theirs goes further, and then only what a box has to say does.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/registry"
	"signalbox/sync/wire"
)

// Config is what New needs. A zero field means its default.
type Config struct {
	Broker   *broker.Broker
	Registry *registry.Registry
	Identity Authenticator

	// MaxTunnels bounds all tunnels of this node together, MaxPosts the posts in
	// progress.
	MaxTunnels int
	MaxPosts   int
	// BoxBytes is what a box may send at once, and again after a pause at
	// BoxRate a second: a full outbox and then some. Beyond that it is slowed down.
	BoxBytes int
	BoxRate  int
	// BoxLines and BoxLineRate are the same for lines of the broker's protocol, so
	// for messages: each costs the broker a write to the disk, or an answer,
	// however small it is.
	BoxLines    int
	BoxLineRate int
	// PingEvery is how long a tunnel may be silent before it is asked whether it
	// still lives, PongWait how long it has to answer. Each ping costs some 250
	// bytes on the wire.
	PingEvery time.Duration
	PongWait  time.Duration
	// Source is where a request comes from; nil: the other end of the connection.
	// Behind a load balancer that is not the box.
	Source func(*http.Request) netip.Addr

	Logger *slog.Logger // nil: discard
}

// Bounds and waits.
const (
	maxTunnelsOfBox = 2
	maxPostsOfBox   = 2

	dialWait    = 5 * time.Second
	writeWait   = 10 * time.Second // for a message, either way
	upgradeWait = 10 * time.Second
	closeWait   = time.Second // for the close frame

	smallBuffer = 512 // held by each tunnel while nothing comes
	readBuffer  = 1 << 10
	writeBuffer = 2 << 10 // of the pool, held while a message is written
	largeBuffer = 16 << 10
)

func (c Config) withDefaults() Config {
	def := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	def(&c.MaxTunnels, 20_000)
	def(&c.MaxPosts, 256)
	def(&c.BoxBytes, 96<<20)
	def(&c.BoxRate, 128<<10)
	def(&c.BoxLines, 4096)
	def(&c.BoxLineRate, 32)
	if c.PingEvery == 0 {
		c.PingEvery = 3 * time.Minute // the box itself pings after 150 s of silence
	}
	if c.PongWait == 0 {
		c.PongWait = 15 * time.Second
	}
	if c.Source == nil {
		c.Source = remote
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func remote(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// Gateway is an http.Handler for wire.TunnelPath and wire.FramesPath.
type Gateway struct {
	cfg      Config
	log      *slog.Logger
	upgrader websocket.Upgrader
	large    sync.Pool // of *[largeBuffer]byte
	sources  sources
	counts   counts
	changes  *registry.Changes
	tunnels  sync.WaitGroup

	mu    sync.Mutex
	open  int
	posts int
	boxes map[wire.BoxID]*box
	stop  bool
}

// New makes a gateway. It serves at once; Run has revoked boxes cut off, and ends
// the tunnels when it returns.
func New(cfg Config) (*Gateway, error) {
	cfg = cfg.withDefaults()
	if cfg.Broker == nil || cfg.Registry == nil || cfg.Identity == nil {
		return nil, errors.New("gateway: wants a broker, a registry and an identity")
	}
	g := &Gateway{
		cfg: cfg, log: cfg.Logger.With("component", "gateway"), boxes: make(map[wire.BoxID]*box),
		changes: cfg.Registry.Changes(),
	}
	g.large.New = func() any { return new([largeBuffer]byte) }
	g.upgrader = websocket.Upgrader{
		HandshakeTimeout: upgradeWait, ReadBufferSize: readBuffer, WriteBufferSize: writeBuffer, WriteBufferPool: &sync.Pool{},
		Subprotocols: []string{wire.TunnelSubprotocol},
		// Boxes are no browsers, and a browser cannot make their proof.
		CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "" },
		Error:       func(http.ResponseWriter, *http.Request, int, error) {}, // serveTunnel answers
	}
	return g, nil
}

// Run serves until ctx is cancelled, and then ends every tunnel and waits for it.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.changes.Ready():
			for _, c := range g.changes.Take() {
				g.changed(c)
			}
		}
	}
}

// Close ends every tunnel and waits for it. Run does so itself.
func (g *Gateway) Close() {
	g.changes.Close()
	g.mu.Lock()
	g.stop = true
	open := g.allLocked()
	g.mu.Unlock()
	for _, t := range open {
		t.end(wire.CloseRestart, closedRestart)
	}
	g.tunnels.Wait()
}

func (g *Gateway) allLocked() []*tunnel {
	var out []*tunnel
	for _, b := range g.boxes {
		out = append(out, b.tunnels...)
	}
	return out
}

// changed cuts off boxes that may no longer connect.
func (g *Gateway) changed(c registry.Change) {
	if c.Kind != registry.KindBox && c.Kind != registry.KindSite {
		return
	}
	g.mu.Lock()
	var concerned []*tunnel
	for id, b := range g.boxes {
		if id.String() == c.Key || strings.HasPrefix(id.String(), c.Key+".") {
			concerned = append(concerned, b.tunnels...)
		}
	}
	g.mu.Unlock()
	for _, t := range concerned {
		if !g.cfg.Registry.MayConnect(t.id) {
			t.end(wire.CloseRevoked, closedRevoked)
		}
	}
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case wire.TunnelPath:
		g.serveTunnel(w, r)
	case wire.FramesPath:
		g.serveFrames(w, r)
	default:
		http.NotFound(w, r)
	}
}

// identify lets the identity decide, within what a source may ask of it.
func (g *Gateway) identify(w http.ResponseWriter, r *http.Request) (Caller, bool) {
	source := g.cfg.Source(r)
	if wait := g.sources.wait(source, time.Now()); wait > 0 {
		g.refuse(w, refusedSource, wait)
		return Caller{}, false
	}
	c, ok := g.cfg.Identity.Identify(w, r)
	// The first of two requests comes without proof, to get a nonce.
	refused := !ok && r.Header.Get("Authorization") != ""
	bad := refused && !c.Usual
	g.sources.charge(source, bad, time.Now())
	switch {
	case refused:
		g.counts.refused.add(refusedIdentity)
	case !ok:
		g.counts.challenges.Add(1)
	case !g.cfg.Registry.MayConnect(c.Box):
		g.refuse(w, refusedRevoked, 0)
		return Caller{}, false
	case !time.Now().Before(c.Until):
		g.refuse(w, refusedEnded, 0)
		return Caller{}, false
	}
	return c, ok
}

// dial opens a connection to the broker.
func (g *Gateway) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	conn, err := g.cfg.Broker.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	return conn, nil
}
