// Package turn is a STUN and TURN server (RFC 8489, RFC 8656) for UDP, TCP and
// TLS. It relays between its callers and the networks that are attached to the
// machine, and nothing else unless configured. It knows nothing of signaling and
// can be used alone.
//
// Packets are carried by a data plane of its own, plane.go on top of
// internal/udpio. Requests go through a gate to pion/turn, which runs the
// allocations; the gate authenticates and checks all that clients send. DESIGN.md
// says how the two fit together.
package turn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"signalbox/turn/internal/udpio"
)

// maxLoops bounds the threads that move packets, and with them the sockets of
// each address. The number does not change while the relay runs, or the kernel
// would give the packets of some clients to another socket than before.
const maxLoops = 16

// streamBatch is how many packets one stream connection may gather.
const streamBatch = 64

// Server is a TURN server. New, Run, and Close for one that never ran.
type Server struct {
	config     Config
	keys       *keyring
	files      secretFiles
	log        *slog.Logger
	failures   *slog.Logger // limited, for what a stranger can cause
	clock      clock
	loops      []*udpio.Loop
	streams    []*gate // of stream connections
	nextStream atomic.Uint32
	batches    sync.Pool // of stream connections; *udpio.Batch
	policy     *policy
	registry   *registry
	quotas     *quotas
	ports      *ports
	conns      *conns
	lobby      *lobby
	nonces     *nonces
	challenges *challengeLimit
	drain      *drain
	counters   counters

	entries  []*entry // of New, then of tend
	mu       sync.Mutex
	services []*service

	closeOnce sync.Once
}

// New binds the sockets of cfg; nothing is served before Run. secret is what
// credentials are made with, at least 16 bytes; those made with older ones are
// accepted as well (see SetSecrets).
func New(cfg Config, secret []byte, older ...Secret) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	files := secretFiles{paths: cfg.SecretFiles}
	users, err := userKeys(cfg.Users, cfg.Realm)
	if err := errors.Join(err, files.load()); err != nil {
		return nil, err
	}
	keys, err := newKeyring(cfg.Realm, append([]Secret{{Key: secret}}, older...), users, files.secrets())
	if err != nil {
		return nil, err
	}
	s := &Server{
		config:     cfg,
		keys:       keys,
		files:      files,
		log:        cfg.Logger,
		failures:   limited(cfg.Logger),
		clock:      clock{time.Now()},
		registry:   newRegistry(),
		quotas:     newQuotas(cfg),
		conns:      newConns(cfg.MaxConns, cfg.MaxConnsPerSource),
		lobby:      newLobby(cfg.MaxHandshakes, cfg.MaxHandshakesPerSource),
		nonces:     newNonces(),
		challenges: newChallengeLimit(cfg.MaxChallenges),
		drain:      newDrain(),
	}
	s.ports = newPorts(cfg.RelayPorts, cfg.External, &s.counters.sockets)
	s.batches.New = func() any { return udpio.NewBatch(&s.counters.sockets, streamBatch) }
	if err := s.bind(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// bind acquires what New has to.
func (s *Server) bind() error {
	for range min(runtime.NumCPU(), runtime.GOMAXPROCS(0), maxLoops) {
		loop, err := udpio.NewLoop(&s.counters.sockets)
		if err != nil {
			return err
		}
		s.loops = append(s.loops, loop)
		s.streams = append(s.streams, newGate(s))
	}
	interfaces, err := readInterfaces()
	if err != nil {
		return err
	}
	current := newSite(interfaces, s.config.interfaces())
	s.policy = newPolicy(s.registry, rulebook{
		allow: s.config.AllowPeers, deny: s.config.DenyPeers, external: s.config.External, site: current,
	})
	return s.openServices(current)
}

// Run serves until ctx is cancelled and then ends every allocation and
// connection. Call it once.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	g, ctx := errgroup.WithContext(ctx)
	for _, loop := range s.loops {
		g.Go(func() error { return loop.Run(ctx) })
	}
	for _, gate := range s.streams {
		g.Go(func() error { return gate.run(ctx) })
	}
	start := func(one *service) {
		var own context.Context
		own, one.stop = context.WithCancel(ctx)
		g.Go(func() error {
			if err := s.serve(own, one); err != nil {
				return fmt.Errorf("serve %v: %w", one.at, err)
			}
			return nil
		})
	}
	for _, one := range s.services {
		start(one)
	}
	changes := make(chan struct{}, 1)
	g.Go(func() error {
		watchAddrs(ctx, changes, s.failures)
		return nil
	})
	g.Go(func() error {
		s.tend(ctx, changes, start)
		s.conns.stop()
		return nil
	})
	served, _ := s.Addrs() // the same for TCP
	s.log.Info("relay started", "component", "turn", "conn", served)
	err := g.Wait()
	s.conns.wait() // those that came by Share and ServeConn too
	s.log.Info("relay stopped", "component", "turn")
	return err
}

// Close ends everything. Run does so by itself; a Server that is never run
// needs it. It may be called more than once.
func (s *Server) Close() {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, one := range s.services {
			one.close()
		}
		for _, loop := range s.loops {
			loop.Close()
		}
		s.conns.stop()
		s.ports.close()
	})
}

// Addrs are the addresses that clients are served on without TLS. They change
// with those of the box where Config.Listen has a wildcard.
func (s *Server) Addrs() (udp, tcp []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.services {
		if one.gone.IsZero() && one.secure == nil {
			udp = append(udp, one.at)
			tcp = append(tcp, one.at)
		}
	}
	return udp, tcp
}

// relayAddr is an address to relay on for a client that speaks to local: that
// one if it is of the wanted family, else one that is served, best on the same
// interface; invalid for none. Loopback goes with loopback. A link-local address,
// to which a client may come by a port of Share, is of no use to a peer.
func (s *Server) relayAddr(local netip.Addr, is func(netip.Addr) bool) netip.Addr {
	if is(local) && !local.IsLinkLocalUnicast() {
		return local
	}
	at := s.policy.site()
	same := cmp.Or(at.interfaces[local], local.Zone()) // a zone is the name of an interface
	var best netip.Addr
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.services {
		addr := one.at.Addr()
		if !is(addr) || addr.IsLinkLocalUnicast() || !one.gone.IsZero() || addr.IsLoopback() != local.IsLoopback() {
			continue
		}
		if !best.IsValid() || at.interfaces[addr] == same && at.interfaces[best] != same {
			best = addr
		}
	}
	return best
}

// loopFor is the loop that reads the relayed addresses of a client: the one
// that reads the client, so that both directions stay on one core.
func (s *Server) loopFor(l link) *udpio.Loop {
	if udp, ok := l.(*udpLink); ok {
		return udp.loop
	}
	return s.loops[s.nextStream.Add(1)%uint32(len(s.loops))]
}

// streamGate takes turns among the gates of stream connections.
func (s *Server) streamGate() *gate {
	return s.streams[s.nextStream.Add(1)%uint32(len(s.streams))]
}

func (s *Server) drop(reason dropReason) { s.counters.drop(reason) }
