package turn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// conns are the open TCP connections, in all and by source.
type conns struct {
	max, maxPerSource int

	mu       sync.Mutex
	stopped  bool
	links    map[*tcpLink]bool
	bySource map[netip.Addr]int
}

func newConns(maxConns, maxPerSource int) *conns {
	return &conns{
		max: maxConns, maxPerSource: maxPerSource,
		links: map[*tcpLink]bool{}, bySource: map[netip.Addr]int{},
	}
}

// add admits a connection. On false it says why not, and the caller closes it.
func (c *conns) add(l *tcpLink) (closeReason, bool) {
	source := sourceOf(l.remote.Addr())
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
		return closeShutdown, false
	case len(c.links) >= c.max:
		return closeLimit, false
	case c.bySource[source] >= c.maxPerSource:
		return closeSource, false
	}
	c.links[l] = true
	c.bySource[source]++
	return 0, true
}

func (c *conns) remove(l *tcpLink) {
	source := sourceOf(l.remote.Addr())
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.links, l)
	if c.bySource[source]--; c.bySource[source] == 0 {
		delete(c.bySource, source)
	}
}

func (c *conns) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.links)
}

// stop closes every connection and admits no more.
func (c *conns) stop() {
	c.mu.Lock()
	c.stopped = true
	links := make([]*tcpLink, 0, len(c.links))
	for l := range c.links {
		links = append(links, l)
	}
	c.mu.Unlock()
	for _, l := range links {
		l.close(closeShutdown)
	}
}

// sourceOf is what limits per source are counted by: an address, or the /64 of
// an IPv6 one, all of which one host may use.
func sourceOf(addr netip.Addr) netip.Addr {
	if addr = canonical(addr); addr.Is6() {
		network, _ := addr.Prefix(64)
		return network.Addr()
	}
	return addr
}

// accept serves the connections of one listener until it is closed, and waits
// for them. A failed Accept, as when the process has no file descriptor left,
// is tried again: the listener outlives it.
func (s *Server) accept(ctx context.Context, listener net.Listener) {
	var serving sync.WaitGroup
	defer serving.Wait()
	for failed := 0; ; {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			failed = 0
			serving.Go(func() { s.ServeConn(conn) })
		case errors.Is(err, net.ErrClosed):
			return
		default:
			s.counters.acceptErrors.Add(1)
			s.failures.Warn("tcp connection not accepted", "err", err)
			if !pause(backoff(failed), ctx.Done()) {
				return
			}
			failed++
		}
	}
}

// ServeConn serves one client on a TCP or TLS connection until that ends. It
// counts against the limits on connections. Any goroutine may call it.
func (s *Server) ServeConn(conn net.Conn) {
	l := newTCPLink(s, conn)
	if reason, ok := s.conns.add(l); !ok {
		l.close(reason)
		return
	}
	defer s.conns.remove(l)
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(l.writeLoop)
	l.serve()
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
