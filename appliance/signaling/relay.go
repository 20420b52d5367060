package signaling

import (
	"errors"
	"time"
)

// What became of a frame to one member (PROTOCOL.md §5, receipts).
const (
	statusDelivered = "delivered"
	statusStored    = "stored"
	statusAbsent    = "absent"
	statusExpired   = "expired"
)

// carryOut parses and carries out one frame; false ends the socket.
func (c *Conn) carryOut(b []byte) bool {
	s := c.sess
	s.turn.Lock()
	var out batch
	c.srv.gate.RLock()
	more := c.step(b, &out)
	c.srv.gate.RUnlock()
	s.turn.Unlock()
	out.flush()
	return more
}

// step is carryOut under the session's turn.
func (c *Conn) step(b []byte, out *batch) bool {
	var f inbound
	if err := f.parse(b); err != nil {
		c.srv.count(&c.srv.drops.malformed)
		c.close(malformed(err))
		return false
	}
	c.srv.received(f.kind, len(b))
	fresh, err := c.accept(&f, len(b))
	if err != nil {
		more := c.refuseOrClose(&f, err, out)
		if more && f.has&hasSeq != 0 { // its answer is in the log now
			c.sess.carriedOut(f.seq)
		}
		return more
	}
	if !fresh {
		return c.current()
	}
	if f.ack > 0 {
		if err := c.sess.ack(f.ack, out); err != nil {
			return c.refuseOrClose(&f, err, out)
		}
	}
	err = f.check()
	if err == nil {
		err = c.dispatch(&f, out)
	}
	more := err == nil || c.refuseOrClose(&f, err, out)
	if f.has&hasSeq != 0 {
		c.sess.carriedOut(f.seq)
	}
	return more
}

// current reports whether c still is its session's socket.
func (c *Conn) current() bool {
	c.sess.mu.Lock()
	defer c.sess.mu.Unlock()
	return c.sess.conn == c
}

// accept takes note of a frame: life, sequence and rates. fresh is false for a
// frame to be passed over without a word: a repeat, or one from a socket that
// has been replaced.
func (c *Conn) accept(f *inbound, size int) (fresh bool, err error) {
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended != "":
		return false, sessionEnded()
	case s.conn != c:
		return false, nil
	}
	now := time.Now()
	if f.kind == kindPong && c.pinged.After(c.heard) {
		c.srv.cfg.Observer.Took(StageRoundTrip, now.Sub(c.pinged))
	}
	c.heard, s.probeUntil = now, time.Time{}
	s.confirmed = c.token
	if f.kind.sequenced() || f.kind == kindUnknown && f.has&hasSeq != 0 {
		switch {
		case f.has&hasSeq == 0 || f.seq == 0:
			return false, &farewell{closeBadFrame, codeBadFrame, "a " + f.kind.String() + ` frame needs "seq"`, false, 0}
		case f.seq <= s.in:
			c.srv.count(&c.srv.drops.repeated)
			return false, nil
		case f.seq > s.in+1:
			return false, &farewell{closeSequenceGap, "sequence_gap", "got seq " + itoa(f.seq) + ", want " + itoa(s.in+1), true, 0}
		}
	} else {
		f.seq, f.has = 0, f.has&^hasSeq
	}
	err = s.limits.take(&c.srv.cfg, f.kind, size, now)
	if _, ends := errors.AsType[*farewell](err); ends {
		return false, err // not accepted: it may come again
	}
	if f.has&hasSeq != 0 {
		s.in = f.seq
	}
	return err == nil, err
}

// carriedOut lets the journal promise seq.
func (s *Session) carriedOut(seq uint64) {
	s.mu.Lock()
	s.done = max(s.done, seq)
	if s.done > s.committed {
		s.markDirtyLocked(false)
	}
	s.mu.Unlock()
}

func (c *Conn) dispatch(f *inbound, out *batch) error {
	srv, s := c.srv, c.sess
	switch f.kind {
	case kindAck, kindPong:
		return nil
	case kindPing:
		s.soft("\x00reply", body(Pong{Type: "pong", T: f.t}), out)
		return nil
	case kindMessage:
		if f.has&hasTo == 0 {
			return srv.messageRoom(s, f, out)
		}
		return srv.sendTo(s, f, out)
	case kindOffer, kindAnswer, kindCandidate, kindEndOfCandidates, kindBye:
		return srv.sendTo(s, f, out)
	case kindJoin:
		return srv.join(s, f, out)
	case kindLeave:
		return srv.leave(s, f, out)
	case kindPresence:
		return srv.presence(s, f, out)
	case kindSet:
		return srv.setState(s, f, out)
	case kindRefresh:
		return srv.refresh(c, f, out)
	case kindNetworkChanged:
		return srv.networkChanged(c, out)
	case kindHello:
		return &farewell{closeBadFrame, codeBadFrame, "hello comes once", false, 0}
	}
	srv.count(&srv.drops.unknownType)
	return refuse(codeUnknownType, "no frame type %q", clip(f.typeName))
}

// sender gives the session's seat and hall for a frame it sends into a room.
func (srv *Server) sender(s *Session, f *inbound) (*seat, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := seatIn(s.seats, f.room)
	if st == nil {
		return nil, refuse(codeNotJoined, "join room %q first", clip(f.room))
	}
	if !s.identity.Has(rightSend) {
		return nil, refuse(codeForbidden, "the token does not have the right to send")
	}
	return st, nil
}

// messageRoom sends a message to every other member.
func (srv *Server) messageRoom(s *Session, f *inbound, out *batch) error {
	st, err := srv.sender(s, f)
	if err != nil {
		return err
	}
	if st.hall.pressed.Load() && st.hall.behind() {
		srv.count(&srv.drops.recipientFull)
		return refuseForNow(codeRecipientFull, pressPause, "members of the room are behind; send again later")
	}
	count, known := -1, false
	if f.has&hasKey != 0 {
		_, known = srv.keys.begin(s.subject(), f.key, time.Now())
	}
	if !known {
		e := entry{body: relayedBody(kindMessage, st.hall.name, s.member, f, 0, nil)}
		count = st.hall.broadcast(e, s, out)
	}
	if f.has&hasID != 0 {
		s.must(entry{body: sentBody(f.id, statusStored, max(count, 0))}, out)
	}
	return nil
}

// pressPause is how long a client whose room is behind has to wait.
const pressPause = 100 * time.Millisecond

// broadcast puts e on the control lane of every member but one.
func (h *hall) broadcast(e entry, but *Session, out *batch) (count int) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, to := range h.members {
		if to != but {
			if to.must(e, out) {
				h.pressed.Store(true)
			}
			count++
		}
	}
	return count
}

// behind tells whether any member still is pressed. It is asked before a
// message is taken, for many senders may each be within their limits.
func (h *hall) behind() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	h.pressed.Store(false)
	for _, s := range h.members {
		s.mu.Lock()
		pressed := s.pressedLocked()
		s.mu.Unlock()
		if pressed {
			h.pressed.Store(true)
			return true
		}
	}
	return false
}

// sendTo sends a frame to one member of the room.
func (srv *Server) sendTo(s *Session, f *inbound, out *batch) error {
	st, err := srv.sender(s, f)
	if err != nil {
		return err
	}
	r := receipt{}
	if f.has&hasID != 0 {
		r = receipt{origin: s, id: f.id}
	}
	if f.has&hasKey == 0 {
		return srv.pass(s, st.hall, f, r, out)
	}
	key, known := srv.keys.begin(s.subject(), f.key, time.Now())
	if known {
		if f.has&hasID != 0 {
			s.must(entry{body: sentBody(f.id, key.status(), -1)}, out)
		}
		return nil
	}
	r.origin, r.sentKey = s, key
	if err = srv.pass(s, st.hall, f, r, out); err != nil {
		srv.keys.forget(key) // refused: it may be sent again
	}
	return err
}

// pass hands a frame to the member it is for.
func (srv *Server) pass(s *Session, h *hall, f *inbound, r receipt, out *batch) error {
	to := h.member(f.to)
	if to == nil || to == s {
		srv.count(&srv.drops.absent)
		srv.settle(r, statusAbsent, out)
		return nil
	}
	if f.kind.negotiation() {
		return srv.negotiate(s, to, h, f, r, out)
	}
	return srv.deliver(to, entry{body: relayedBody(f.kind, h.name, s.member, f, 0, nil), receipt: r}, out)
}

// deliver puts e on one member's control lane and answers what is known at once.
func (srv *Server) deliver(to *Session, e entry, out *batch) error {
	conn, result := to.push(e)
	switch result {
	case pushFull:
		srv.count(&srv.drops.recipientFull)
		return refuseForNow(codeRecipientFull, 500*time.Millisecond, "the receiver has not acknowledged %d frames; send again later", srv.cfg.UnackedFrames)
	case pushEnded:
		srv.settle(e.receipt, statusAbsent, out)
	case pushStored:
		srv.settle(e.receipt, statusStored, out)
	case pushLive:
		out.add(conn)
	}
	return nil
}

// settle answers a receipt.
func (srv *Server) settle(r receipt, status string, out *batch) {
	if !r.wanted() {
		return
	}
	if r.sentKey != nil {
		r.sentKey.set(status)
		if status == statusExpired || status == statusAbsent {
			srv.keys.forget(r.sentKey)
		}
	}
	if r.id != 0 {
		r.origin.must(entry{body: sentBody(r.id, status, -1)}, out)
	}
}

func (s *Session) subject() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.identity.Subject
}
