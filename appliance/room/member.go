package room

import (
	"bytes"
	"slices"
)

// Join adds m and returns it with its ordinal. A member whose Joined is set had
// its place before (it is being restored) and is not held to the capacity. The
// same ID again replaces the member and keeps its ordinal. It returns
// ErrNotFound, ErrFull or an *InvalidError.
func (s *State) Join(name string, m Member) (Member, error) {
	r, err := s.existing(name)
	if err != nil {
		return Member{}, err
	}
	if err := s.limits.checkMember(m); err != nil {
		return Member{}, err
	}
	before, replaces := r.members[m.ID]
	switch {
	case m.Joined != 0:
	case replaces:
		m.Joined = before[0].value.Joined
	case len(r.members) >= s.capacity(r):
		return Member{}, ErrFull
	default:
		m.Joined = r.joined + 1
	}
	m.Meta = bytes.Clone(m.Meta)
	return s.putMember(r, m), nil
}

// Leave removes a member and returns it as it was.
func (s *State) Leave(name, memberID string) (Member, bool) {
	m, ok := s.Member(name, memberID)
	if !ok {
		return Member{}, false
	}
	r := s.rooms[name]
	r.version = s.change(key{kind: roomMember, room: name, id: memberID}).stamp
	delete(r.members, memberID)
	s.dropIfEmpty(r)
	return m, true
}

// SetMember changes a member: change gets a copy and may alter all but the ID
// and Joined. It returns ErrNotFound, ErrNoMember or an *InvalidError.
func (s *State) SetMember(name, memberID string, change func(*Member)) (Member, error) {
	if s.rooms[name] == nil {
		return Member{}, ErrNotFound
	}
	before, ok := s.Member(name, memberID)
	if !ok {
		return Member{}, ErrNoMember
	}
	m := before
	change(&m)
	if m.ID != before.ID {
		return Member{}, invalid("id", quote(m.ID), "%q: a member keeps its ID", before.ID)
	}
	if err := s.limits.checkMember(m); err != nil {
		return Member{}, err
	}
	m.Joined = before.Joined
	m.Meta = bytes.Clone(m.Meta)
	return s.putMember(s.rooms[name], m), nil
}

// Forget removes every member held by a run of box other than the incarnation
// except, in all rooms, and returns the names of the rooms that changed. Call it
// when a box is seen to have started again, that one's own restart included;
// except 0 forgets a box that is gone. Members that the box has let in again
// stay: those are held by its new run.
func (s *State) Forget(box string, except uint64) (changed []string) {
	dead := func(v version[Member]) bool {
		return v.dot.Box == box && v.dot.Incarnation != except && v.dot.Origin != s.origin
	}
	for _, name := range sortedKeys(s.rooms) {
		r := s.rooms[name]
		before := r.version
		for _, id := range sortedKeys(r.members) {
			if slices.ContainsFunc(r.members[id], dead) {
				r.version = s.change(key{kind: roomMember, room: name, id: id}).stamp
				r.putMembers(id, slices.DeleteFunc(slices.Clone(r.members[id]), dead))
			}
		}
		if r.version != before {
			changed = append(changed, name)
			s.dropIfEmpty(r)
		}
	}
	return changed
}

func (s *State) capacity(r *room) int {
	if n := r.now.capacity.value; n > 0 {
		return n
	}
	return s.limits.Capacity
}

// putMember replaces what was seen here of a member by m.
func (s *State) putMember(r *room, m Member) Member {
	w := s.change(key{kind: roomMember, room: r.name, id: m.ID})
	m.Holder = s.origin
	r.putMembers(m.ID, single(w, m))
	r.version = w.stamp
	return m
}

// putMembers stores the versions of one member, greatest mark first.
func (r *room) putMembers(id string, versions slot[Member]) {
	if len(versions) == 0 {
		delete(r.members, id)
		return
	}
	r.members[id] = versions
	r.joined = max(r.joined, versions[0].value.Joined)
}
