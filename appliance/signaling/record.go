package signaling

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"signalbox/appliance/auth"
	"signalbox/appliance/room"
)

// A session has two records: under its id what lasts (identity, rooms), as
// JSON; under its id and a dot what changes with every frame (numbers, the log
// of unacknowledged frames), in a compact form, so that a busy session costs
// the flash tens of bytes and not its whole self.

// lasting is the record under the session's id.
type lasting struct {
	Version  int           `json:"version"`
	Member   string        `json:"member"`
	Identity auth.Identity `json:"identity"`
	Client   string        `json:"client,omitempty"`
	Issued   uint64        `json:"issued"`
	Seats    []lastingSeat `json:"seats,omitempty"`
}

type lastingSeat struct {
	Room   string          `json:"room"`
	Joined uint64          `json:"joined"`
	Name   string          `json:"name,omitempty"`
	Meta   json.RawMessage `json:"meta,omitempty"`
	Will   json.RawMessage `json:"will,omitempty"`

	Described map[string]uint64 `json:"described,omitempty"` // by member: generation of the last description sent
	Held      []lastingHeld     `json:"held,omitempty"`
}

// lastingHeld is a candidate that waits for its description.
type lastingHeld struct {
	To   string          `json:"to"`
	Kind string          `json:"kind"`
	Gen  uint64          `json:"gen"`
	Seq  uint64          `json:"seq"`
	ID   uint64          `json:"id,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`
}

// numbers is the record under the session's id and a dot.
type numbers struct {
	done, confirmed, acked uint64
	recovered              uint64 // Session.recovered plus one; 0: nil
	log                    []loggedFrame
}

type loggedFrame struct {
	body   []byte
	origin string // session id of who wants a receipt
	id     uint64
}

const (
	recordVersion = 1
	numbersSuffix = "."
)

// encode adds the session's records to a commit and returns the seq the
// commit makes safe: promised when ok, else no more than before.
func (s *Session) encode(promised uint64, ok bool, to map[string][]byte) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = false
	if s.ended != "" {
		to[s.id], to[s.id+numbersSuffix] = nil, nil
		return s.done
	}
	if !ok {
		promised = s.committed
	}
	if s.done > promised {
		s.markDirtyLocked(false) // the rest is for the next commit
	}
	if s.rewrite {
		s.rewrite = false
		to[s.id] = s.lastingLocked()
	} else if s.log.n == 0 && promised == s.committed {
		return promised // received and acknowledged meanwhile: nothing to keep
	}
	n := numbers{done: promised, confirmed: s.confirmed, acked: s.log.acked}
	if s.recovered != nil {
		n.recovered = *s.recovered + 1
	}
	for seq := s.log.acked + 1; seq < s.log.next(); seq++ {
		e := s.log.at(seq)
		f := loggedFrame{body: e.body}
		if e.receipt.wanted() {
			f.origin, f.id = e.receipt.origin.id, e.receipt.id
		}
		n.log = append(n.log, f)
	}
	to[s.id+numbersSuffix] = n.append(nil)
	return promised
}

func (s *Session) lastingLocked() []byte {
	l := lasting{Version: recordVersion, Member: s.member, Identity: s.identity, Client: s.client, Issued: s.issued}
	for name, st := range s.seats {
		l.Seats = append(l.Seats, lastingSeat{
			Room: name, Joined: st.joined, Name: st.name, Meta: st.meta, Will: st.will, Described: st.described, Held: st.held,
		})
	}
	b, err := json.Marshal(l)
	if err != nil { // raw JSON that was scanned when it came
		panic("signaling: session record does not marshal: " + err.Error())
	}
	return b
}

func (n *numbers) append(b []byte) []byte {
	b = append(b, recordVersion)
	for _, v := range []uint64{n.done, n.confirmed, n.acked, n.recovered, uint64(len(n.log))} {
		b = binary.AppendUvarint(b, v)
	}
	for _, f := range n.log {
		b = binary.AppendUvarint(b, uint64(len(f.body)))
		b = append(b, f.body...)
		b = binary.AppendUvarint(b, uint64(len(f.origin)))
		b = append(b, f.origin...)
		b = binary.AppendUvarint(b, f.id)
	}
	return b
}

var errRecord = errors.New("session record is damaged")

// parse reads what append wrote. Bodies are copied: b may be the store's page.
func (n *numbers) parse(b []byte) error {
	if len(b) == 0 || b[0] != recordVersion {
		return fmt.Errorf("%w: unknown version", errRecord)
	}
	b = b[1:]
	next := func() uint64 {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			b = nil
			return 0
		}
		b = b[size:]
		return v
	}
	chunk := func() []byte {
		size := next()
		if size > uint64(len(b)) {
			b = nil
			return nil
		}
		c := append([]byte(nil), b[:size]...)
		b = b[size:]
		return c
	}
	n.done, n.confirmed, n.acked, n.recovered = next(), next(), next(), next()
	count := next()
	if b == nil || count > uint64(len(b)) { // each frame takes more than a byte
		return errRecord
	}
	for range count {
		f := loggedFrame{body: chunk(), origin: string(chunk())}
		if b == nil {
			return errRecord
		}
		f.id = next()
		n.log = append(n.log, f)
	}
	if b == nil || len(b) != 0 {
		return errRecord
	}
	return nil
}

// restoreSessions brings back the sessions of the journal, all suspended. A
// damaged record costs its own session, not the start.
func (s *Server) restoreSessions() error {
	if s.cfg.Journal == nil {
		return nil
	}
	now := time.Now()
	logs := make(map[*Session]numbers)
	counts := make(map[string][]byte)
	err := s.cfg.Journal.Sessions(func(key string, record []byte) error {
		if id, ok := strings.CutSuffix(key, numbersSuffix); ok {
			counts[id] = append([]byte(nil), record...)
			return nil
		}
		s.restoreSession(key, record, now)
		return nil
	})
	if err != nil {
		return err
	}
	for id, sess := range s.sessions {
		var n numbers
		if err := n.parse(counts[id]); err != nil {
			s.log.Warn("session not restored", "session", sess.member, "err", err)
			s.end(sess, endExpired)
			continue
		}
		sess.in, sess.done, sess.committed, sess.confirmed = n.done, n.done, n.done, n.confirmed
		sess.log.acked = n.acked
		logs[sess] = n
	}
	for sess, n := range logs {
		for _, f := range n.log {
			e := entry{body: f.body}
			if origin := s.sessions[f.origin]; origin != nil {
				e.receipt = receipt{origin: origin, id: f.id}
			}
			sess.log.push(e)
		}
		last := sess.log.next() - 1
		if n.recovered > 0 {
			last = n.recovered - 1
		}
		sess.recovered = &last
		s.wheel.schedule(sess, now.Add(s.cfg.ResumeWindow))
	}
	s.restorePairs()
	return nil
}

func (s *Server) restoreSession(id string, record []byte, now time.Time) {
	var l lasting
	if err := json.Unmarshal(record, &l); err != nil || l.Version != recordVersion || !plainID(l.Member) || l.Member == "" {
		s.log.Warn("session not restored", "session", l.Member, "err", errors.Join(errRecord, err))
		return
	}
	sess := &Session{
		srv: s, id: id, member: l.Member, identity: l.Identity, client: l.Client, issued: l.Issued,
		detached: now, limits: s.cfg.newBuckets(now),
	}
	s.sessions[id] = sess
	s.roomsMu.Lock()
	defer s.roomsMu.Unlock()
	for _, seated := range l.Seats {
		if _, _, ok := s.state.Info(seated.Room); !ok {
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
