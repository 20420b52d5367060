package signaling

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"signalbox/appliance/room"
)

// hall is where a room's frames are routed: who of its members is which
// session, and the negotiation of each pair. What people see of a room is in
// room.State; the relay path touches only the hall.
type hall struct {
	name string

	pressed atomic.Bool // a member was pressed when it was looked at last

	mu      sync.RWMutex
	members map[string]*Session
	pairs   map[string]map[string]*pair // by member and other member, both ways
}

// member finds a member's session; nil when there is none.
func (h *hall) member(id []byte) *Session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.members[string(id)]
}

// list copies the sessions of all members.
func (h *hall) list() []*Session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Collect(maps.Values(h.members))
}

// softly puts a frame on the soft lane of every member but one.
func (h *hall) softly(key string, body []byte, but *Session, out *batch) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, to := range h.members {
		if to != but {
			to.soft(key, body, out)
		}
	}
}

// hallOf gives the hall of a room, made if need be. roomsMu is held.
func (s *Server) hallOf(name string) *hall {
	h := s.halls[name]
	if h == nil {
		h = &hall{name: name, members: make(map[string]*Session)}
		s.halls[name] = h
	}
	return h
}

// sit puts a session into a room, unless it has ended meanwhile. roomsMu is held.
func (s *Server) sit(sess *Session, st *seat) bool {
	h := st.hall
	sess.mu.Lock()
	if sess.ended != "" {
		sess.mu.Unlock()
		return false
	}
	if before := seatIn(sess.seats, h.name); before != nil { // joined again
		st.described, st.held = before.described, before.held
	}
	sess.seatLocked(st)
	sess.markDirtyLocked(true)
	sess.mu.Unlock()
	h.mu.Lock()
	h.members[sess.member] = sess
	h.mu.Unlock()
	return true
}

// stand takes a session out of a room, closes the room if that was its last
// member, and tells the others. roomsMu is held.
func (s *Server) stand(sess *Session, st *seat, reason string, out *batch) {
	h := st.hall
	h.mu.Lock()
	if h.members[sess.member] != sess { // it has left already
		h.mu.Unlock()
		return
	}
	s.dropPairs(h, sess.member, out)
	delete(h.members, sess.member)
	empty := len(h.members) == 0
	h.mu.Unlock()
	m, ok := s.state.Leave(h.name, sess.member)
	sess.mu.Lock()
	sess.unseatLocked(h.name)
	sess.markDirtyLocked(true)
	sess.mu.Unlock()
	if ok {
		gone := memberFrame(m)
		gone.State, gone.Reason = stateLeft, reason
		key, told := presenceKey(h.name, m.ID), s.presenceBody(h.name, gone)
		h.softly(key, told, nil, out)
		if reason == endKicked || reason == endDeleted { // not its own doing
			sess.soft(key, told, out)
		}
	}
	if empty && s.halls[h.name] == h {
		s.closeEmpty(h.name)
	}
}

// closeEmpty ends a room that is not pinned once nobody is in it. roomsMu is held.
func (s *Server) closeEmpty(name string) {
	info, _, ok := s.state.Info(name)
	if ok && !info.Pinned {
		if err := s.state.Delete(name); err == nil {
			s.count(&s.roomsClosed)
			s.forgetRoom(name)
		}
	}
	delete(s.halls, name)
}

// leaveAll takes a session out of its rooms and carries out its wills.
func (s *Server) leaveAll(sess *Session, reason string, out *batch) {
	s.roomsMu.Lock()
	defer s.roomsMu.Unlock()
	sess.mu.Lock()
	seats := slices.Clone(sess.seats)
	sess.mu.Unlock()
	for _, st := range seats {
		if st.will != nil && reason != endLeft {
			e := entry{body: body(Relayed{Type: "message", Room: st.hall.name, From: sess.member, Will: true, Data: st.will})}
			st.hall.broadcast(e, sess, out)
		}
		s.stand(sess, st, reason, out)
	}
}

// showState shows a session's members as online or suspended: as they are at
// this moment, for a socket may have come or gone since the caller looked.
func (s *Server) showState(sess *Session, out *batch) {
	s.roomsMu.Lock()
	defer s.roomsMu.Unlock()
	sess.mu.Lock()
	seats := slices.Clone(sess.seats)
	state := room.Online
	if sess.conn == nil {
		state = room.Suspended
	}
	sess.mu.Unlock()
	for _, st := range seats {
		if m, ok := s.state.Member(st.hall.name, sess.member); !ok || m.State == state {
			continue
		}
		m, err := s.state.SetMember(st.hall.name, sess.member, func(m *room.Member) { m.State = state })
		if err == nil {
			st.hall.softly(presenceKey(st.hall.name, m.ID), s.presenceBody(st.hall.name, memberFrame(m)), sess, out)
		}
	}
}

// cameBack completes a resume: others see the member online, it sees its rooms
// as they are now, and its pairs learn of a new address.
func (s *Server) cameBack(sess *Session, suspended, moved bool, out *batch) {
	if suspended {
		s.showState(sess, out)
	}
	s.roomsMu.Lock()
	sess.mu.Lock()
	seats := slices.Clone(sess.seats)
	sess.mu.Unlock()
	for _, st := range seats {
		s.snapshot(sess, st, out)
	}
	s.roomsMu.Unlock()
	if moved {
		s.hintRestart(sess, "address_changed", out)
	}
}

// detach is called by a socket's reader when the socket has ended.
func (s *Server) detach(c *Conn) {
	sess := c.sess
	var out batch
	sess.mu.Lock()
	c.dead = true
	reason := c.reason
	if sess.conn != c {
		sess.mu.Unlock()
		return
	}
	sess.conn = nil
	sess.detached = time.Now()
	var due []receipt
	for seq := sess.log.acked + 1; seq < sess.log.next(); seq++ {
		if r := sess.log.at(seq).receipt; r.wanted() {
			due = append(due, r)
		}
	}
	ended := sess.ended != ""
	sess.mu.Unlock()
	s.log.Info("session detached", "session", sess.member, "remote", c.remote, "reason", reason)
	if ended {
		return
	}
	for _, r := range due {
		s.settle(r, statusStored, &out)
	}
	s.wheel.schedule(sess, sess.detached.Add(s.cfg.ResumeWindow))
	if !s.draining() { // a restart is not worth a wave of presence
		s.showState(sess, &out)
	}
	out.flush()
}

// Why a session ended, which is also the reason others read in presence.
const (
	endLeft     = "left"
	endExpired  = "expired"
	endKicked   = "kicked"
	endDeleted  = "deleted"
	endEnded    = "ended"
	endOverflow = "overflow"
)

// end ends a session: members leave, what waits for it has expired.
func (s *Server) end(sess *Session, reason string) {
	var out batch
	sess.mu.Lock()
	if sess.ended != "" {
		sess.mu.Unlock()
		return
	}
	sess.ended = reason
	c, subject := sess.conn, sess.identity.Subject
	due := sess.ackLocked(sess.log.next() - 1)
	sess.markDirtyLocked(true)
	sess.mu.Unlock()
	s.bury(sess, subject, reason)

	shown := reason
	if reason == endOverflow {
		shown = endExpired
	}
	s.leaveAll(sess, shown, &out)
	for _, r := range due {
		s.settle(r, statusExpired, &out)
	}
	if c != nil && reason != endLeft {
		f := &farewell{closeEnded, "ended", "this session was ended by an administrator", false, 0}
		if reason == endOverflow {
			f = &farewell{closeSlow, "slow", "the session fell too far behind and is over; reconnect", true, 0}
		}
		c.close(f)
	}
	s.log.Info("session ended", "session", sess.member, "reason", reason)
	out.flush()
}

func graveReason(reason string) string {
	switch reason {
	case endOverflow:
		return resumeOverflow
	case endExpired:
		return resumeExpired
	}
	return resumeUnknown
}

// graveyard remembers why the last sessions ended, for a late resume.
type graveyard struct {
	reasons map[string]string
	order   []string
}

const graves = 1024

func (g *graveyard) bury(id, reason string) {
	if g.reasons == nil {
		g.reasons = make(map[string]string)
	}
	if len(g.order) == graves {
		delete(g.reasons, g.order[0])
		g.order = g.order[1:]
	}
	g.reasons[id] = reason
	g.order = append(g.order, id)
}

func (g *graveyard) why(id string) string {
	if reason := g.reasons[id]; reason != "" {
		return reason
	}
	return resumeUnknown
}
