package turn

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"signalbox/turn/internal/udpio"
)

// Deadlines of a TCP connection. Without them one client that sends or reads a
// byte now and then would hold a connection and its memory for ever.
const (
	// frameTimeout is for a message to arrive whole once it has begun.
	frameTimeout = 10 * time.Second
	// allocateTimeout is for a connection to get an allocation, from its
	// start or from the end of the last one. While there is one, its lifetime
	// bounds the connection's.
	allocateTimeout = 60 * time.Second
	// tcpWriteTimeout is for the client to read what is sent to it.
	tcpWriteTimeout = 10 * time.Second
)

// tcpLink is one TCP or TLS connection: a reader, which is the goroutine that
// calls serve, and a writer, writeLoop.
type tcpLink struct {
	server         *Server
	gate           *gate
	conn           net.Conn
	served, remote netip.AddrPort
	label          string
	current        atomic.Pointer[allocation] // the client's
	frames         framer
	batch          *udpio.Batch // see data
	queue          *sendQueue
	closed         chan struct{}
	once           sync.Once
	signedIn       atomic.Bool // there has been an allocation

	mu        sync.Mutex
	allocated bool
	idleUntil time.Time // counts while not allocated
	slowUntil time.Time // of the message that is arriving; zero between messages
}

func newTCPLink(s *Server, conn net.Conn) *tcpLink {
	l := &tcpLink{
		server: s, gate: s.streamGate(), conn: conn, label: transportOf(conn),
		served: addrPortOf(conn.LocalAddr()), remote: addrPortOf(conn.RemoteAddr()),
		queue: newSendQueue(), closed: make(chan struct{}),
		idleUntil: time.Now().Add(allocateTimeout),
	}
	return l
}

func (l *tcpLink) transport() string     { return l.label }
func (l *tcpLink) local() netip.AddrPort { return l.served }

func (l *tcpLink) allocation(netip.AddrPort) *allocation { return l.current.Load() }

func (l *tcpLink) setAllocated(a *allocation) bool {
	l.current.Store(a)
	l.signedIn.Store(true)
	l.setIdle(true)
	select {
	case <-l.closed: // serve may not have seen it
		return false
	default:
		return true
	}
}

func (l *tcpLink) setEnded(a *allocation) {
	if l.current.CompareAndSwap(a, nil) {
		l.setIdle(false)
	}
}

// serve reads messages until the connection ends, and ends the allocation of
// its client. Data goes on at once, requests wait until the gate takes them.
func (l *tcpLink) serve() {
	for {
		frame, err := l.next()
		if err != nil {
			l.flushData()
			l.close(l.endReason(err))
			break
		}
		l.receive(frame)
	}
	if a := l.current.Load(); a != nil {
		a.gate.end(a, false)
	}
}

// next waits for the next message. What those before it caused is sent before
// it waits.
func (l *tcpLink) next() ([]byte, error) {
	for {
		passedOver := l.frames.oversize
		frame, err := l.frames.next(l.signedIn.Load())
		for range l.frames.oversize - passedOver {
			l.server.drop(dropOversize)
		}
		if frame != nil {
			l.setSlow(false)
			return frame, nil
		}
		if err != nil {
			return nil, err
		}
		l.flushData()
		l.setSlow(l.frames.partial())
		if err := l.frames.fill(l.conn); err != nil {
			return nil, err
		}
	}
}

// data is the batch of what has been read. A batch takes more memory than all
// the rest of a connection, so that one which waits has none.
func (l *tcpLink) data() *udpio.Batch {
	if l.batch == nil {
		l.batch = l.server.batches.Get().(*udpio.Batch)
		l.batch.Begin(time.Now())
	}
	return l.batch
}

func (l *tcpLink) flushData() {
	if l.batch != nil {
		l.batch.Flush()
		l.server.batches.Put(l.batch)
		l.batch = nil
	}
}

func (l *tcpLink) receive(frame []byte) {
	a := l.current.Load()
	isChannel := frame[0]&0xC0 == 0x40
	switch {
	case isChannel || binary.BigEndian.Uint16(frame) == sendType:
		if a == nil {
			l.server.drop(dropNoAllocation)
		} else if isChannel {
			a.channelData(l.data(), frame, 0)
		} else {
			a.sendIndication(l.data(), frame, 0)
		}
	default:
		l.flushData() // data does not wait behind a request
		l.gate.offerWait(l, l.remote, frame, l.closed)
	}
}

// setSlow starts the clock of a message when its first bytes have come, and
// stops it when the message is whole.
func (l *tcpLink) setSlow(partial bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !partial:
		l.slowUntil = time.Time{}
	case l.slowUntil.IsZero():
		l.slowUntil = time.Now().Add(frameTimeout)
	}
	l.setDeadlineLocked()
}

func (l *tcpLink) setIdle(allocated bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.allocated = allocated
	l.idleUntil = time.Now().Add(allocateTimeout)
	l.setDeadlineLocked()
}

func (l *tcpLink) setDeadlineLocked() {
	deadline := l.slowUntil
	if !l.allocated && (deadline.IsZero() || l.idleUntil.Before(deadline)) {
		deadline = l.idleUntil
	}
	_ = l.conn.SetReadDeadline(deadline) // fails on a closed connection, where the read fails too
}

func (l *tcpLink) endReason(err error) closeReason {
	switch {
	case errors.Is(err, errNotTURN):
		l.server.counters.drop(dropMalformed)
		return closeNotTURN
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return closeByClient
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.slowUntil.IsZero() && (l.allocated || l.slowUntil.Before(l.idleUntil)) {
		return closeSlowFrame
	}
	return closeIdle
}

// respond may use room that is kept from data.
func (l *tcpLink) respond(message []byte, _ netip.AddrPort) {
	if !l.queue.push(message, nil, 0, l.room()+responseRoom) {
		l.server.drop(dropQueueFull)
	}
}

func (l *tcpLink) deliver(_ *udpio.Batch, _ netip.AddrPort, d delivery) {
	var header [dataHeader6]byte
	if !l.queue.push(d.appendHeader(header[:0]), d.payload, -len(d.payload)&3, l.room()) {
		l.server.drop(dropQueueFull)
		for _, m := range d.meters {
			m.Lose(len(d.payload))
		}
		return
	}
	for _, m := range d.meters {
		m.Add(1, len(d.payload))
	}
}

// room is how much may wait for the client.
func (l *tcpLink) room() int {
	if l.signedIn.Load() {
		return maxQueued
	}
	return 0
}

// writeLoop sends what is queued until the link is closed.
func (l *tcpLink) writeLoop() {
	for {
		select {
		case <-l.queue.wake:
		case <-l.closed:
			return
		}
		if err := l.flush(); err != nil {
			reason := closeByClient
			if errors.Is(err, os.ErrDeadlineExceeded) {
				reason = closeStuck
			}
			l.close(reason)
			return
		}
	}
}

func (l *tcpLink) flush() error {
	for batch := l.queue.take(); batch != nil; batch = l.queue.take() {
		if err := l.conn.SetWriteDeadline(time.Now().Add(tcpWriteTimeout)); err != nil {
			return err
		}
		if _, err := l.conn.Write(batch); err != nil {
			return err
		}
		l.queue.giveBack(batch)
	}
	return nil
}

func (l *tcpLink) close(reason closeReason) {
	l.once.Do(func() {
		l.server.counters.closed[reason].Add(1)
		close(l.closed)
		l.conn.Close()
	})
}
