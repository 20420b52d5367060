package upstream

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// meter counts the bytes of all connections to the cloud, TLS and proxies
// included, and debits the bucket.
type meter struct {
	sent, received atomic.Uint64
	heard          atomic.Int64 // Unix nanoseconds of the last byte received
	bucket         *bucket
	connect        func(ctx context.Context, network, addr string) (net.Conn, error)
}

// newMeter makes one for TCP without keep-alive probes of the kernel: they would
// cost more than all frames of an idle box, and the link has pings of its own.
func newMeter(rate Rate) *meter {
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: -1, Control: func(_, _ string, raw syscall.RawConn) error {
		setUserTimeout(raw, unackedMost)
		return nil
	}}
	return &meter{bucket: newBucket(rate), connect: d.DialContext}
}

// unackedMost is how long the kernel waits for the other side to acknowledge
// what was sent before it gives the connection up.
const unackedMost = 40 * time.Second

// dial opens a metered connection.
func (m *meter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := m.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &meteredConn{Conn: conn, meter: m}, nil
}

type meteredConn struct {
	net.Conn
	meter *meter
}

func (c *meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.meter.received.Add(uint64(n))
	if n > 0 {
		c.meter.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

func (c *meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.meter.sent.Add(uint64(n))
	c.meter.bucket.debit(n)
	return n, err
}
