package signaling

import (
	"slices"
	"time"
)

// nextGen is the generation an offer takes when cur is the highest known. In a
// glare both sides see the same cur, and the impolite one's is the higher.
func nextGen(cur uint64, polite bool) uint64 {
	gen := 2 * (cur/2 + 1)
	if !polite {
		gen++
	}
	return gen
}

// negotiate relays offer, answer, candidate, end-of-candidates and bye, by the
// generation rules of PROTOCOL.md §5.
func (s *Server) negotiate(from, to *Session, h *hall, f *inbound, r receipt, out *batch) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, err := h.pairFor(from.member, to.member)
	if err != nil {
		return err
	}
	side, polite := sideOf(from.member, to.member), h.polite(to, from)
	gen := f.gen
	switch {
	case gen != 0:
	case f.kind == kindOffer:
		gen = nextGen(p.gen, !polite)
	case f.kind == kindCandidate || f.kind == kindEndOfCandidates:
		if p.described[side] == p.gen {
			gen = p.gen
		}
	default:
		gen = p.gen
	}
	if f.kind == kindOffer && gen <= p.gen || gen != 0 && gen < p.gen {
		s.count(&s.drops.stale)
		no := refuse(codeStaleGeneration, "%s of generation %d, the pair is at %d", f.kind, gen, p.gen)
		no.gen = p.gen
		return no
	}
	e := entry{body: relayedBody(f.kind, h.name, from.member, f, gen, &polite), receipt: r}
	switch f.kind {
	case kindOffer, kindAnswer:
		if err := s.deliver(to, e, out); err != nil {
			return err
		}
		p.gen, p.described[side], p.over = max(p.gen, gen), gen, false
		s.observeAnswer(p, f.kind)
		from.describe(h, to.member, gen)
		s.release(h, p, side, from, to, out)
		return nil
	case kindCandidate, kindEndOfCandidates:
		if gen == 0 || p.described[side] != gen {
			return s.hold(h, p, side, from, held{gen: gen, seq: f.seq, entry: e}, f)
		}
	case kindBye:
		p.over = true
		s.dropHeld(h, p, side, from, out)
	}
	return s.deliver(to, e, out)
}

// observeAnswer measures from offer to answer. hall.mu is held.
func (s *Server) observeAnswer(p *pair, k kind) {
	switch {
	case k == kindOffer:
		p.offered = time.Now()
	case !p.offered.IsZero():
		s.cfg.Observer.Took(StageAnswer, time.Since(p.offered))
		p.offered = time.Time{}
	}
}

// hold keeps a candidate until its description comes. hall.mu is held.
func (s *Server) hold(in *hall, p *pair, side int, from *Session, h held, f *inbound) error {
	full := len(p.held[side]) >= heldMax
	from.changeSeat(in, func(st *seat) {
		bytes := len(f.data)
		for _, l := range st.held {
			bytes += len(l.Data)
		}
		if full = full || bytes > heldBytesMax; full {
			return
		}
		from.holds = true
		st.held = append(st.held, lastingHeld{
			To: string(f.to), Kind: f.kind.String(), Gen: f.gen, Seq: f.seq, ID: f.id, Data: slices.Clone(f.data),
		})
	})
	if full {
		s.count(&s.drops.heldFull)
		return refuseForNow(codeHeldFull, time.Second, "%d candidates or %d bytes already wait for a description; send it first", heldMax, heldBytesMax)
	}
	h.until = time.Now().Add(heldTime)
	p.held[side] = append(p.held[side], h)
	s.wheel.schedule(from, h.until)
	return nil
}

// release delivers the candidates that waited for the description just sent,
// and drops those of older ones. hall.mu is held.
func (s *Server) release(h *hall, p *pair, side int, from, to *Session, out *batch) {
	waiting := p.held[side]
	p.held[side] = nil
	for _, w := range waiting {
		if w.gen > p.described[side] {
			p.held[side] = append(p.held[side], w)
			continue
		}
		from.unhold(h, w.seq)
		stale := w.gen != 0 && w.gen < p.gen
		if stale {
			s.count(&s.drops.stale)
		}
		if stale || s.deliver(to, w.entry, out) != nil {
			s.settle(w.entry.receipt, statusExpired, out)
		}
	}
}

// expireHeld drops candidates of a session whose description never came, and
// tells it.
func (s *Server) expireHeld(sess *Session, now time.Time, out *batch) {
	sess.mu.Lock()
	holds := sess.holds
	sess.holds = false
	sess.mu.Unlock()
	if !holds {
		return
	}
	for _, h := range sess.halls() {
		h.mu.Lock()
		for other, p := range h.pairs[sess.member] {
			s.expirePair(h, p, sideOf(sess.member, other), sess, now, out)
		}
		h.mu.Unlock()
	}
}

// expirePair is expireHeld for one pair. hall.mu is held.
func (s *Server) expirePair(h *hall, p *pair, side int, sess *Session, now time.Time, out *batch) {
	keep := p.held[side][:0]
	for _, w := range p.held[side] {
		if now.Before(w.until) {
			keep = append(keep, w)
			continue
		}
		s.count(&s.drops.heldExpired)
		sess.unhold(h, w.seq)
		if w.entry.receipt.sentKey != nil {
			s.keys.forget(w.entry.receipt.sentKey)
		}
		e := Error{
			Type: "error", ID: w.entry.receipt.id, Re: w.seq, Code: codeHeldExpired,
			Message: "no description came for this candidate", Temporary: true,
		}
		sess.must(entry{body: body(e)}, out)
	}
	if p.held[side] = keep; len(keep) > 0 {
		sess.mu.Lock()
		sess.holds = true
		sess.mu.Unlock()
		s.wheel.schedule(sess, keep[0].until)
	}
}

// hintRestart asks the impolite side of each of a session's live pairs for an
// ICE restart, but not again and again.
func (s *Server) hintRestart(sess *Session, reason string, out *batch) {
	now := time.Now()
	for _, h := range sess.halls() {
		h.mu.Lock()
		for id, p := range h.pairs[sess.member] {
			other := h.members[id]
			if other == nil || p.gen == 0 || p.over || now.Sub(p.hinted) < hintPause {
				continue
			}
			p.hinted = now
			to, about := sess, other
			if h.polite(sess, other) {
				to, about = other, sess
			}
			to.must(entry{body: body(Restart{Type: "restart", Room: h.name, Member: about.member, Reason: reason})}, out)
		}
		h.mu.Unlock()
	}
}
