package turn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"
)

const (
	// recordHandshake is the first byte of a TLS connection (RFC 8446 §5.1).
	recordHandshake = 22

	// sortTimeout is for a connection to say what it is for: its first bytes,
	// and over TLS a handshake before them.
	sortTimeout = 10 * time.Second
)

// take has a connection sorted and, if it is TURN, served: the goroutine is the
// front's while it sorts, and then, in ServeConn, the server's.
func (f *front) take(accepted net.Conn) {
	conn := &peeked{Conn: accepted, front: f, source: sourceOf(addrPortOf(accepted.RemoteAddr()).Addr()), since: time.Now()}
	if reason, ok := f.server.lobby.enter(conn); !ok {
		f.refuse(conn, reason)
		return
	}
	f.running.Add(1)
	go func() {
		carriesTURN := f.sort(conn)
		f.server.lobby.leave(conn)
		f.running.Done()
		if carriesTURN != nil {
			f.server.ServeConn(carriesTURN)
		}
	}()
}

func (f *front) refuse(conn *peeked, reason closeReason) {
	f.server.counters.closed[reason].Add(1)
	conn.Close()
}

// sort finds out what a connection is for. It returns one that carries TURN,
// with nothing read from it, and hands on or closes any other.
func (f *front) sort(conn *peeked) net.Conn {
	_ = conn.SetDeadline(time.Now().Add(sortTimeout)) // fails on a closed connection, and so does what follows
	whole, isTURN, err := f.look(conn)
	if !f.server.lobby.decided(conn) {
		err = errCrowded
	}
	if err != nil {
		f.refuse(conn, f.reasonOf(err))
		return nil
	}
	_ = conn.SetDeadline(time.Time{})
	switch {
	case isTURN:
		return whole
	case f.others == nil:
		f.refuse(conn, closeNotTURN)
		return nil
	}
	select {
	case f.others <- whole:
	case <-f.closed:
		f.refuse(conn, closeShutdown)
	}
	return nil
}

// look reads as much of a connection as it takes to tell what it is for, and
// returns it with nothing read.
func (f *front) look(conn *peeked) (whole net.Conn, isTURN bool, err error) {
	start, err := conn.peek(1)
	if err != nil {
		return nil, false, err
	}
	if start[0] != recordHandshake {
		if f.others != nil {
			isTURN, err = conn.startsTURN()
		}
		return conn, isTURN, err
	}
	below := &corked{Conn: conn}
	secure := tls.Server(below, f.tls)
	if err := secure.HandshakeContext(context.Background()); err != nil {
		f.server.failures.Debug("tls handshake failed", "remote", conn.RemoteAddr(), "err", err)
		return nil, false, handshakeError{err}
	}
	switch protocol := secure.ConnectionState().NegotiatedProtocol; {
	case protocol == alpnTURN || f.others == nil:
		return &records{secure, below, secure}, true, nil
	case protocol != "":
		return secure, false, nil
	}
	within := peekedTLS{&peeked{Conn: secure}, secure}
	if isTURN, err = within.startsTURN(); isTURN {
		return &records{within, below, secure}, true, nil
	}
	return within, false, err
}

// errCrowded says that a connection had to make room for another.
var errCrowded = errors.New("too many connections that do not say what they are for")

// handshakeError is why a handshake came to nothing.
type handshakeError struct{ error }

func (e handshakeError) Unwrap() error { return e.error }

func (f *front) reasonOf(err error) closeReason {
	_, inHandshake := errors.AsType[handshakeError](err)
	late := errors.Is(err, os.ErrDeadlineExceeded)
	select {
	case <-f.closed:
		return closeShutdown
	default:
	}
	switch {
	case errors.Is(err, errCrowded):
		return closeCrowded
	case late && inHandshake:
		return closeSlowHandshake
	case late:
		return closeSilent
	case inHandshake:
		return closeHandshake
	}
	return closeByClient
}
