package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// memory is a network within the process, for time that is made up.
type memory struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
	// What would be on a real wire: bytes, and segments of TCP with their acks.
	bytes, segments atomic.Int64
	hole            atomic.Bool // everything is swallowed, both ways
}

// onWire is bytes with the headers of IP and TCP (with timestamps): 52 for each
// segment and for its ack.
func (m *memory) onWire() int64 { return m.bytes.Load() + m.segments.Load()*2*52 }

type counted struct {
	net.Conn
	m *memory
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for c.m.hole.Load() && err == nil {
		n, err = c.Conn.Read(p)
	}
	if n > 5 { // TLS reads the head of a record by itself
		c.m.segments.Add(1)
	}
	c.m.bytes.Add(int64(n))
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	if c.m.hole.Load() {
		return len(p), nil
	}
	n, err := c.Conn.Write(p)
	c.m.bytes.Add(int64(n))
	c.m.segments.Add(int64(n+1399) / 1400)
	return n, err
}

func newMemory() *memory { return &memory{accept: make(chan net.Conn), closed: make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.accept:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error { m.once.Do(func() { close(m.closed) }); return nil }

func (m *memory) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case m.accept <- far:
		return &counted{near, m}, nil
	case <-m.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
