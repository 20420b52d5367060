package turn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"

	"signalbox/turn/internal/udpio"
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

// anyPortTries is how often a port that is free for UDP may turn out to be
// taken for TCP when any will do.
const anyPortTries = 16

// bindPort binds UDP sockets and a TCP listener to one port of an address.
func bindPort(at netip.AddrPort, sockets int, c *udpio.Counters) (udp []*udpio.Socket, tcp *net.TCPListener, err error) {
	for try := 1; ; try++ {
		udp, tcp, err = bindBoth(at, sockets, c)
		if err == nil || at.Port() != 0 || !isAddrInUse(err) || try == anyPortTries {
			return udp, tcp, err
		}
	}
}

func bindBoth(at netip.AddrPort, sockets int, c *udpio.Counters) (udp []*udpio.Socket, tcp *net.TCPListener, err error) {
	// The first one does not share: it finds out whether another program has
	// the port, which would otherwise get some of the clients.
	probe, err := udpio.Listen(at, udpio.Options{})
	if err != nil {
		return nil, nil, bindError(at, "udp", "turn.listen", err)
	}
	at = probe.LocalAddr()
	probe.Close()
	defer func() {
		if err != nil {
			for _, socket := range udp {
				socket.Close()
			}
		}
	}()
	for range sockets {
		socket, err := udpio.Listen(at, udpio.Options{ReusePort: true, ReceiveBuffer: listenBuffer, SendBuffer: listenBuffer, Counters: c})
		if err != nil {
			return udp, nil, bindError(at, "udp", "turn.listen", err)
		}
		udp = append(udp, socket)
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), network("tcp", at.Addr()), at.String())
	if err != nil {
		return udp, nil, bindError(at, "tcp", "turn.listen", err)
	}
	return udp, listener.(*net.TCPListener), nil
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
