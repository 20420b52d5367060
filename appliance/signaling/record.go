package signaling

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"signalbox/appliance/auth"
)

// A session's records in the journal. Under its id lies what lasts: identity
// and rooms, as JSON. Under the id and a dot lie its numbers, which change
// with every frame it sends. Under the id, a slash and a seq lies each frame
// that it has not acknowledged, written once and deleted once. So a busy
// session costs the flash tens of bytes a commit, and a suspended one what is
// sent to it, and no more.

const (
	recordVersion = 1
	numbersSuffix = "."
	frameInfix    = "/"
)

// frameKey is the key of one unacknowledged frame.
func frameKey(session string, seq uint64) string {
	return fmt.Sprintf("%s%s%016x", session, frameInfix, seq)
}

// lasting is the record under the session's id.
type lasting struct {
	Version  int           `json:"version"`
	Member   string        `json:"member"`
	Identity auth.Identity `json:"identity"`
	Name     string        `json:"name,omitempty"`
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
}

// loggedFrame is the record of one unacknowledged frame.
type loggedFrame struct {
	seq    uint64 // of its key
	origin string // session id of who wants a receipt
	id     uint64
	body   []byte
}

// span is a run of frames, both ends included; zero: none.
type span struct{ first, last uint64 }

// join is the least span that holds both.
func (s span) join(other span) span {
	switch {
	case s == span{}:
		return other
	case other == span{}:
		return s
	}
	return span{min(s.first, other.first), max(s.last, other.last)}
}

// encode adds to a commit what of the session is not on disk, and gives the
// seq that the commit makes safe. The server's gate is held for writing.
func (s *Session) encode(to map[string][]byte) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = false
	if s.ended != "" {
		to[s.id], to[s.id+numbersSuffix] = nil, nil
		s.erase(to, s.stored.last)
		s.stored = span{}
		return s.done
	}
	if s.renumbered {
		s.renumbered = false
		s.erase(to, s.stored.last)
		s.stored = span{}
	}
	s.erase(to, s.log.acked)
	kept := span{}
	for seq := s.log.acked + 1; seq < s.log.next(); seq++ {
		kept = kept.join(span{seq, seq})
		if seq > s.stored.last {
			to[frameKey(s.id, seq)] = s.log.at(seq).record()
		}
	}
	s.stored = kept
	if s.rewrite {
		s.rewrite = false
		to[s.id] = s.lastingLocked()
	} else if s.done == s.committed {
		return s.done // it has only received
	}
	n := numbers{done: s.done, confirmed: s.confirmed, acked: s.log.acked}
	if s.recovered != nil {
		n.recovered = *s.recovered + 1
	}
	to[s.id+numbersSuffix] = n.append(nil)
	return s.done
}

// erase deletes the stored frames up to last.
func (s *Session) erase(to map[string][]byte, last uint64) {
	if s.stored == (span{}) {
		return
	}
	for seq := s.stored.first; seq <= min(last, s.stored.last); seq++ {
		to[frameKey(s.id, seq)] = nil
	}
}

func (s *Session) lastingLocked() []byte {
	l := lasting{Version: recordVersion, Member: s.member, Identity: s.identity, Name: s.name, Issued: s.issued}
	for _, st := range s.seats {
		l.Seats = append(l.Seats, lastingSeat{
			Room: st.hall.name, Joined: st.joined, Name: st.name, Meta: st.meta, Will: st.will, Described: st.described, Held: st.held,
		})
	}
	b, err := json.Marshal(l)
	if err != nil { // raw JSON that was scanned when it came
		panic("signaling: session record does not marshal: " + err.Error())
	}
	return b
}

// record writes the entry as parseFrame reads it.
func (e *entry) record() []byte {
	f := loggedFrame{body: e.body}
	if e.receipt.wanted() {
		f.origin, f.id = e.receipt.origin.id, e.receipt.id
	}
	return f.append(make([]byte, 0, len(e.body)+len(f.origin)+16))
}

func (f *loggedFrame) append(b []byte) []byte {
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, f.id)
	b = binary.AppendUvarint(b, uint64(len(f.origin)))
	b = append(b, f.origin...)
	return append(b, f.body...)
}

var errRecord = errors.New("session record is damaged")

// parse reads what append wrote. The body is copied: b may be the store's page.
func (f *loggedFrame) parse(b []byte) error {
	if len(b) == 0 || b[0] != recordVersion {
		return fmt.Errorf("%w: unknown version", errRecord)
	}
	id, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return errRecord
	}
	b = b[1+n:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return errRecord
	}
	b = b[n:]
	f.id, f.origin = id, string(b[:size])
	f.body = append([]byte(nil), b[size:]...)
	return nil
}

func (n *numbers) append(b []byte) []byte {
	b = append(b, recordVersion)
	for _, v := range []uint64{n.done, n.confirmed, n.acked, n.recovered} {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// parse reads what append wrote.
func (n *numbers) parse(b []byte) error {
	if len(b) == 0 || b[0] != recordVersion {
		return fmt.Errorf("%w: unknown version", errRecord)
	}
	b = b[1:]
	for _, v := range []*uint64{&n.done, &n.confirmed, &n.acked, &n.recovered} {
		value, size := binary.Uvarint(b)
		if size <= 0 || value > maxInteger+1 {
			return errRecord
		}
		*v, b = value, b[size:]
	}
	if len(b) != 0 {
		return errRecord
	}
	return nil
}
