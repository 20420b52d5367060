package udpio

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Socket is a UDP socket bound to one address. Its methods may be called
// concurrently.
type Socket struct {
	fd       int
	local    netip.AddrPort
	counters *Counters

	// users counts those in a system call, and one for being open: who brings
	// it to 0 closes fd, so that no call meets another file's number.
	users  atomic.Int64
	closed atomic.Bool
	noGSO  atomic.Bool // the kernel or the network card does not segment

	// The loop's alone:
	overflowed uint32 // the kernel's count
	next       int    // how many slots its next read may fill

	loop    atomic.Pointer[Loop] // set by Loop.Add
	slot    uint32
	handler Handler
}

// Listen binds a socket of at's family to exactly that address. Port 0 takes a
// free one.
func Listen(at netip.AddrPort, o Options) (*Socket, error) {
	family := unix.AF_INET
	if at.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &Socket{fd: fd, counters: o.Counters}
	if s.counters == nil {
		s.counters = new(Counters)
	}
	if err := s.bind(family, at, o); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	s.users.Store(1)
	return s, nil
}

func (s *Socket) bind(family int, at netip.AddrPort, o Options) error {
	// Only what was dropped goes uncounted where a kernel does not know this, as
	// those that emulate Linux do not.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	var options []struct{ level, name int }
	if family == unix.AF_INET {
		options = append(options, struct{ level, name int }{unix.IPPROTO_IP, unix.IP_RECVTOS})
	} else {
		options = append(options, struct{ level, name int }{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY},
			struct{ level, name int }{unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS})
	}
	if o.ReusePort {
		options = append(options, struct{ level, name int }{unix.SOL_SOCKET, unix.SO_REUSEPORT})
	}
	for _, option := range options {
		if err := unix.SetsockoptInt(s.fd, option.level, option.name, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	// Datagrams that the network card or the sender's kernel has kept together
	// come together (UDP GRO, since Linux 5.0).
	_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	// Before Linux 4.18 a train would leave as one datagram, without an error.
	if _, err := unix.GetsockoptInt(s.fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT); err != nil {
		s.noGSO.Store(true)
	}
	s.size(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, o.ReceiveBuffer)
	s.size(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, o.SendBuffer)
	if err := unix.Bind(s.fd, sockaddrOf(at)); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if at.Port() != 0 { // it is there, or bind had failed
		s.local = netip.AddrPortFrom(at.Addr().WithZone(""), at.Port())
		return nil
	}
	bound, err := unix.Getsockname(s.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	s.local = addrPortOf(bound)
	return nil
}

// size sets the size of a buffer: all of it as root, or else up to
// net.core.rmem_max or wmem_max.
func (s *Socket) size(force, ask, bytes int) {
	if bytes > 0 && unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, force, bytes) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, ask, bytes)
	}
}

func sockaddrOf(at netip.AddrPort) unix.Sockaddr {
	if at.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
}

func addrPortOf(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// LocalAddr is where the socket is bound.
func (s *Socket) LocalAddr() netip.AddrPort { return s.local }

// WriteTo sends one datagram without waiting. net.ErrClosed after Close.
func (s *Socket) WriteTo(p []byte, to netip.AddrPort) error {
	if !s.acquire() {
		return net.ErrClosed
	}
	defer s.release()
	err := unix.Sendto(s.fd, p, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, sockaddrOf(to))
	if err != nil {
		return fmt.Errorf("send to %v: %w", to, err)
	}
	return nil
}

// fragment says whether what is sent from now on may go out in fragments. That
// is a matter of the socket: a packet that another goroutine sends at the same
// moment meets with the same.
func (s *Socket) fragment(may bool) error {
	level, name, whole, normal := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO, unix.IP_PMTUDISC_WANT
	if s.local.Addr().Is6() {
		level, name = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER
		whole, normal = unix.IPV6_PMTUDISC_DO, unix.IPV6_PMTUDISC_WANT
	}
	value := whole
	if may {
		value = normal
	}
	return unix.SetsockoptInt(s.fd, level, name, value)
}

// Closed says whether Close has been called.
func (s *Socket) Closed() bool { return s.closed.Load() }

// Close ends the socket. Its handler may still be called for what has been
// read. It may be called more than once.
func (s *Socket) Close() {
	if s.closed.Swap(true) {
		return
	}
	if l := s.loop.Load(); l != nil {
		l.forget(s)
	}
	s.release()
}

// acquire keeps fd open until release; false when the socket is closed.
func (s *Socket) acquire() bool {
	for {
		n := s.users.Load()
		if n == 0 || s.closed.Load() {
			return false
		}
		if s.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *Socket) release() {
	if s.users.Add(-1) == 0 {
		_ = unix.Close(s.fd)
	}
}
