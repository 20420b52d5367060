package room

import (
	"fmt"
	"slices"
	"strings"
)

// Merge takes in what another box knows and returns the names of the rooms that
// look different now, sorted. It is commutative, associative and idempotent. It
// returns ErrGap or ErrForked, having changed nothing.
//
// A name in changed may be that of a room that is gone. If Members still yields
// somebody, they joined while it was deleted elsewhere: create it again to keep
// them, or make them leave.
func (s *State) Merge(d Delta) (changed []string, err error) {
	if err := s.accepts(d); err != nil {
		return nil, err
	}
	looks := map[*room]look{}
	for i := range d.rooms {
		r := s.rooms[d.rooms[i].name]
		if r == nil {
			r = newRoom(d.rooms[i].name)
			s.rooms[r.name] = r
		}
		if l := s.mergeRoom(r, &d.rooms[i], &d); l != same {
			looks[r] = l
		}
	}
	if d.full {
		s.mergeUnlisted(&d, looks)
	}
	s.mergeTrails(&d)
	s.known.join(d.known)
	s.met.join(d.met)
	s.clock = max(s.clock, d.clock)
	return s.changed(looks), nil
}

// look says what of a room can be seen to be different.
type look uint8

const (
	same look = iota
	memberLook
	infoLook // and perhaps members
)

// accepts returns ErrGap when d leaves out changes not known here. Where d says
// nothing of members that is new, not having met them either is no gap.
func (s *State) accepts(d Delta) error {
	if theirs, ours := d.known[s.origin], s.known[s.origin]; theirs > ours {
		return fmt.Errorf("change %d of box %s, incarnation %d, is known elsewhere and %d is the last made: %w",
			theirs, s.origin.Box, s.origin.Incarnation, ours, ErrForked)
	}
	for origin, from := range d.since {
		if from > s.known[origin] || from > s.met[origin] && d.met[origin] > s.met[origin] {
			return ErrGap
		}
	}
	return nil
}

// mergeUnlisted removes from the rooms that a snapshot does not list whatever
// its sender has seen of them.
func (s *State) mergeUnlisted(d *Delta, looks map[*room]look) {
	for name, r := range s.rooms {
		_, listed := slices.BinarySearchFunc(d.rooms, name, func(rd roomDelta, name string) int {
			return strings.Compare(rd.name, name)
		})
		if listed {
			continue
		}
		if l := s.mergeRoom(r, &roomDelta{name: name, whole: true, settings: true}, d); l != same {
			looks[r] = l
		}
	}
}

func (s *State) mergeRoom(r *room, rd *roomDelta, d *Delta) look {
	seen := same
	existed := r.exists()
	if rd.settings {
		before := r.now.marks()
		r.header, _ = merge(r.header, rd.header, s.known, d.known)
		r.now = resolve(r.header)
		if r.now.marks() != before {
			seen = infoLook
		}
	}
	if mergeSlots(r.metadata, rd.metadata, rd.whole, s.known, d.known, nil) {
		seen = infoLook
	}
	if mergeSlots(r.members, rd.members, rd.whole, s.met, d.met, r.sawMember) {
		seen = max(seen, memberLook)
	}
	switch {
	case r.exists() && !existed:
		s.count++
	case !r.exists() && existed:
		s.count--
	}
	s.dropIfEmpty(r)
	return seen
}

// sawMember keeps the ordinals given here above all that others gave.
func (r *room) sawMember(m Member) { r.joined = max(r.joined, m.Joined) }

// mergeSlots merges the listed slots into here, and if whole an empty one into
// each of the others. It reports whether a version that is shown is another now.
func mergeSlots[T any](here map[string]slot[T], there []keyed[T], whole bool, seenHere, seenThere Vector, saw func(T)) (visible bool) {
	one := func(id string, theirs slot[T]) {
		ours := here[id]
		merged, changed := merge(ours, theirs, seenHere, seenThere)
		if !changed {
			return
		}
		visible = visible || merged.top() != ours.top()
		if len(merged) == 0 {
			delete(here, id)
			return
		}
		here[id] = merged
		if saw != nil {
			saw(merged[0].value)
		}
	}
	for _, k := range there {
		one(k.id, k.slot)
	}
	if !whole {
		return visible
	}
	for id := range here {
		_, listed := slices.BinarySearchFunc(there, id, func(k keyed[T], id string) int { return strings.Compare(k.id, id) })
		if !listed {
			one(id, nil)
		}
	}
	return visible
}

// mergeTrails continues the trails by those of d, so that the next box can be
// told of single changes too. It comes before the vectors are joined.
func (s *State) mergeTrails(d *Delta) {
	for origin, counter := range d.known {
		ours := s.known[origin]
		if counter <= ours {
			continue
		}
		if d.full {
			delete(s.trails, origin) // what it touched in between is not said
			continue
		}
		for i, place := range d.trails[origin][ours-d.since[origin]:] {
			s.record(origin, ours+uint64(i), d.keys[place])
		}
	}
}

// changed gives the rooms that look different a new version, and names them.
func (s *State) changed(looks map[*room]look) []string {
	if len(looks) == 0 {
		return nil
	}
	stamp := s.tick()
	names := make([]string, 0, len(looks))
	for r, l := range looks {
		r.version = stamp
		if l == infoLook {
			r.infoVersion = stamp
		}
		names = append(names, r.name)
	}
	slices.Sort(names)
	return names
}
