package signaling

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"signalbox/appliance/room"
)

// journaled is what the journal holds of one session.
type journaled struct {
	lasting []byte
	numbers []byte
	frames  []loggedFrame
	keys    []string // all of them
	err     error
}

// restoreSessions brings back the sessions of the journal, all suspended. A
// damaged record costs its own session, not the start. Nothing runs yet, so
// locks are taken only where a callee expects them.
func (s *Server) restoreSessions() error {
	if s.cfg.Journal == nil {
		return nil
	}
	found, err := s.readJournal()
	if err != nil {
		return err
	}
	now := time.Now()
	for id, j := range found {
		if err := s.restoreSession(id, j, now); err != nil {
			s.log.Warn("session not restored", "err", err)
			s.journal.trash = append(s.journal.trash, j.keys...)
		}
	}
	for id, sess := range s.sessions {
		for _, f := range found[id].frames {
			e := entry{body: f.body}
			if origin := s.sessions[f.origin]; origin != nil {
				e.receipt = receipt{origin: origin, id: f.id}
			}
			sess.log.push(e)
			s.logBytes.Add(int64(len(f.body)))
		}
		if sess.recovered == nil {
			last := sess.log.next() - 1
			sess.recovered = &last
		}
		s.wheel.schedule(sess, now.Add(s.cfg.ResumeWindow))
	}
	s.restorePairs()
	return nil
}

// readJournal sorts the journal's records by session.
func (s *Server) readJournal() (map[string]*journaled, error) {
	found := make(map[string]*journaled)
	of := func(id, key string) *journaled {
		j := found[id]
		if j == nil {
			j = &journaled{}
			found[id] = j
		}
		j.keys = append(j.keys, key)
		return j
	}
	err := s.cfg.Journal.Sessions(func(key string, record []byte) error {
		if id, seq, ok := strings.Cut(key, frameInfix); ok {
			j, f := of(id, key), loggedFrame{}
			var err error
			if f.seq, err = strconv.ParseUint(seq, 16, 64); err == nil {
				err = f.parse(record)
			}
			j.err = errors.Join(j.err, err)
			j.frames = append(j.frames, f)
		} else if id, ok := strings.CutSuffix(key, numbersSuffix); ok {
			of(id, key).numbers = append([]byte(nil), record...)
		} else {
			of(key, key).lasting = append([]byte(nil), record...)
		}
		return nil
	})
	return found, err
}

func (s *Server) restoreSession(id string, j *journaled, now time.Time) error {
	var l lasting
	var n numbers
	err := errors.Join(j.err, json.Unmarshal(j.lasting, &l), n.parse(j.numbers))
	if err != nil || l.Version != recordVersion || !plainID(l.Member) || l.Member == "" {
		return errors.Join(errRecord, err)
	}
	slices.SortFunc(j.frames, func(a, b loggedFrame) int { return cmp.Compare(a.seq, b.seq) })
	acked := n.acked
	for i, f := range j.frames {
		if i == 0 {
			acked = f.seq - 1
		}
		if f.seq != acked+1+uint64(i) {
			return fmt.Errorf("%w: frame %d is missing", errRecord, acked+1+uint64(i))
		}
	}
	sess := &Session{
		srv: s, id: id, member: l.Member, identity: l.Identity, name: l.Name, issued: l.Issued, confirmed: n.confirmed,
		in: n.done, done: n.done, committed: n.done, detached: now, limits: s.cfg.newBuckets(now),
	}
	sess.log.acked = acked
	if len(j.frames) > 0 {
		sess.stored = span{acked + 1, acked + uint64(len(j.frames))}
	}
	if n.recovered > 0 {
		last := n.recovered - 1
		sess.recovered = &last
	}
	s.sessions[id] = sess
	s.subjects[l.Identity.Subject]++
	s.restoreSeats(sess, l)
	return nil
}

func (s *Server) restoreSeats(sess *Session, l lasting) {
	s.roomsMu.Lock()
	defer s.roomsMu.Unlock()
	for _, seated := range l.Seats {
		if s.state.Version(seated.Room) == 0 {
			if _, err := s.state.Create(room.Info{Name: seated.Room}); err != nil {
				s.log.Warn("room not restored", "room", seated.Room, "err", err)
				continue
			}
		}
		m, err := s.state.Join(seated.Room, room.Member{
			ID: l.Member, Subject: l.Identity.Subject, Name: seated.Name, Meta: seated.Meta, Joined: seated.Joined, State: room.Suspended,
		})
		if err != nil {
			s.log.Warn("seat not restored", "room", seated.Room, "session", l.Member, "err", err)
			continue
		}
		s.sit(sess, &seat{
			hall: s.hallOf(seated.Room), joined: m.Joined, name: seated.Name, meta: seated.Meta, will: seated.Will,
			described: seated.Described, held: seated.Held,
		})
	}
}

// restorePairs brings the negotiations back from the seats of restored
// sessions: else candidates that follow a description which went out before
// the crash would wait for it in vain.
func (s *Server) restorePairs() {
	for _, h := range s.halls {
		for _, sess := range h.members {
			st := seatIn(sess.seats, h.name)
			for other, gen := range st.described {
				if h.members[other] == nil {
					delete(st.described, other)
					continue
				}
				if p, err := h.pairFor(sess.member, other); err == nil {
					p.gen, p.described[sideOf(sess.member, other)] = max(p.gen, gen), gen
				}
			}
		}
	}
	var out batch
	for _, h := range s.halls {
		for _, sess := range h.members {
			s.restoreHeld(h, sess, &out)
		}
	}
}

// restoreHeld sends a session's held candidates through negotiation again.
func (s *Server) restoreHeld(h *hall, sess *Session, out *batch) {
	st := seatIn(sess.seats, h.name)
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
			r = receipt{origin: sess, id: w.ID}
		}
		if err := s.negotiate(sess, to, h, &f, r, out); err != nil {
			s.log.Warn("held candidate not restored", "session", sess.member, "err", err)
		}
	}
}
