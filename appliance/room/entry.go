package room

import (
	"encoding/json"
	"fmt"
)

// Entry is what is stored of one room: see State.Durable. It does not change
// when the state does.
type Entry struct {
	Name string

	header   slot[settings]
	metadata []keyed[json.RawMessage] // by id, none empty
}

// Deleted reports whether the room is gone, so that its stored entry is to go.
func (e Entry) Deleted() bool { return len(e.header) == 0 }

// Info returns what the entry says about its room.
func (e Entry) Info() Info {
	return infoOf(e.Name, resolve(e.header), e.slots())
}

func (e Entry) slots() map[string]slot[json.RawMessage] {
	slots := make(map[string]slot[json.RawMessage], len(e.metadata))
	for _, k := range e.metadata {
		slots[k.id] = k.slot
	}
	return slots
}

// Durable returns the room without its members, to be stored. For a room that
// is not there it returns an Entry that is Deleted, and false: nothing needs to
// be stored of it but the Vector.
//
// Write it in one transaction with the Vector taken under the same lock, and
// with the entry of every other room changed since the Vector written last,
// pinned or not. A vector on disk without the changes it claims to know would,
// after a crash, make other boxes believe that they were undone.
func (s *State) Durable(name string) (Entry, bool) {
	r, err := s.existing(name)
	if err != nil {
		return Entry{Name: name}, false
	}
	return Entry{Name: name, header: r.header, metadata: list(r.metadata, nil, true)}, true
}

// Restore fills a new state with what had been stored: the entries, and the
// Vector that was stored with the last of them. It returns ErrForked when the
// stored changes include some of this very run.
//
// Members are not restored. Let those who have a session Join again. Where
// other boxes share the state, take a Snapshot of each at first contact, since
// the Vector does not say that their members are unknown here; then Forget what
// they still hold of the earlier runs of this box.
func (s *State) Restore(entries []Entry, v Vector) error {
	if len(s.known) > 0 {
		return fmt.Errorf("restore into a state that has %d rooms; it takes a new one", s.count)
	}
	if last := v[s.origin]; last > 0 {
		return fmt.Errorf("box %s, incarnation %d, has %d changes stored: %w", s.origin.Box, s.origin.Incarnation, last, ErrForked)
	}
	s.known = v.Clone()
	for _, e := range entries {
		if !e.Deleted() {
			s.restore(e)
		}
	}
	stamp := s.tick()
	for _, r := range s.rooms {
		r.version, r.infoVersion = stamp, stamp
	}
	return nil
}

func (s *State) restore(e Entry) {
	r := newRoom(e.Name)
	r.header, r.now = e.header, resolve(e.header)
	r.metadata = e.slots()
	if s.rooms[e.Name] == nil {
		s.count++
	}
	s.rooms[e.Name] = r
	for m := range e.marks() {
		s.clock = max(s.clock, m.stamp>>stampBits)
		// Stored in one transaction with its vector, no entry is ahead of it.
		// Were one, its dots must still not be given out again.
		s.known.join(Vector{m.dot.Origin: m.dot.Counter})
	}
}
