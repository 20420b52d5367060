package turn

import (
	"crypto/tls"
	"net"
	"sync"
)

// alpnTURN is by what a client says before the handshake ends that it will
// speak TURN (RFC 7443).
const alpnTURN = "stun.turn"

// Share lets other protocols live on a port that TURN is served on too. It
// takes what l accepts, and serves the connections that carry TURN: over TLS
// those that negotiate the protocol stun.turn (RFC 7443), or no protocol and
// begin with a STUN message; in the clear those that begin with one. All others
// come out of the listener it returns, with nothing read from them: over TLS
// after the handshake, as a *tls.Conn or with its method ConnectionState, which
// is what net/http asks for; in the clear as they are.
//
// config is for the handshakes, with the protocols of the others in NextProtos
// and no GetConfigForClient, which could take stun.turn away again.
//
// Nothing is accepted before the first Accept. Closing the listener closes l
// and every connection that has not yet said what it is for, and waits for
// them; those that carry TURN go on until the Server stops.
func (s *Server) Share(l net.Listener, config *tls.Config) net.Listener {
	return newFront(s, l, config, make(chan net.Conn))
}

// front is what stands behind a listener: it finds out what each connection
// is for.
type front struct {
	server   *Server
	listener net.Listener
	tls      *tls.Config
	others   chan net.Conn // what is not TURN; nil: TURN over TLS alone is served

	start   sync.Once
	stop    sync.Once
	closed  chan struct{}
	running sync.WaitGroup // the accept loop, and the sorting of each connection
}

func newFront(s *Server, l net.Listener, config *tls.Config, others chan net.Conn) *front {
	config = config.Clone()
	// Before the others: coturn's test client names HTTP too, first even.
	config.NextProtos = append([]string{alpnTURN}, config.NextProtos...)
	return &front{
		server: s, listener: l, tls: config, others: others,
		closed: make(chan struct{}),
	}
}

// Accept returns the next connection that is not TURN. The error is
// net.ErrClosed, after Close; everything else is survived.
func (f *front) Accept() (net.Conn, error) {
	f.begin()
	select {
	case conn := <-f.others:
		return conn, nil
	case <-f.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: f.Addr(), Err: net.ErrClosed}
	}
}

// begin starts the accept loop, once.
func (f *front) begin() {
	f.start.Do(func() {
		f.running.Go(func() {
			defer f.end() // the listener may have been closed by itself
			f.server.acceptEach(f.listener, f.closed, f.take)
		})
	})
}

func (f *front) Addr() net.Addr { return f.listener.Addr() }

// Close stops accepting and sorting, and waits for both. It may be called more
// than once.
func (f *front) Close() error {
	f.start.Do(func() {}) // not to be begun any more
	f.end()
	f.running.Wait()
	return nil
}

func (f *front) end() {
	f.stop.Do(func() {
		close(f.closed)
		f.listener.Close()
		f.server.lobby.end(f)
	})
}
