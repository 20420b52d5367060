package room

import "iter"

// Info returns a room's Info and View.Version without copying its members.
func (s *State) Info(name string) (info Info, version uint64, ok bool) {
	r, err := s.existing(name)
	if err != nil {
		return Info{}, 0, false
	}
	return r.info(), r.version, true
}

// Version returns a room's View.Version, 0 when there is no such room.
func (s *State) Version(name string) uint64 {
	r, err := s.existing(name)
	if err != nil {
		return 0
	}
	return r.version
}

// Member returns one member of a room.
func (s *State) Member(name, memberID string) (Member, bool) {
	r := s.rooms[name]
	if r == nil || len(r.members[memberID]) == 0 {
		return Member{}, false
	}
	return r.members[memberID][0].value, true
}

// Members yields the members of a room in no particular order, without copying
// the room. The state must not change meanwhile. Of a room that was deleted on
// another box it yields those who joined it here just then; they should be told.
func (s *State) Members(name string) iter.Seq[Member] {
	return func(yield func(Member) bool) {
		r := s.rooms[name]
		if r == nil {
			return
		}
		for _, m := range r.members {
			if !yield(m[0].value) {
				return
			}
		}
	}
}

// MemberCount returns how many members a room has.
func (s *State) MemberCount(name string) int {
	if r := s.rooms[name]; r != nil {
		return len(r.members)
	}
	return 0
}

// Admits returns nil when a member with this subject may join the room, else
// ErrNotFound or ErrNotAllowed. Join does not ask.
func (s *State) Admits(name, subject string) error {
	r, err := s.existing(name)
	if err != nil {
		return err
	}
	if !admits(r.now.allow.value, subject) {
		return ErrNotAllowed
	}
	return nil
}
