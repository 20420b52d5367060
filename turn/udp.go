package turn

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// udpBuffer is asked of the kernel for each listening socket; it gives
	// what net.core.rmem_max allows. With 4 MiB instead of the usual 208 KiB
	// a burst of video fits while another client is served.
	udpBuffer = 4 << 20

	// udpWriteTimeout bounds a write to a UDP socket whose queue is full.
	// The deadlines are set by Run.tend, one call each two seconds in place
	// of one for every packet.
	udpWriteTimeout = 10 * time.Second
)

// udpSocket is the part of net.UDPConn that is used here.
type udpSocket interface {
	ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error)
	SetWriteDeadline(time.Time) error
	Close() error
}

var _ udpSocket = (*net.UDPConn)(nil)

// udpLink is one UDP socket on one local address, so that the kernel answers
// from the address that was asked.
type udpLink struct {
	socket   udpSocket
	counters *counters
	closed   chan struct{}
	once     sync.Once
}

func newUDPLink(socket udpSocket, c *counters) *udpLink {
	return &udpLink{socket: socket, counters: c, closed: make(chan struct{})}
}

// read survives every error but its own closing: an ICMP message of a stranger
// or an interface that goes away must not end a socket that serves everyone.
func (l *udpLink) read(p []byte) (int, netip.AddrPort, bool) {
	for failed := 0; ; {
		n, from, err := l.socket.ReadFromUDPAddrPort(p)
		switch {
		case err == nil && n > maxMessage:
			l.counters.drop(dropOversize)
		case err == nil:
			return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), true
		case errors.Is(err, net.ErrClosed):
			return 0, netip.AddrPort{}, false
		default:
			l.counters.readErrors.Add(1)
			if !pause(backoff(failed), l.closed) {
				return 0, netip.AddrPort{}, false
			}
			failed++
		}
	}
}

func (l *udpLink) write(message []byte, to netip.AddrPort, _ bool) {
	if _, err := l.socket.WriteToUDPAddrPort(message, to); err != nil && !errors.Is(err, net.ErrClosed) {
		l.counters.drop(dropSendFailed)
	}
}

func (l *udpLink) setAllocated(bool) {}

func (l *udpLink) close(closeReason) {
	l.once.Do(func() {
		close(l.closed)
		l.socket.Close()
	})
}

const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = time.Second
)

// backoff is how long to wait after so many failures in a row.
func backoff(failed int) time.Duration {
	return min(minBackoff<<min(failed, 10), maxBackoff)
}

// pause waits for d; false means that closed came first.
func pause(d time.Duration, closed <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-closed:
		return false
	}
}
