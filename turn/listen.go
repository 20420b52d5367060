package turn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
)

// listenAddr is one entry of Config.Listen. A wildcard has no address, or the
// unspecified one of its family.
type listenAddr struct {
	addr netip.Addr
	port uint16
}

func parseListen(text string) (listenAddr, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return listenAddr{}, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return listenAddr{}, err
	}
	l := listenAddr{port: uint16(number)}
	if host == "" {
		return l, nil
	}
	if l.addr, err = netip.ParseAddr(host); err != nil {
		return listenAddr{}, err
	}
	if l.addr.Zone() != "" || l.addr.IsMulticast() || l.addr.Is4In6() {
		return listenAddr{}, fmt.Errorf("%v is no unicast address", l.addr)
	}
	return l, nil
}

func (l listenAddr) wildcard() bool { return !l.addr.IsValid() || l.addr.IsUnspecified() }

// expand lists the addresses that an entry stands for. Sockets bound to a
// wildcard would answer from whatever address the routes prefer, and a client
// does not take an answer from an address it has not asked.
func (l listenAddr) expand(s *site) []netip.Addr {
	if !l.wildcard() {
		return []netip.Addr{l.addr}
	}
	return slices.DeleteFunc(slices.Clone(s.unicast), func(a netip.Addr) bool {
		return l.addr.IsValid() && a.Is4() != l.addr.Is4()
	})
}

// sockets are what the relay listens with.
type sockets struct {
	udp []*net.UDPConn
	tcp []*net.TCPListener
}

func (s *sockets) close() {
	for _, c := range s.udp {
		c.Close()
	}
	for _, l := range s.tcp {
		l.Close()
	}
}

// listenAll binds every entry of listen. An address that a wildcard stands for
// and that cannot be bound is left out with a log line: one that is just being
// configured must not keep the relay from the others.
func listenAll(listen []string, s *site, log *slog.Logger) (_ *sockets, err error) {
	all := new(sockets)
	defer func() {
		if err != nil {
			all.close()
		}
	}()
	seen := map[netip.AddrPort]bool{}
	for _, text := range listen {
		entry, err := parseListen(text)
		if err != nil {
			return nil, err
		}
		before := len(all.udp)
		var lastErr error
		for _, addr := range entry.expand(s) {
			at := netip.AddrPortFrom(addr, entry.port)
			if at.Port() != 0 && seen[at] {
				continue
			}
			seen[at] = true
			bound, err := all.listen(at)
			switch {
			case err == nil:
				entry.port = bound // port 0 becomes one port for every address
			case !entry.wildcard() || isAddrInUse(err):
				return nil, err
			default:
				log.Warn("address not served", "component", "turn", "err", err)
				lastErr = err
			}
		}
		if len(all.udp) == before && lastErr != nil {
			return nil, lastErr
		}
	}
	return all, nil
}

// anyPortTries is how often a port that is free for UDP may turn out to be
// taken for TCP when any will do.
const anyPortTries = 16

// listen binds UDP and TCP to one port of an address and returns the port.
func (s *sockets) listen(at netip.AddrPort) (uint16, error) {
	for try := 1; ; try++ {
		bound, err := s.listenBoth(at)
		if err == nil || at.Port() != 0 || !isAddrInUse(err) || try == anyPortTries {
			return bound, err
		}
	}
}

func (s *sockets) listenBoth(at netip.AddrPort) (uint16, error) {
	udp, err := listenUDP(at)
	if err != nil {
		return 0, bindError(at, "udp", "turn.listen", err)
	}
	at = addrPortOf(udp.LocalAddr())
	listener, err := new(net.ListenConfig).Listen(context.Background(), network("tcp", at.Addr()), at.String())
	if err != nil {
		udp.Close()
		return 0, bindError(at, "tcp", "turn.listen", err)
	}
	_ = udp.SetReadBuffer(udpBuffer) // the kernel gives what it may
	s.udp = append(s.udp, udp)
	s.tcp = append(s.tcp, listener.(*net.TCPListener))
	return at.Port(), nil
}

// bindError says what to do about the failures that people meet.
func bindError(at netip.AddrPort, transport, key string, err error) error {
	switch {
	case isAddrInUse(err):
		return fmt.Errorf("port %d/%s is in use on %v; stop the other TURN server or set %s: %w",
			at.Port(), transport, at.Addr(), key, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("this machine has no address %v; set %s to one it has: %w", at.Addr(), key, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("port %d/%s needs the right to bind ports below 1024; set %s to a higher one: %w",
			at.Port(), transport, key, err)
	}
	return fmt.Errorf("bind %v/%s: %w", at, transport, err)
}

// listenUDP binds a socket of at's family to exactly that address.
func listenUDP(at netip.AddrPort) (*net.UDPConn, error) {
	return net.ListenUDP(network("udp", at.Addr()), net.UDPAddrFromAddrPort(at))
}

// network is "udp4" for "udp" and an IPv4 address, and so on.
func network(transport string, addr netip.Addr) string {
	if addr.Is4() {
		return transport + "4"
	}
	return transport + "6"
}

func isAddrInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// addrPortOf reads the address of a UDP or TCP socket. Anything else, such as
// the name of a pipe, is no address.
func addrPortOf(addr net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := addr.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
