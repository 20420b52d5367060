package signaling

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// Conn is one WebSocket. Its reader goroutine is the only one that lives as
// long as it does.
type Conn struct {
	srv    *Server
	ws     *websocket.Conn // handshake and reads; never writes
	in     input           // what ws reads from
	nc     net.Conn
	raw    syscall.RawConn // nil over TLS
	remote netip.AddrPort
	local  netip.AddrPort
	sess   *Session // set before the first flush, then constant

	// Guarded by sess.mu.
	cursor    uint64 // seq of the next control frame to write
	acked     uint64 // the last ack written
	soft      []softItem
	softAt    map[string]int // where in soft a key is, counted from the first item there ever was
	softGone  int            // items written
	softBytes int
	flushing  bool   // somebody is writing
	dead      bool   // nothing more may be written
	farewell  []byte // closing frame and close frame, ahead of all else
	reason    string // why it ended, for the log
	heard     time.Time
	pinged    time.Time
	greeted   time.Time // hello, until it has joined a room
	token     uint64    // counter of the resume token its welcome carried

	// Of the goroutine that writes.
	out      []byte
	wrote    int
	writeErr error
	writeFD  func(uintptr) bool
}

var upgrader = websocket.Upgrader{
	ReadBufferSize:  gorillaBytes, // 0 would pin net/http's 4 KB buffers
	WriteBufferSize: 512,
	WriteBufferPool: &sync.Pool{},
	CheckOrigin:     func(*http.Request) bool { return true }, // done by allowOrigin
	Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
		http.Error(w, "WebSocket handshake: "+reason.Error(), status)
	},
}

// ServeHTTP takes a WebSocket handshake. The connection outlives the call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if refused, status := s.refuseHandshake(r); refused != "" {
		switch status {
		case http.StatusServiceUnavailable:
			w.Header().Set("Retry-After", "5")
		case http.StatusUpgradeRequired:
			w.Header().Set("Upgrade", "websocket")
		case http.StatusMethodNotAllowed:
			w.Header().Set("Allow", http.MethodGet)
		}
		s.count(&s.drops.handshakes)
		http.Error(w, refused, status)
		return
	}
	if !s.admit() {
		s.count(&s.drops.overload)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "the box is at signaling.max_sessions; try again later", http.StatusServiceUnavailable)
		return
	}
	c := &Conn{srv: s}
	ws, err := upgrader.Upgrade(hijacker{w, &c.in}, r, http.Header{"Sec-Websocket-Protocol": {Subprotocol}})
	if err != nil {
		s.open.Add(-1)
		s.readers.Done()
		return // Upgrade has answered
	}
	c.ws, c.nc = ws, c.in.Conn
	c.setup()
	// A goroutine of its own: net/http pins the request and its buffers for
	// as long as ServeHTTP runs.
	go func() {
		defer s.readers.Done()
		defer s.open.Add(-1)
		defer s.trim.moved()
		s.trim.moved()
		c.serve()
	}()
}

// refuseHandshake says why a request is not one for us, "" when it is.
func (s *Server) refuseHandshake(r *http.Request) (why string, status int) {
	switch {
	case r.Method != http.MethodGet:
		return "signaling is a WebSocket: use GET", http.StatusMethodNotAllowed
	case !websocket.IsWebSocketUpgrade(r):
		return "this is the signaling endpoint; connect with a WebSocket and subprotocol " + Subprotocol, http.StatusUpgradeRequired
	case !slices.Contains(websocket.Subprotocols(r), Subprotocol):
		return "offer the WebSocket subprotocol " + Subprotocol, http.StatusBadRequest
	case !s.cfg.allowOrigin(r):
		return "origin " + r.Header.Get("Origin") + " is not in signaling.origins", http.StatusForbidden
	case !s.sources.allow(host(r.RemoteAddr), time.Now()):
		return "too many connections from this address; slow down", http.StatusServiceUnavailable
	}
	return "", 0
}

// admit takes a place for one socket; false when the box is full or stopping.
func (s *Server) admit() bool {
	s.stopMu.Lock()
	defer s.stopMu.Unlock()
	if s.stopping || s.open.Load() >= int64(s.cfg.MaxSessions) {
		return false
	}
	s.open.Add(1)
	s.readers.Add(1)
	return true
}

func host(addr string) netip.Addr {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// setup readies the socket: our own control handlers, since gorilla's write on
// the reading goroutine, and the kernel's own watch over a dead peer.
func (c *Conn) setup() {
	c.remote, c.local = addrPort(c.nc.RemoteAddr()), addrPort(c.nc.LocalAddr())
	c.writeFD = c.writeOnce
	c.ws.SetPingHandler(c.onPing)
	c.ws.SetPongHandler(func(string) error { return nil })
	c.ws.SetCloseHandler(func(int, string) error { return nil })
	nc := c.nc
	for { // what TLS is on, and who looked at the first bytes
		upper, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		nc = upper.NetConn()
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	setUserTimeout(raw, c.srv.cfg.deadAfter())
	if nc == c.nc {
		c.raw = raw
		c.in.raw, c.in.wait = raw, c.in.readOnce
	}
}

// onPing answers a WebSocket ping through the outbound path.
func (c *Conn) onPing(data string) error {
	if c.sess == nil {
		return nil
	}
	var out batch
	c.sess.mu.Lock()
	if c.sess.conn == c {
		c.softItemLocked(softItem{key: "\x00pong", op: opPong, body: []byte(data)})
		out.add(c)
	}
	c.sess.mu.Unlock()
	out.flush()
	return nil
}

// serve runs the socket from hello to its end.
func (c *Conn) serve() {
	defer c.nc.Close()
	defer func() {
		if c.sess != nil {
			c.srv.detach(c)
		}
	}()
	_ = c.nc.SetReadDeadline(time.Now().Add(c.srv.cfg.HelloTimeout))
	c.srv.greets(c, true)
	err := c.in.await()
	c.srv.greets(c, false)
	for err == nil {
		switch c.work() {
		case turnOver:
			err = c.in.await()
		case turnLast:
			c.discard()
			return
		case turnCut:
			return
		}
	}
	c.ended(err)
}

// turnEnd says how a turn ended.
type turnEnd uint8

const (
	turnOver turnEnd = iota // all that had come is carried out
	turnLast                // and nothing more is wanted
	turnCut                 // the socket has ended
)

// work takes a turn, on a hand where this goroutine can wait without it.
func (c *Conn) work() turnEnd {
	if c.in.raw == nil {
		return c.turn()
	}
	return c.srv.hands.lend(c)
}

// turn carries out the frames that have come.
func (c *Conn) turn() turnEnd {
	for {
		if c.in.pings(c.onPing) && c.in.idle() {
			return turnOver
		}
		opcode, r, err := c.ws.NextReader()
		if err != nil {
			c.ended(err)
			return turnCut
		}
		if !c.message(opcode, r) {
			return turnLast
		}
		if c.in.idle() {
			return turnOver
		}
	}
}

// discard reads on until the peer has seen our close frame and gone, or the
// linger time is over: closing with unread data would reset the connection
// and take the close frame with it.
func (c *Conn) discard() {
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.nc, 1<<20)
}

// message reads and carries out one message; false ends the socket.
func (c *Conn) message(opcode int, r io.Reader) bool {
	if opcode != websocket.TextMessage {
		c.close(&farewell{closeUnsupported, "binary", "frames are JSON in text messages; send no binary ones", false, 0})
		return false
	}
	bp := bytesPool.Get().(*[]byte)
	defer func() {
		if cap(*bp) == inputBytes { // a larger one would stay for ever, for one large message
			bytesPool.Put(bp)
		}
	}()
	b, err := readMessage(r, (*bp)[:0], c.srv.cfg.FrameBytes)
	*bp = b[:cap(b)]
	switch {
	case errors.Is(err, errTooBig):
		c.close(&farewell{closeTooBig, "too_big", "a frame may have " + itoa(uint64(c.srv.cfg.FrameBytes)) + " bytes", false, 0})
		return false
	case err != nil:
		c.ended(err)
		return false
	}
	if c.sess == nil {
		return c.greet(b)
	}
	return c.carryOut(b)
}

var errTooBig = errors.New("message is too big")

// readMessage reads one message into b, up to limit bytes.
func readMessage(r io.Reader, b []byte, limit int) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > limit:
			return b, errTooBig
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return b, err
		}
	}
}

// ended notes how the peer's side ended. A normal close is a farewell: the
// session need not wait for another socket.
func (c *Conn) ended(err error) {
	if c.sess == nil {
		c.noHello(err)
		return
	}
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Code == closeNormal:
		c.setReason("closed by client")
		if c.current() {
			c.srv.end(c.sess, endLeft)
		}
	case errors.As(err, &closed):
		c.setReason("close " + itoa(uint64(closed.Code)))
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		c.setReason("cut")
	case strings.HasPrefix(err.Error(), "websocket: "):
		c.setReason(err.Error())
		c.srv.count(&c.srv.drops.protocol)
	default:
		c.setReason("cut")
	}
}

func (c *Conn) setReason(reason string) {
	if c.sess == nil {
		return
	}
	c.sess.mu.Lock()
	if c.reason == "" {
		c.reason = reason
	}
	c.sess.mu.Unlock()
}
