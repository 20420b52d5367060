package turn

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// addressGrace is how long an address that has gone is kept: a cable that is
// plugged in again, or a DHCP client that starts anew, ends no call.
const addressGrace = 10 * time.Second

// service is one address on which clients are served, by UDP and TCP or over TLS.
type service struct {
	at     netip.AddrPort
	udp    []*udpLink // one for each loop
	tcp    *net.TCPListener
	secure *front    // in place of both
	pins   bool      // named by the configuration: it stays when the address goes
	gone   time.Time // when the address went; zero while the box has it
	stop   context.CancelFunc
}

// entry is one entry of Config.Listen or TLSListen.
type entry struct {
	listenAddr
	secure bool
	// faults are the addresses that could not be bound and why, as it was logged.
	faults map[netip.Addr]string
}

// openServices binds every entry of the configuration for the first time. An
// address that a wildcard stands for and that cannot be bound is left out with a
// log line: one that is just being configured must not keep the relay from the
// others.
func (s *Server) openServices(at *site) error {
	for _, text := range s.config.Listen {
		if err := s.openEntry(text, false, at); err != nil {
			return err
		}
	}
	if s.config.TLS == nil {
		return nil
	}
	for _, text := range s.config.TLSEntries() {
		if err := s.openEntry(text, true, at); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) openEntry(text string, secure bool, at *site) error {
	parsed, err := parseListen(text)
	if err != nil {
		return err
	}
	e := &entry{listenAddr: parsed, secure: secure}
	s.entries = append(s.entries, e)
	opened, faults := s.openMissing(e, at)
	for _, err := range faults {
		if !e.wildcard() || isAddrInUse(err) || len(opened) == 0 {
			return err
		}
	}
	return nil
}

// openMissing binds the addresses of an entry that are not served yet. It
// returns those it has bound and what was wrong with others, which it logs when
// it is new.
func (s *Server) openMissing(e *entry, at *site) (opened []*service, faults []error) {
	before := e.faults
	e.faults = map[netip.Addr]string{}
	for _, addr := range e.expand(at) {
		if s.serves(netip.AddrPortFrom(addr, e.port)) {
			continue
		}
		one, err := s.open(netip.AddrPortFrom(addr, e.port), e.secure)
		if err != nil {
			faults = append(faults, err)
			e.faults[addr] = err.Error()
			if before[addr] != err.Error() {
				s.log.Warn("address not served", "component", "turn", "err", err)
			}
			continue
		}
		one.pins = !e.wildcard()
		e.port = one.at.Port() // port 0 becomes one port for every address
		s.mu.Lock()
		s.services = append(s.services, one)
		s.mu.Unlock()
		opened = append(opened, one)
	}
	return opened, faults
}

func (s *Server) serves(at netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.services, func(x *service) bool { return x.at == at })
}

// open binds an address.
func (s *Server) open(at netip.AddrPort, secure bool) (*service, error) {
	if secure {
		f, err := s.listenTLS(at)
		if err != nil {
			return nil, err
		}
		return &service{at: addrPortOf(f.Addr()), secure: f}, nil
	}
	sockets, listener, err := bindPort(at, len(s.loops), &s.counters.sockets)
	if err != nil {
		return nil, err
	}
	one := &service{at: sockets[0].LocalAddr(), tcp: listener}
	for i, socket := range sockets {
		one.udp = append(one.udp, &udpLink{server: s, socket: socket, loop: s.loops[i], gate: newGate(s)})
	}
	return one, nil
}

// serve answers the clients of one address until ctx is cancelled or the
// address is given up, and waits for them.
func (s *Server) serve(ctx context.Context, one *service) error {
	if one.secure != nil {
		one.secure.begin()
		<-ctx.Done()
		return one.secure.Close()
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range one.udp {
		if err := l.loop.Add(l.socket, l); err != nil {
			if ctx.Err() != nil {
				break // the relay stops
			}
			return err
		}
		g.Go(func() error { return l.gate.run(ctx) })
	}
	g.Go(func() error {
		s.accept(ctx, one.tcp)
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		one.close()
		return nil
	})
	return g.Wait()
}

func (x *service) close() {
	if x.secure != nil {
		_ = x.secure.Close() // never fails
		return
	}
	for _, l := range x.udp {
		l.socket.Close()
	}
	x.tcp.Close()
}

// follow brings the services in step with the addresses that the box has now.
// It returns the new ones, which the caller serves, and whether some address
// could not be bound: one is not usable for a moment after it has appeared.
func (s *Server) follow(at *site, now time.Time) (opened []*service, failed bool) {
	for _, e := range s.entries {
		more, faults := s.openMissing(e, at)
		opened = append(opened, more...)
		failed = failed || len(faults) > 0
	}
	for _, x := range s.giveUp(at, now) {
		s.log.Info("address no longer served", "component", "turn", "conn", x.at)
		x.stop()
		s.ports.leave(x.at.Addr()) // first, so that none is claimed after
		s.endOn(x.at.Addr())
	}
	return opened, failed
}

// giveUp takes out the services whose address has been gone for too long. The
// caller ends them without the lock: a gate that it waits for may want it.
func (s *Server) giveUp(at *site, now time.Time) (expired []*service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services = slices.DeleteFunc(s.services, func(x *service) bool {
		switch {
		case x.pins || at.own[x.at.Addr()]:
			x.gone = time.Time{}
			return false
		case x.gone.IsZero():
			x.gone = now
			return false
		case now.Sub(x.gone) < addressGrace:
			return false
		}
		expired = append(expired, x)
		return true
	})
	return expired
}

// endOn ends the relayed addresses on an address that is no longer served, and
// the allocations that have no other.
func (s *Server) endOn(addr netip.Addr) {
	for _, a := range s.registry.live() {
		if slices.ContainsFunc(a.relays[:], func(r *relay) bool { return r != nil && r.local.Addr() == addr }) {
			a.gate.endOn(addr, a)
		}
	}
}
