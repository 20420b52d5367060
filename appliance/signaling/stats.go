package signaling

import (
	"sync/atomic"
)

// stats are the counters of a Server.
type stats struct {
	frames       [kindCount]atomic.Uint64
	bytesIn      atomic.Uint64
	opened       atomic.Uint64
	resumed      atomic.Uint64
	resumeFailed atomic.Uint64
	expired      atomic.Uint64
	roomsCreated atomic.Uint64
	roomsClosed  atomic.Uint64
	commits      atomic.Uint64
	commitErrors atomic.Uint64
	refusals     [len(refusalCodes)]atomic.Uint64
	closes       [len(closeCodes)]atomic.Uint64
	drops        drops
}

// drops counts what was not carried out or not delivered, by reason.
type drops struct {
	handshakes, overload, malformed, unknownType, repeated, protocol,
	overflow, conflated, slow, dead, absent, recipientFull,
	stale, heldFull, heldExpired atomic.Uint64
}

// refusalCodes and closeCodes are the label values of the counters; the last
// takes what is in none of the others.
var (
	refusalCodes = [...]string{
		codeBadFrame, codeUnknownType, codeNotJoined, codeRoomNotFound, codeRoomFull, codeForbidden, codeTooManyRooms,
		codeVersionConflict, codeStaleGeneration, codeHeldFull, codeRecipientFull, codeRateLimited, codeLimit, "token", codeInternal,
	}
	closeCodes = [...]int{
		closeUnsupported, closeInvalidUTF8, closeTooBig, closeRestart, closeOverload, closeHelloTimeout, closeDead, closeSlow,
		closeRateLimited, closeSequenceGap, closeTokenExpired, closeBadFrame, closeReplaced, closeUnauthorized, closeForbidden, closeEnded, closeInternal,
	}
)

func (s *stats) count(c *atomic.Uint64) { c.Add(1) }

func (s *stats) received(k kind, size int) {
	s.frames[k].Add(1)
	s.bytesIn.Add(uint64(size))
}

func (s *stats) refused(code string) {
	if len(code) > 6 && code[:6] == "token_" {
		code = "token"
	}
	for i, known := range refusalCodes {
		if known == code || i == len(refusalCodes)-1 {
			s.refusals[i].Add(1)
			return
		}
	}
}

func (s *stats) closed(f *farewell) {
	for i, known := range closeCodes {
		if known == f.code || i == len(closeCodes)-1 {
			s.closes[i].Add(1)
			return
		}
	}
}

// Stats is a snapshot of what the server is doing. Counters grow from the
// start of the process.
type Stats struct {
	Conns     int // sockets, with those that have not said hello
	Sessions  int // with and without a socket
	Suspended int // of these, without
	Rooms     int
	Members   int

	Opened       uint64 // sessions
	RoomsCreated uint64
	RoomsClosed  uint64
	Frames       map[string]uint64 // from clients, by type
	BytesIn      uint64
	Resumed      uint64
	ResumeFailed uint64
	Expired      uint64            // sessions whose resume window ended
	Refused      map[string]uint64 // frames, by error code
	Closed       map[int]uint64    // sockets closed by the box, by close code
	Dropped      map[string]uint64 // frames and sockets, by reason
	Commits      uint64            // of the journal, with those that failed
	CommitErrors uint64
}

// Stats takes a snapshot.
func (s *Server) Stats() Stats {
	st := Stats{
		Conns: int(s.open.Load()), Frames: make(map[string]uint64), BytesIn: s.bytesIn.Load(),
		Opened: s.opened.Load(), RoomsCreated: s.roomsCreated.Load(), RoomsClosed: s.roomsClosed.Load(),
		Resumed: s.resumed.Load(), ResumeFailed: s.resumeFailed.Load(), Expired: s.expired.Load(),
		Refused: make(map[string]uint64), Closed: make(map[int]uint64), Dropped: s.drops.snapshot(),
		Commits: s.commits.Load(), CommitErrors: s.commitErrors.Load(),
	}
	st.Commits += st.CommitErrors
	for k := range s.frames {
		st.Frames[kind(k).String()] = s.frames[k].Load()
	}
	for i, code := range refusalCodes {
		st.Refused[code] = s.refusals[i].Load()
	}
	for i, code := range closeCodes {
		st.Closed[code] = s.closes[i].Load()
	}
	for _, sess := range s.allSessions() {
		st.Sessions++
		sess.mu.Lock()
		if sess.conn == nil {
			st.Suspended++
		}
		st.Members += len(sess.seats)
		sess.mu.Unlock()
	}
	s.roomsMu.Lock()
	st.Rooms = s.state.Len()
	s.roomsMu.Unlock()
	return st
}

func (d *drops) snapshot() map[string]uint64 {
	return map[string]uint64{
		"handshake": d.handshakes.Load(), "overload": d.overload.Load(), "malformed": d.malformed.Load(),
		"unknown_type": d.unknownType.Load(), "repeated": d.repeated.Load(), "protocol": d.protocol.Load(),
		"overflow": d.overflow.Load(), "conflated": d.conflated.Load(), "slow": d.slow.Load(), "dead": d.dead.Load(),
		"absent": d.absent.Load(), "recipient_full": d.recipientFull.Load(), "stale_generation": d.stale.Load(),
		"held_full": d.heldFull.Load(), "held_expired": d.heldExpired.Load(),
	}
}

func (s *Server) allSessions() []*Session {
	s.sessionsMu.RLock()
	defer s.sessionsMu.RUnlock()
	all := make([]*Session, 0, len(s.sessions))
	for _, sess := range s.sessions {
		all = append(all, sess)
	}
	return all
}

// JournalBroken says why the journal does not work at present; "" when it does.
func (s *Server) JournalBroken() string { return s.journal.broken() }
