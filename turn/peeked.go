package turn

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"
)

// peeked is a connection whose first bytes have been looked at. They are read
// again by whoever reads next. The looking is done before that, by one goroutine.
type peeked struct {
	net.Conn
	front    *front     // nil: within TLS
	source   netip.Addr // see sourceOf
	since    time.Time  // when it was accepted
	buf      [tellTale]byte
	from, to int // what of buf has been read from Conn and not from peeked
}

// tellTale is how many bytes tell STUN from everything else: a header up to
// and with the cookie (RFC 8489 §5).
const tellTale = 8

// peek waits until there are n bytes, tellTale at most, and returns what there
// is without taking it.
func (p *peeked) peek(n int) ([]byte, error) {
	for p.to < n {
		read, err := p.Conn.Read(p.buf[p.to:])
		if p.to += read; err != nil && p.to < n {
			return nil, err
		}
	}
	return p.buf[:p.to], nil
}

// startsTURN waits for enough of a connection to say whether it begins with a
// request or an indication of STUN.
func (p *peeked) startsTURN() (bool, error) {
	for n := 1; ; n++ {
		start, err := p.peek(n)
		if err != nil {
			return false, err
		}
		likely := start[0] <= 1 && stunPrefixError(start) == nil
		if !likely || len(start) == tellTale {
			return likely, nil
		}
		n = len(start)
	}
}

func (p *peeked) Read(b []byte) (int, error) {
	if p.from < p.to {
		n := copy(b, p.buf[p.from:p.to])
		p.from += n
		return n, nil
	}
	return p.Conn.Read(b)
}

// NetConn is the connection below, for socket options.
func (p *peeked) NetConn() net.Conn { return p.Conn }

// peekedTLS is peeked for a TLS connection. ConnectionState is how net/http
// knows that requests on it came by TLS.
type peekedTLS struct {
	*peeked
	secure *tls.Conn
}

func (p peekedTLS) ConnectionState() tls.ConnectionState { return p.secure.ConnectionState() }

// transportOf is the transport of a client that came over conn.
func transportOf(conn net.Conn) string {
	if _, secure := conn.(interface{ ConnectionState() tls.ConnectionState }); secure {
		return transportTLS
	}
	return transportTCP
}
