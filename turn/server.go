// Package turn is a STUN and TURN server (RFC 8489, RFC 8656) for UDP, TCP and
// TLS with time-limited credentials. It relays between its callers and the networks
// that are attached to the machine, and nothing else unless configured.
//
// pion/turn runs the allocations behind two wrappers: a gate between each
// socket or connection and pion, and a relayConn between pion and each relayed
// address. The gate authenticates and checks all that clients send; see there.
package turn

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// tendEvery is how often the relay looks at the machine's interfaces.
const tendEvery = 2 * time.Second

// minSecret is 128 bits, the least that a key shared with nobody should have.
const minSecret = 16

// Server is a TURN server. New, Run, and Close for one that never ran.
type Server struct {
	config     Config
	secret     []byte
	log        *slog.Logger
	failures   *slog.Logger // limited, for what a stranger can cause
	sockets    *sockets
	gates      []*gate  // one for each UDP socket
	fronts     []*front // of the addresses for TLS
	policy     *policy
	registry   *registry
	ports      *ports
	conns      *conns
	lobby      *lobby
	nonces     *nonces
	challenges *challengeLimit
	counters   counters

	closeOnce sync.Once
}

// New binds the sockets of cfg; nothing is served before Run. secret is what
// credentials are made with, at least 16 bytes.
func New(cfg Config, secret []byte) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("the TURN secret has %d bytes, want at least %d", len(secret), minSecret)
	}
	cfg = cfg.withDefaults()
	s := &Server{
		config:     cfg,
		secret:     slices.Clone(secret),
		log:        cfg.Logger,
		failures:   limited(cfg.Logger),
		registry:   newRegistry(cfg.MaxAllocations, cfg.MaxAllocationsPerUser),
		ports:      newPorts(cfg.RelayPorts),
		conns:      newConns(cfg.MaxConns, cfg.MaxConnsPerSource),
		lobby:      newLobby(),
		nonces:     newNonces(),
		challenges: newChallengeLimit(cfg.MaxChallenges),
	}
	s.policy = &policy{
		allow: cfg.AllowPeers, deny: cfg.DenyPeers, external: cfg.External, relayed: s.registry,
	}
	interfaces, err := readInterfaces()
	if err != nil {
		return nil, err
	}
	current := newSite(interfaces, cfg.IgnoreInterfaces)
	s.policy.site.Store(current)
	if s.sockets, err = listenAll(cfg.Listen, current, s.log); err != nil {
		return nil, err
	}
	if err := s.listenAllTLS(current); err != nil {
		s.Close()
		return nil, err
	}
	for _, socket := range s.sockets.udp {
		link := newUDPLink(socket, &s.counters)
		s.gates = append(s.gates, newGate(s, link, transportUDP, addrPortOf(socket.LocalAddr())))
	}
	return s, nil
}

// Run serves until ctx is cancelled and then ends every allocation and
// connection. Call it once.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	g, ctx := errgroup.WithContext(ctx)
	for _, gate := range s.gates {
		g.Go(func() error {
			if err := gate.serve(); err != nil {
				return fmt.Errorf("serve %v/udp: %w", gate.local, err)
			}
			return nil
		})
	}
	for _, listener := range s.sockets.tcp {
		g.Go(func() error {
			s.accept(ctx, listener)
			return nil
		})
	}
	for _, f := range s.fronts {
		f.begin()
	}
	g.Go(func() error {
		s.tend(ctx)
		s.Close()
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
		for _, gate := range s.gates {
			gate.link.close(closeShutdown)
		}
		s.sockets.close()
		for _, f := range s.fronts {
			_ = f.Close() // never fails
		}
		s.conns.stop()
	})
}

// Addrs are the addresses that clients are served on without TLS.
func (s *Server) Addrs() (udp, tcp []netip.AddrPort) {
	for _, c := range s.sockets.udp {
		udp = append(udp, addrPortOf(c.LocalAddr()))
	}
	for _, l := range s.sockets.tcp {
		tcp = append(tcp, addrPortOf(l.Addr()))
	}
	return udp, tcp
}

// tend keeps the relay in step with the machine until ctx is cancelled.
func (s *Server) tend(ctx context.Context) {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	for {
		s.extendWrites(time.Now().Add(udpWriteTimeout))
		select {
		case now := <-ticker.C:
			s.lookAround()
			s.ports.expire(now)
		case <-ctx.Done():
			return
		}
	}
}

// extendWrites moves the write deadline of every UDP socket.
func (s *Server) extendWrites(deadline time.Time) {
	for _, socket := range s.sockets.udp {
		_ = socket.SetWriteDeadline(deadline) // fails on a closed socket only
	}
	for _, a := range s.registry.live() {
		_ = a.relay.SetWriteDeadline(deadline)
	}
}

// lookAround takes note of the networks that are attached now. While they
// cannot be listed, those of before count.
func (s *Server) lookAround() {
	interfaces, err := readInterfaces()
	if err != nil {
		s.failures.Warn("interfaces not listed", "err", err)
		return
	}
	next := newSite(interfaces, s.config.IgnoreInterfaces)
	before := s.policy.site.Swap(next)
	if !slices.Equal(before.networks, next.networks) {
		s.log.Info("attached networks changed", "component", "turn", "site", next.networks)
	}
}
