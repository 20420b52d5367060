package room

import (
	"fmt"
	"maps"
	"slices"
)

// item is one version in some slot, as the oracle sees it.
type item struct {
	member bool
	place  string
	dot    Dot
}

// items returns every version that s holds.
func items(s *State) map[item]bool {
	held := map[item]bool{}
	for name, r := range s.rooms {
		for _, v := range r.header {
			held[item{place: name, dot: v.dot}] = true
		}
		for id, slot := range r.metadata {
			for _, v := range slot {
				held[item{place: name + " data " + id, dot: v.dot}] = true
			}
		}
		for id, slot := range r.members {
			for _, v := range slot {
				held[item{member: true, place: name + " member " + id, dot: v.dot}] = true
			}
		}
	}
	return held
}

// oracle knows all changes ever made by any box, and what each of them removed
// where it was made. From that alone it says what a box that knows some of them
// must hold: what they added less what they removed.
type oracle struct {
	added   map[item]bool
	removed map[Dot][]item
}

func newOracle() *oracle {
	return &oracle{added: map[item]bool{}, removed: map[Dot][]item{}}
}

// watch runs op, which changes s, and notes what it did.
func (o *oracle) watch(s *State, op func()) {
	before := items(s)
	op()
	after := items(s)
	last := Dot{Origin: s.origin, Counter: s.known[s.origin]}
	for it := range after {
		if !before[it] {
			o.added[it] = true
		}
	}
	for it := range before {
		if !after[it] {
			o.removed[last] = append(o.removed[last], it)
		}
	}
}

// expect returns what s must hold.
func (o *oracle) expect(s *State) map[item]bool {
	seen := func(it item, d Dot) bool {
		if it.member {
			return s.met.Contains(d)
		}
		return s.known.Contains(d)
	}
	held := maps.Clone(o.added)
	maps.DeleteFunc(held, func(it item, _ bool) bool { return !seen(it, it.dot) })
	for by, its := range o.removed {
		for _, it := range its {
			if seen(it, by) {
				delete(held, it)
			}
		}
	}
	return held
}

// check returns what is wrong inside s, empty when nothing is.
func (o *oracle) check(s *State) string {
	got, want := items(s), o.expect(s)
	if !maps.Equal(got, want) {
		return fmt.Sprintf("box %v holds\n%v, want\n%v", s.origin, slices.Collect(maps.Keys(got)), slices.Collect(maps.Keys(want)))
	}
	count := 0
	for name, r := range s.rooms {
		if r.exists() {
			count++
		}
		if len(r.header) == 0 && len(r.metadata) > 0 {
			return fmt.Sprintf("room %q has metadata and does not exist", name)
		}
		if len(r.header) == 0 && len(r.members) == 0 {
			return fmt.Sprintf("nothing is left of room %q and it is kept", name)
		}
	}
	if s.Len() != count {
		return fmt.Sprintf("Len() = %d, want %d", s.Len(), count)
	}
	if !s.known.Covers(s.met) {
		return fmt.Sprintf("met %v is ahead of known %v", s.met, s.known)
	}
	return ""
}

// canonical is all of s that boxes come to agree on, as bytes.
func canonical(s *State) string {
	d := s.Snapshot()
	d.clock = 0
	return string(d.Encode())
}

// clone returns a copy of s that changes by itself.
func clone(s *State) *State {
	c := *s
	c.known, c.met = s.known.Clone(), s.met.Clone()
	c.trails = map[Origin]*trail{}
	for o, t := range s.trails {
		c.trails[o] = &trail{base: t.base, keys: slices.Clone(t.keys)}
	}
	c.rooms = map[string]*room{}
	for name, r := range s.rooms {
		copied := *r
		copied.metadata, copied.members = maps.Clone(r.metadata), maps.Clone(r.members)
		c.rooms[name] = &copied
	}
	return &c
}
