package signaling

// restorePairs brings the negotiations back from the seats of restored
// sessions: else candidates that follow a description which went out before
// the crash would wait for it in vain. Nothing runs yet, so no lock is taken.
func (s *Server) restorePairs() {
	var out batch
	for _, h := range s.halls {
		for _, sess := range h.members {
			st := sess.seats[h.name]
			for other, gen := range st.described {
				to := h.members[other]
				if to == nil {
					delete(st.described, other)
					continue
				}
				id, side := pairOf(sess, to)
				if p, err := h.pairFor(id, sess.member); err == nil {
					p.gen, p.described[side] = max(p.gen, gen), gen
				}
			}
		}
	}
	for _, h := range s.halls {
		for _, sess := range h.members {
			s.restoreHeld(h, sess, &out)
		}
	}
}

// restoreHeld sends a session's held candidates through negotiation again.
func (s *Server) restoreHeld(h *hall, sess *Session, out *batch) {
	st := sess.seats[h.name]
	waiting := st.held
	st.held = nil
	for _, w := range waiting {
		to, k := h.members[w.To], kindOf([]byte(w.Kind))
		if to == nil || k != kindCandidate && k != kindEndOfCandidates {
			continue
		}
		f := inbound{kind: k, seq: w.Seq, gen: w.Gen, id: w.ID, to: []byte(w.To), data: w.Data}
		if w.Data != nil {
			f.has |= hasData
		}
		r := receipt{}
		if w.ID != 0 {
			r = receipt{origin: sess, id: w.ID, seq: w.Seq}
		}
		if err := s.negotiate(sess, to, h, &f, r, out); err != nil {
			s.log.Warn("held candidate not restored", "session", sess.member, "err", err)
		}
	}
}
