package signaling

import (
	"time"

	"signalbox/appliance/room"
)

// What tests in package signaling_test do to a Server beyond its API.

// LockRooms holds up every change of a room until UnlockRooms.
func (s *Server) LockRooms() { s.roomsMu.Lock() }

// UnlockRooms lets changes of rooms go on.
func (s *Server) UnlockRooms() { s.roomsMu.Unlock() }

// TickAt has the clock look at a member's session as if it were now.
func (s *Server) TickAt(member string, now time.Time) {
	for _, sess := range s.allSessions() {
		if sess.member == member {
			s.tick(sess, now)
		}
	}
}

// JoinTooLate carries out a join of a member's session that has ended since the
// frame was accepted.
func (s *Server) JoinTooLate(member, room string) error {
	for _, sess := range s.allSessions() {
		if sess.member != member {
			continue
		}
		s.end(sess, endEnded)
		var out batch
		defer out.flush()
		return s.join(sess, &inbound{kind: kindJoin, room: []byte(room)}, &out)
	}
	return nil
}

// FillRoom puts n members without a session into a room.
func (s *Server) FillRoom(name string, n int, meta []byte) error {
	s.roomsMu.Lock()
	defer s.roomsMu.Unlock()
	for range n {
		if _, err := s.state.Join(name, room.Member{ID: "m_" + randomID(8), Subject: "crowd", Meta: meta}); err != nil {
			return err
		}
	}
	return nil
}
