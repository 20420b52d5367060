package signaling

import (
	"cmp"
	"slices"
	"time"
)

const (
	heldMax  = 64               // candidates held per pair and direction
	heldTime = 10 * time.Second // and how long
	pairsMax = 256              // pairs one member may negotiate in at once
)

// pairID names two members of a room, the smaller id first.
type pairID struct{ a, b string }

// pair is the negotiation between two members. Side 0 is the smaller id.
type pair struct {
	gen       uint64    // the highest generation either has offered
	described [2]uint64 // generation of the last description each side has sent
	held      [2][]held // candidates that came before their description
}

// held is a candidate waiting for its description.
type held struct {
	gen   uint64 // 0: the next description of its side
	seq   uint64 // its sender's
	entry entry
	until time.Time
}

func pairOf(from, to *Session) (id pairID, side int) {
	if from.member < to.member {
		return pairID{from.member, to.member}, 0
	}
	return pairID{to.member, from.member}, 1
}

// polite reports whether to is polite towards from in the hall: the later
// joiner is. hall.mu is held.
func (h *hall) polite(to, from *Session) bool {
	return cmp.Or(cmp.Compare(to.joinedIn(h), from.joinedIn(h)), cmp.Compare(to.member, from.member)) > 0
}

func (s *Session) joinedIn(h *hall) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.seats[h.name]; st != nil {
		return st.joined
	}
	return 0
}

// nextGen is the generation an offer takes when cur is the highest known. In a
// glare both sides see the same cur, and the impolite one's is the higher.
func nextGen(cur uint64, polite bool) uint64 {
	gen := 2 * (cur/2 + 1)
	if !polite {
		gen++
	}
	return gen
}

// pairFor gives the pair, made if need be. hall.mu is held.
func (h *hall) pairFor(id pairID, from string) (*pair, error) {
	if p := h.pairs[id]; p != nil {
		return p, nil
	}
	if h.pairs == nil {
		h.pairs = make(map[pairID]*pair)
	}
	if len(h.pairs) >= pairsMax { // only count when it may matter
		count := 0
		for other := range h.pairs {
			if other.a == from || other.b == from {
				count++
			}
		}
		if count >= pairsMax {
			return nil, refuse(codeLimit, "a member may negotiate with %d others of a room", pairsMax)
		}
	}
	p := &pair{}
	h.pairs[id] = p
	return p, nil
}

// dropPairs forgets a member's negotiations. hall.mu is held.
func (h *hall) dropPairs(member string) {
	for id := range h.pairs {
		other := id.a
		switch member {
		case id.a:
			other = id.b
		case id.b:
		default:
			continue
		}
		delete(h.pairs, id)
		if sess := h.members[other]; sess != nil {
			sess.changeSeat(h, func(st *seat) { delete(st.described, member) })
		}
	}
}

// changeSeat changes what the journal keeps of the session's seat in h.
func (s *Session) changeSeat(h *hall, change func(*seat)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.seats[h.name]; st != nil {
		change(st)
		s.markDirtyLocked(true)
	}
}

// describe notes that the session has sent another member a description.
func (s *Session) describe(h *hall, to string, gen uint64) {
	s.changeSeat(h, func(st *seat) {
		if st.described == nil {
			st.described = make(map[string]uint64)
		}
		st.described[to] = gen
	})
}

// unhold notes that a candidate of the session is held no more.
func (s *Session) unhold(h *hall, seq uint64) {
	s.changeSeat(h, func(st *seat) {
		st.held = slices.DeleteFunc(st.held, func(l lastingHeld) bool { return l.Seq == seq })
	})
}

// negotiate relays offer, answer, candidate, end-of-candidates and bye, by the
// generation rules of PROTOCOL.md §5.
func (s *Server) negotiate(from, to *Session, h *hall, f *inbound, r receipt, out *batch) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	id, side := pairOf(from, to)
	p, err := h.pairFor(id, from.member)
	if err != nil {
		return err
	}
	polite := h.polite(to, from)
	gen := f.gen
	switch {
	case f.kind == kindOffer && gen == 0:
		gen = nextGen(p.gen, !polite)
	case f.kind == kindCandidate || f.kind == kindEndOfCandidates:
		if gen == 0 && p.described[side] == p.gen {
			gen = p.gen
		}
	case gen == 0:
		gen = p.gen
	}
	if stale := f.kind == kindOffer && gen <= p.gen || gen != 0 && gen < p.gen; stale {
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
		p.gen, p.described[side] = max(p.gen, gen), gen
		from.describe(h, to.member, gen)
		s.release(h, p, side, from, to, out)
		return nil
	case kindCandidate, kindEndOfCandidates:
		if gen == 0 || p.described[side] != gen {
			return s.hold(h, p, side, from, held{gen: gen, seq: f.seq, entry: e}, f)
		}
	case kindBye:
		for _, w := range p.held[side] {
			from.unhold(h, w.seq)
		}
		p.held[side] = nil
	}
	return s.deliver(to, e, out)
}

// hold keeps a candidate until its description comes. hall.mu is held.
func (s *Server) hold(in *hall, p *pair, side int, from *Session, h held, f *inbound) error {
	if len(p.held[side]) >= heldMax {
		s.count(&s.drops.heldFull)
		return refuseForNow(codeHeldFull, time.Second, "%d candidates already wait for a description; send it first", heldMax)
	}
	h.until = time.Now().Add(heldTime)
	from.changeSeat(in, func(st *seat) {
		from.holds = true
		st.held = append(st.held, lastingHeld{
			To: string(f.to), Kind: f.kind.String(), Gen: f.gen, Seq: f.seq, ID: f.id, Data: slices.Clone(f.data),
		})
	})
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
		switch {
		case w.gen != 0 && w.gen < p.gen:
			s.count(&s.drops.stale)
		default:
			if err := s.deliver(to, w.entry, out); err != nil {
				s.settle(w.entry.receipt, statusExpired, out)
			}
		}
	}
}

// expireHeld drops candidates of a session whose description never came, and
// tells it.
func (s *Server) expireHeld(sess *Session, now time.Time, out *batch) {
	sess.mu.Lock()
	if !sess.holds {
		sess.mu.Unlock()
		return
	}
	sess.holds = false
	sess.mu.Unlock()
	for _, h := range sess.halls() {
		h.mu.Lock()
		for id, p := range h.pairs {
			side := 0
			switch sess.member {
			case id.a:
			case id.b:
				side = 1
			default:
				continue
			}
			keep := p.held[side][:0]
			for _, w := range p.held[side] {
				if now.Before(w.until) {
					keep = append(keep, w)
					continue
				}
				s.count(&s.drops.heldExpired)
				sess.unhold(h, w.seq)
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
		h.mu.Unlock()
	}
}

// halls lists the halls of the session's rooms.
func (s *Session) halls() []*hall {
	s.mu.Lock()
	defer s.mu.Unlock()
	halls := make([]*hall, 0, len(s.seats))
	for _, st := range s.seats {
		halls = append(halls, st.hall)
	}
	return halls
}

// hintRestart asks the impolite side of each of a session's negotiated pairs
// for an ICE restart.
func (s *Server) hintRestart(sess *Session, reason string, out *batch) {
	for _, h := range sess.halls() {
		h.mu.Lock()
		for id, p := range h.pairs {
			if p.gen == 0 || id.a != sess.member && id.b != sess.member {
				continue
			}
			other := h.members[id.a]
			if id.a == sess.member {
				other = h.members[id.b]
			}
			if other == nil {
				continue
			}
			to, about := sess, other
			if h.polite(sess, other) {
				to, about = other, sess
			}
			to.must(entry{body: body(Restart{Type: "restart", Room: h.name, Member: about.member, Reason: reason})}, out)
		}
		h.mu.Unlock()
	}
}
