//go:build !linux

package udpio

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Where there is no epoll a goroutine reads each socket, and packets go out one
// by one. It is for trying things out; boxes run Linux.

// Socket is a UDP socket bound to one address. Its methods may be called
// concurrently.
type Socket struct {
	conn     *net.UDPConn
	counters *Counters
	closed   atomic.Bool
}

// Listen binds a socket of at's family to exactly that address. Port 0 takes a
// free one. Of the options, ReusePort has no effect: one socket serves all.
func Listen(at netip.AddrPort, o Options) (*Socket, error) {
	network := "udp4"
	if at.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	if o.ReceiveBuffer > 0 {
		_ = conn.SetReadBuffer(o.ReceiveBuffer) // the kernel gives what it may
	}
	if o.SendBuffer > 0 {
		_ = conn.SetWriteBuffer(o.SendBuffer)
	}
	s := &Socket{conn: conn, counters: o.Counters}
	if s.counters == nil {
		s.counters = new(Counters)
	}
	return s, nil
}

// LocalAddr is where the socket is bound.
func (s *Socket) LocalAddr() netip.AddrPort {
	at := s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// WriteTo sends one datagram. net.ErrClosed after Close.
func (s *Socket) WriteTo(p []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(p, to)
	return err
}

// Closed says whether Close has been called.
func (s *Socket) Closed() bool { return s.closed.Load() }

// Close ends the socket. It may be called more than once.
func (s *Socket) Close() {
	s.closed.Store(true)
	s.conn.Close()
}

// Loop reads sockets. New, Run, and Close for one that never ran.
type Loop struct {
	counters *Counters
	readers  sync.WaitGroup
	handling sync.Mutex // a handler is called by one goroutine at a time

	mu      sync.Mutex
	closed  bool
	sockets map[*Socket]bool
}

// NewLoop makes a loop that counts into c.
func NewLoop(c *Counters) (*Loop, error) {
	return &Loop{counters: c, sockets: map[*Socket]bool{}}, nil
}

// Add has the loop read s and give what comes to h, until s is closed. A socket
// is added to one loop once.
func (l *Loop) Add(s *Socket, h Handler) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || s.Closed() {
		return os.ErrClosed
	}
	l.sockets[s] = true
	l.readers.Go(func() { l.read(s, h) })
	return nil
}

func (l *Loop) read(s *Socket, h Handler) {
	b, p := NewBatch(l.counters, 1), make([]byte, MaxDatagram+8)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(p)
		switch {
		case errors.Is(err, net.ErrClosed):
			l.mu.Lock()
			delete(l.sockets, s)
			l.mu.Unlock()
			return
		case err != nil:
			l.counters.ReadErrors.Add(1)
			time.Sleep(time.Millisecond) // a fault that lasts must not take a core
		case n > MaxDatagram:
			l.counters.Oversize.Add(1)
		default:
			l.handling.Lock()
			b.Begin(time.Now())
			h.Receive(b, Datagram{From: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), Data: p[:n]})
			b.Flush()
			l.handling.Unlock()
		}
	}
}

// Run waits until ctx is cancelled and closes the sockets. Call it once.
func (l *Loop) Run(ctx context.Context) error {
	<-ctx.Done()
	l.Close()
	return nil
}

// Close lets go of the loop and its sockets. It may be called more than once.
func (l *Loop) Close() {
	l.mu.Lock()
	l.closed = true
	for s := range l.sockets {
		s.Close()
	}
	l.mu.Unlock()
	l.readers.Wait()
}

// Batch sends packets, each at once. It belongs to one goroutine at a time.
type Batch struct {
	counters *Counters
	now      time.Time
	header   [MaxHeader]byte
	whole    []byte
}

// NewBatch makes a batch that counts into c.
func NewBatch(c *Counters, _ int) *Batch { return &Batch{counters: c, now: time.Now()} }

// Now is when the loop began to handle what it has read.
func (b *Batch) Now() time.Time { return b.now }

// Begin sets what Now returns, for a batch that is no loop's.
func (b *Batch) Begin(now time.Time) { b.now = now }

// Header returns n bytes, MaxHeader at most, for the header of the next packet.
func (b *Batch) Header(n int) []byte { return b.header[:n:n] }

// Send sends p from s.
func (b *Batch) Send(s *Socket, p Packet) {
	b.whole = append(append(append(b.whole[:0], p.Header...), p.Payload...), make([]byte, p.Pad)...)
	if p.Whole || s.WriteTo(b.whole, p.To) != nil { // there is no portable way to forbid fragments
		b.counters.SendFailed.Add(1)
		for _, m := range p.Meters {
			m.Lose(len(p.Payload))
		}
		return
	}
	for _, m := range p.Meters {
		m.Add(1, len(p.Payload))
	}
}

// Flush has nothing left to do.
func (b *Batch) Flush() {}
