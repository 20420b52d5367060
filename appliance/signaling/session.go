package signaling

import (
	"encoding/json"
	"net/netip"
	"slices"
	"sync"
	"time"

	"signalbox/appliance/auth"
)

// Session is one client's standing with the box. It outlives its sockets: its
// rooms, its sequence numbers and the frames it has not acknowledged wait for
// the next one until the resume window closes.
//
// Lock order: Server.roomsMu, hall.mu, Session.mu. Nothing that blocks, and no
// other session's lock, is taken under Session.mu.
type Session struct {
	srv    *Server
	id     string // secret between box and client
	member string // what others know it by

	// turn is held while one frame of this client is carried out. When a new
	// socket takes over, the old one's last frame is finished first, so order
	// holds across sockets.
	turn sync.Mutex

	mu       sync.Mutex
	identity auth.Identity
	name     string // shown in rooms joined without one
	seats    []*seat
	conn     *Conn // nil while suspended
	detached time.Time
	addr     netip.Addr // of the last socket
	ended    string     // why the session is over; "" while it lives

	in        uint64 // highest client seq accepted
	done      uint64 // highest client seq carried out; what the journal may promise
	committed uint64 // highest client seq on disk; what may be acknowledged
	log       unacked

	issued    uint64 // counter of the newest resume token
	confirmed uint64 // counter of the newest one the client has used or heard

	recovered  *uint64   // from the journal and not resumed since: the last seq it had then
	holds      bool      // candidates of its are held
	mark       uint64    // seq of a frame not acknowledged yet, the last there was at marked
	marked     time.Time // shows whether the client keeps up
	stored     span      // frames of the log that are on disk
	renumbered bool      // those on disk carry old numbers
	dirty      bool      // in the journal's set
	rewrite    bool      // its lasting part changed too
	wheelAt    int64
	expiring   bool // auth.expiring has been sent for the present identity
	iceRenewAt time.Time
	probeUntil time.Time // network-changed: dead unless heard from before
	limits     buckets
}

// seat is one session's membership in one room.
type seat struct {
	hall   *hall
	joined uint64
	name   string
	meta   json.RawMessage
	will   json.RawMessage

	// What a restart must know of the negotiations, guarded by Session.mu: the
	// generation of the last description sent to each member, and the
	// candidates of this session that are held.
	described map[string]uint64
	held      []lastingHeld
}

// seatIn gives the seat in a room, nil when there is none. Most sessions have
// one seat, for which a map would take ten times the memory of a list.
func seatIn[T string | []byte](seats []*seat, room T) *seat {
	for _, st := range seats {
		if st.hall.name == string(room) {
			return st
		}
	}
	return nil
}

// seatLocked puts st in the place of the seat it replaces, if there is one.
func (s *Session) seatLocked(st *seat) {
	s.unseatLocked(st.hall.name)
	s.seats = append(s.seats, st)
}

func (s *Session) unseatLocked(room string) {
	s.seats = slices.DeleteFunc(s.seats, func(st *seat) bool { return st.hall.name == room })
}

// pushResult says what became of a frame offered to a session.
type pushResult uint8

const (
	pushLive   pushResult = iota // the socket has it next
	pushStored                   // waits for the next socket
	pushFull                     // does not fit; not taken
	pushEnded                    // the session is over; not taken
)

// push puts a frame on the control lane. The caller flushes conn, when it is
// not nil, after it has let go of its own locks.
func (s *Session) push(e entry) (conn *Conn, result pushResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pushLocked(e)
}

func (s *Session) pushLocked(e entry) (*Conn, pushResult) {
	switch {
	case s.ended != "":
		return nil, pushEnded
	case s.log.n >= s.srv.cfg.UnackedFrames, s.log.n > 0 && s.log.bytes+len(e.body) > s.srv.cfg.UnackedBytes,
		s.conn == nil && s.srv.logBytes.Load() > logBytesMax:
		return nil, pushFull
	}
	if seq := s.log.push(e); s.log.n == 1 {
		s.mark, s.marked = seq, time.Now()
	}
	s.srv.logBytes.Add(int64(len(e.body)))
	s.markDirtyLocked(false)
	if s.conn == nil {
		return nil, pushStored
	}
	return s.conn, pushLive
}

// ackLocked drops what the client has and gives the receipts due.
func (s *Session) ackLocked(seq uint64) []receipt {
	before := s.log.bytes
	due := s.log.ack(seq, nil)
	if s.log.acked >= s.mark {
		s.mark, s.marked = s.log.next()-1, time.Now()
	}
	if s.log.bytes != before {
		s.srv.logBytes.Add(int64(s.log.bytes - before))
	}
	return due
}

// pressedLocked tells whether the session is more than half behind although
// its client keeps up: then whoever sends to it should go slower. One that does
// not acknowledge, or a frame now and then, slows nobody down; it will be cut,
// or end.
func (s *Session) pressedLocked() bool {
	behind := s.log.n > s.srv.cfg.UnackedFrames/2 || s.log.bytes > s.srv.cfg.UnackedBytes/2
	return behind && s.conn != nil && time.Since(s.marked) < pressTime
}

const (
	// pressTime is how long a client that keeps up may take to acknowledge all
	// that was there at one moment.
	pressTime = 2 * time.Second
	// logBytesMax bounds what is kept for all suspended sessions together.
	logBytesMax = 128 << 20
)

// must pushes a frame that cannot be refused to anybody: a room message or a
// reply. A session with no room for it ends, because a gap would be a lie.
// It reports whether the session is pressed.
func (s *Session) must(e entry, out *batch) (pressed bool) {
	s.mu.Lock()
	conn, result := s.pushLocked(e)
	pressed = s.pressedLocked()
	s.mu.Unlock()
	if result == pushFull {
		s.srv.count(&s.srv.drops.overflow)
		s.srv.later(func() { s.srv.end(s, endOverflow) })
		return pressed
	}
	out.add(conn)
	return pressed
}

// soft puts a frame on the soft lane, where key's last value wins. It is lost
// when the session has no socket: a resume brings a snapshot.
func (s *Session) soft(key string, body []byte, out *batch) {
	s.mu.Lock()
	conn := s.conn
	if conn != nil && !conn.softLocked(key, body) {
		conn.closeLocked(&farewell{closeSlow, "slow", "the socket does not take its frames; reconnect and resume", true, 0})
	}
	s.mu.Unlock()
	out.add(conn)
}

// markDirtyLocked puts the session into the journal's next commit.
func (s *Session) markDirtyLocked(rewrite bool) {
	s.rewrite = s.rewrite || rewrite
	if !s.dirty {
		s.dirty = true
		s.srv.journal.mark(s)
	}
}

// ack takes the client's cumulative acknowledgement and sends the receipts due.
func (s *Session) ack(seq uint64, out *batch) error {
	s.mu.Lock()
	if seq >= s.log.next() {
		next := s.log.next()
		s.mu.Unlock()
		return &farewell{code: closeBadFrame, name: codeBadFrame, message: "ack is above the last seq sent, " + itoa(next-1)}
	}
	due := s.ackLocked(seq)
	s.mu.Unlock()
	for _, r := range due {
		s.srv.settle(r, statusDelivered, out)
	}
	return nil
}

// seatOf gives the session's seat in a room, nil when it has none.
func (s *Session) seatOf(room []byte) *seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return seatIn(s.seats, room)
}

// batch collects the sockets that got frames, to flush each once. It does not
// point into itself, or each frame would have to allocate one.
type batch struct {
	few  [4]*Conn
	n    int // of few
	more []*Conn
	last *Conn
}

func (b *batch) add(c *Conn) {
	if c == nil || c == b.last {
		return
	}
	b.last = c
	if b.n < len(b.few) {
		b.few[b.n] = c
		b.n++
		return
	}
	b.more = append(b.more, c)
}

// flush writes what the batch's sockets have to say. Never under a lock.
func (b *batch) flush() {
	for _, c := range b.few[:b.n] {
		c.flush()
	}
	for _, c := range b.more {
		c.flush()
	}
	*b = batch{}
}
