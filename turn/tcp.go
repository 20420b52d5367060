package turn

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
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

// tcpLink is one TCP connection: a reader, which is the goroutine that calls
// read, and a writer, writeLoop.
type tcpLink struct {
	conn     net.Conn
	remote   netip.AddrPort
	counters *counters
	frames   framer
	queue    *sendQueue
	closed   chan struct{}
	once     sync.Once
	signedIn atomic.Bool // there has been an allocation

	mu        sync.Mutex
	allocated bool
	idleUntil time.Time // counts while not allocated
	slowUntil time.Time // of the message that is arriving; zero between messages
}

func newTCPLink(conn net.Conn, remote netip.AddrPort, c *counters) *tcpLink {
	return &tcpLink{
		conn: conn, remote: remote, counters: c,
		queue: newSendQueue(), closed: make(chan struct{}),
		idleUntil: time.Now().Add(allocateTimeout),
	}
}

func (l *tcpLink) read(p []byte) (int, netip.AddrPort, bool) {
	for {
		passedOver := l.frames.oversize
		frame, err := l.frames.next(l.signedIn.Load())
		for range l.frames.oversize - passedOver {
			l.counters.drop(dropOversize)
		}
		if frame != nil {
			l.setSlow(false)
			return copy(p, frame), l.remote, true
		}
		if err == nil {
			l.setSlow(l.frames.partial())
			err = l.frames.fill(l.conn)
		}
		if err != nil {
			l.close(l.endReason(err))
			return 0, netip.AddrPort{}, false
		}
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

func (l *tcpLink) setAllocated(allocated bool) {
	if allocated {
		l.signedIn.Store(true)
	}
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
		l.counters.drop(dropMalformed)
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

func (l *tcpLink) write(message []byte, _ netip.AddrPort, response bool) {
	room := 0
	if l.signedIn.Load() {
		room += maxQueued
	}
	if response {
		room += responseRoom
	}
	if !l.queue.push(message, room) {
		l.counters.drop(dropQueueFull)
	}
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
		l.counters.closed[reason].Add(1)
		close(l.closed)
		l.conn.Close()
	})
}
