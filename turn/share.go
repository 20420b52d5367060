package turn

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

const (
	// alpnTURN is by what a client says before the handshake ends that it
	// will speak TURN (RFC 7443).
	alpnTURN = "stun.turn"

	// recordHandshake is the first byte of a TLS connection (RFC 8446 §5.1).
	recordHandshake = 22

	// sortTimeout is for a connection to say what it is for: its first bytes,
	// and over TLS a handshake before them.
	sortTimeout = 10 * time.Second
	// maxSorted is how many connections of one listener may take that time at
	// once: half a TLS handshake costs about 60 KB. More of them wait in the
	// kernel, as when every device of a site comes back at the same moment.
	maxSorted = 128
	// maxSortedPerSource is how many of them may come from one source. More
	// of them are closed, so that one host cannot keep the others waiting.
	maxSortedPerSource = 48
	// fewSorted is what a source may have that makes no room for others: see
	// makeRoom.
	fewSorted = 8
)

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
	slots   chan struct{}  // one is taken by each connection that is sorted
	running sync.WaitGroup // the accept loop, and the sorting of each connection

	mu      sync.Mutex
	ended   bool
	sorted  map[*peeked]bool   // what is being sorted
	sources map[netip.Addr]int // how much of it is from where
}

func newFront(s *Server, l net.Listener, config *tls.Config, others chan net.Conn) *front {
	config = config.Clone()
	// Before the others: coturn's test client names HTTP too, first even.
	config.NextProtos = append([]string{alpnTURN}, config.NextProtos...)
	return &front{
		server: s, listener: l, tls: config, others: others,
		closed: make(chan struct{}), slots: make(chan struct{}, maxSorted),
		sorted: map[*peeked]bool{}, sources: map[netip.Addr]int{},
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
		f.mu.Lock()
		f.ended = true
		sorted := f.sorted
		f.sorted = nil
		f.mu.Unlock()
		for conn := range sorted {
			conn.Close()
		}
	})
}

// take has a connection sorted and, if it is TURN, served: the goroutine is the
// front's while it sorts, and then, in ServeConn, the server's.
func (f *front) take(accepted net.Conn) {
	conn := &peeked{Conn: accepted, since: time.Now()}
	select {
	case f.slots <- struct{}{}:
	default:
		f.makeRoom()
		select {
		case f.slots <- struct{}{}:
		case <-f.closed:
			f.refuse(conn, closeShutdown)
			return
		}
	}
	if reason, ok := f.enter(conn); !ok {
		<-f.slots
		f.refuse(conn, reason)
		return
	}
	f.running.Add(1)
	go func() {
		carriesTURN := f.sort(conn)
		f.leave(conn)
		f.running.Done()
		if carriesTURN != nil {
			f.server.ServeConn(carriesTURN)
		}
	}()
}

// enter notes a connection that is about to be sorted. On false it says why it
// is not.
func (f *front) enter(conn *peeked) (closeReason, bool) {
	source := sourceOf(addrPortOf(conn.RemoteAddr()).Addr())
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.ended:
		return closeShutdown, false
	case f.sources[source] >= maxSortedPerSource:
		return closeSource, false
	}
	f.sorted[conn] = true
	f.sources[source]++
	return 0, true
}

// makeRoom closes the connection that has been looked at for longest, of the
// source with the most of them. Without it a few hosts could take turns in
// keeping everybody waiting. Where all sources have few there is nothing to
// gain: each connection is as good as the next.
func (f *front) makeRoom() {
	f.mu.Lock()
	defer f.mu.Unlock()
	var most netip.Addr
	for source, n := range f.sources {
		if n > f.sources[most] {
			most = source
		}
	}
	if f.sources[most] <= fewSorted {
		return
	}
	var oldest *peeked
	for conn := range f.sorted {
		if sourceOf(addrPortOf(conn.RemoteAddr()).Addr()) == most && (oldest == nil || conn.since.Before(oldest.since)) {
			oldest = conn
		}
	}
	if oldest != nil {
		f.sorted[oldest] = false
		oldest.Close()
	}
}

// decided notes that it is known what a connection is for. From then on it does
// not have to make room; on false it had to before.
func (f *front) decided(conn *peeked) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	stays := f.sorted[conn]
	delete(f.sorted, conn)
	return stays
}

func (f *front) leave(conn *peeked) {
	source := sourceOf(addrPortOf(conn.RemoteAddr()).Addr())
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sources[source]--; f.sources[source] == 0 {
		delete(f.sources, source)
	}
	<-f.slots
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
	if !f.decided(conn) {
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
	if err := secure.Handshake(); err != nil {
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
