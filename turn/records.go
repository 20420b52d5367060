package turn

import (
	"crypto/tls"
	"net"
	"sync"
)

// records is a TLS connection that carries TURN and sends each message in a
// record of its own. A record is a piece of a stream and may hold any part of
// it, but there are clients that take one for a message, such as the test
// client of coturn. Write must be called with whole messages.
type records struct {
	net.Conn // *tls.Conn, or peekedTLS
	below    *corked
	secure   *tls.Conn
}

func (r *records) ConnectionState() tls.ConnectionState { return r.secure.ConnectionState() }

func (r *records) Write(b []byte) (written int, err error) {
	r.below.cork()
	for err == nil && written < len(b) {
		size := len(b) - written
		if _, padded, err := frameSize(b[written:], true); err == nil && padded > 0 {
			size = min(padded, size)
		}
		var n int
		n, err = r.secure.Write(b[written : written+size])
		written += n
	}
	if flushErr := r.below.uncork(); err == nil {
		err = flushErr
	}
	return written, err
}

// corkedBytes is how much a corked connection collects for one write.
const corkedBytes = 16 << 10

var corkBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 2*corkedBytes)
	return &b
}}

// corked is a connection that can collect what is written to it, so that the
// records for many messages cost one system call. TLS writes to it from the
// goroutines of its reader and its writer.
type corked struct {
	net.Conn

	mu      sync.Mutex
	pending *[]byte // from corkBuffers while corked, else nil
}

// NetConn is the connection below, for socket options.
func (c *corked) NetConn() net.Conn { return c.Conn }

func (c *corked) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = corkBuffers.Get().(*[]byte)
}

// uncork sends what has been collected.
func (c *corked) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.flushLocked()
	corkBuffers.Put(c.pending)
	c.pending = nil
	return err
}

func (c *corked) flushLocked() error {
	if len(*c.pending) == 0 {
		return nil
	}
	_, err := c.Conn.Write(*c.pending)
	*c.pending = (*c.pending)[:0]
	return err
}

func (c *corked) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil {
		return c.Conn.Write(b)
	}
	if len(*c.pending)+len(b) > corkedBytes {
		if err := c.flushLocked(); err != nil {
			return 0, err
		}
	}
	*c.pending = append(*c.pending, b...)
	return len(b), nil
}
