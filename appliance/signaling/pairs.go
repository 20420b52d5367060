package signaling

import (
	"cmp"
	"slices"
	"time"
)

const (
	heldMax      = 64               // candidates held per pair and direction
	heldBytesMax = 64 << 10         // and bytes of them per member of a room
	heldTime     = 10 * time.Second // and how long
	pairsMax     = 256              // pairs one member may negotiate in at once
	hintPause    = 5 * time.Second  // between two restart hints to a pair
)

// pair is the negotiation between two members. Side 0 is the smaller id.
type pair struct {
	gen       uint64    // the highest generation either has offered
	described [2]uint64 // generation of the last description each side has sent
	held      [2][]held // candidates that came before their description
	over      bool      // ended by bye, until the next offer
	hinted    time.Time // when a restart was asked for last
	offered   time.Time // when the offer came that has no answer yet
}

// held is a candidate waiting for its description.
type held struct {
	gen   uint64 // 0: the next description of its side
	seq   uint64 // its sender's
	entry entry
	until time.Time
}

// sideOf is the side of the first of two members.
func sideOf(member, other string) int {
	if member < other {
		return 0
	}
	return 1
}

// polite reports whether to is polite towards from in the hall: the later
// joiner is. hall.mu is held.
func (h *hall) polite(to, from *Session) bool {
	return cmp.Or(cmp.Compare(to.joinedIn(h), from.joinedIn(h)), cmp.Compare(to.member, from.member)) > 0
}

func (s *Session) joinedIn(h *hall) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := seatIn(s.seats, h.name); st != nil {
		return st.joined
	}
	return 0
}

// pairFor gives the pair of two members, made if need be. hall.mu is held.
func (h *hall) pairFor(from, to string) (*pair, error) {
	if p := h.pairs[from][to]; p != nil {
		return p, nil
	}
	if len(h.pairs[from]) >= pairsMax || len(h.pairs[to]) >= pairsMax {
		return nil, refuse(codeLimit, "a member may negotiate with %d others of a room", pairsMax)
	}
	p := &pair{}
	for _, way := range [][2]string{{from, to}, {to, from}} {
		if h.pairs == nil {
			h.pairs = make(map[string]map[string]*pair)
		}
		if h.pairs[way[0]] == nil {
			h.pairs[way[0]] = make(map[string]*pair)
		}
		h.pairs[way[0]][way[1]] = p
	}
	return p, nil
}

// dropPairs forgets a member's negotiations, with all that is held in them.
// The member is still in the hall; hall.mu is held.
func (s *Server) dropPairs(h *hall, member string, out *batch) {
	for other, p := range h.pairs[member] {
		for _, owner := range []string{member, other} {
			if sess := h.members[owner]; sess != nil {
				s.dropHeld(h, p, sideOf(owner, pick(owner == member, other, member)), sess, out)
			}
		}
		if sess := h.members[other]; sess != nil {
			sess.changeSeat(h, func(st *seat) { delete(st.described, member) })
		}
		delete(h.pairs[other], member)
	}
	delete(h.pairs, member)
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// dropHeld gives up what one side of a pair has waiting. hall.mu is held.
func (s *Server) dropHeld(h *hall, p *pair, side int, owner *Session, out *batch) {
	for _, w := range p.held[side] {
		owner.unhold(h, w.seq)
		s.settle(w.entry.receipt, statusExpired, out)
	}
	p.held[side] = nil
}

// changeSeat changes what the journal keeps of the session's seat in h.
func (s *Session) changeSeat(h *hall, change func(*seat)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := seatIn(s.seats, h.name); st != nil {
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
