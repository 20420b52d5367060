package udpio

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Loop reads sockets in one goroutine. New, Run, and Close for one that never ran.
type Loop struct {
	epoll, wake int
	counters    *Counters
	batch       *Batch
	inbox       *inbox
	events      [256]unix.EpollEvent
	ready       []*Socket

	mu      sync.Mutex
	closed  bool
	sockets []*Socket // by slot; nil where one has gone
	free    []uint32  // slots of sockets that have gone
}

// NewLoop makes a loop that counts into c.
func NewLoop(c *Counters) (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &Loop{epoll: epoll, wake: wake, counters: c, batch: NewBatch(c, batchSize), sockets: []*Socket{nil}}
	if l.inbox, err = newInbox(); err != nil {
		l.Close()
		return nil, err
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN} // slot 0 is the wake-up call
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &event); err != nil {
		l.Close()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return l, nil
}

// Add has the loop read s and give what comes to h, until s is closed. A socket
// is added to one loop once.
func (l *Loop) Add(s *Socket, h Handler) error {
	if s == nil || !s.acquire() { // Close must not free the number meanwhile
		return os.ErrClosed
	}
	defer s.release()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return os.ErrClosed
	}
	s.handler, s.next = h, minShare
	if n := len(l.free); n > 0 {
		s.slot, l.free = l.free[n-1], l.free[:n-1]
		l.sockets[s.slot] = s
	} else {
		s.slot = uint32(len(l.sockets))
		l.sockets = append(l.sockets, s)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.slot)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, &event); err != nil {
		l.forgetLocked(s)
		return os.NewSyscallError("epoll_ctl", err)
	}
	s.loop.Store(l)
	if s.closed.Load() { // it may not have seen the loop
		l.takeOutLocked(s)
		return os.ErrClosed
	}
	return nil
}

// forget takes a socket out that is being closed. Its number is still its own.
func (l *Loop) forget(s *Socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takeOutLocked(s)
}

func (l *Loop) takeOutLocked(s *Socket) {
	if !l.closed && l.sockets[s.slot] == s {
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, s.fd, nil)
		l.forgetLocked(s)
	}
}

func (l *Loop) forgetLocked(s *Socket) {
	l.sockets[s.slot] = nil
	l.free = append(l.free, s.slot)
}

// Run reads until ctx is cancelled. Sockets stay open. Call it once.
func (l *Loop) Run(ctx context.Context) error {
	defer l.Close()
	defer context.AfterFunc(ctx, l.poke)()
	for ctx.Err() == nil {
		n, err := unix.EpollWait(l.epoll, l.events[:], -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("epoll_wait", err)
		}
		l.serve(l.events[:max(n, 0)])
	}
	return nil
}

// poke ends a wait.
func (l *Loop) poke() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		_, _ = unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// serve reads each ready socket once and sends what comes of it.
func (l *Loop) serve(events []unix.EpollEvent) {
	l.resolve(events)
	if len(l.ready) == 0 {
		return
	}
	l.batch.now = time.Now()
	share := min(max(batchSize/len(l.ready), minShare), maxShare)
	for _, s := range l.ready {
		n := min(share, s.next)
		if l.inbox.used+n > batchSize || l.inbox.bytes >= roundBytes {
			l.flush()
		}
		l.read(s, n)
	}
	l.flush()
	for i, s := range l.ready {
		s.release()
		l.ready[i] = nil
	}
}

// How many slots are read of one socket before the next has its turn.
const (
	minShare = 32
	maxShare = 256
)

// resolve puts the sockets that events name into ready, each acquired.
func (l *Loop) resolve(events []unix.EpollEvent) {
	l.ready = l.ready[:0]
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range events {
		// A slot may have a new socket by now; reading that one does no harm.
		if s := l.sockets[events[i].Fd]; s != nil && s.acquire() {
			l.ready = append(l.ready, s)
		}
	}
}

func (l *Loop) flush() {
	l.batch.Flush()
	l.inbox.reuse()
}

// Close lets go of the loop. Run does so by itself. It may be called more than once.
func (l *Loop) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		_ = unix.Close(l.epoll)
		_ = unix.Close(l.wake)
		if l.inbox != nil {
			l.inbox.free()
		}
	}
}
