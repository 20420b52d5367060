package room

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Delta is what one state tells another: see State.Delta. It does not change
// when the state does, and may be encoded after the state's lock is released.
type Delta struct {
	full       bool   // nothing is left of a room that is not listed
	since      Vector // what the receiver has to know; nothing when full
	known, met Vector // contexts of the sender
	clock      uint64
	rooms      []roomDelta // by name

	// What each change after since touched, as places in keys; nil when full.
	trails map[Origin][]uint32
	keys   []key
}

// roomDelta is what is left of the keys of one room that were touched.
type roomDelta struct {
	name     string
	whole    bool // nothing is left of a key that is not listed
	settings bool // header is listed
	header   slot[settings]
	metadata []keyed[json.RawMessage] // by id
	members  []keyed[Member]          // by id
}

// keyed is a slot under its key. In a delta it may be empty: removed.
type keyed[T any] struct {
	id   string
	slot slot[T]
}

// Empty reports whether d says nothing that its receiver did not know.
func (d Delta) Empty() bool { return len(d.rooms) == 0 && len(d.known) == len(d.since) }

// Full reports whether d is a Snapshot, which builds on nothing.
func (d Delta) Full() bool { return d.full }

// Vector returns what its sender knew.
func (d Delta) Vector() Vector { return d.known.Clone() }

// Snapshot returns the whole state as a delta since nothing.
func (s *State) Snapshot() Delta {
	d := Delta{full: true, known: s.known.Clone(), met: s.met.Clone(), clock: s.clock}
	for _, name := range sortedKeys(s.rooms) {
		d.rooms = append(d.rooms, s.rooms[name].delta(touched{all: true}))
	}
	return d
}

// Delta returns all that happened after since, or a Snapshot when since is
// empty or so old that the single changes are no longer known.
func (s *State) Delta(since Vector) Delta {
	if len(since) == 0 {
		return s.Snapshot()
	}
	d := Delta{since: Vector{}, known: s.known.Clone(), met: s.met.Clone(), clock: s.clock}
	trails, rooms := map[Origin][]key{}, map[string]*touched{}
	for origin, counter := range s.known {
		if from := min(counter, since[origin]); from > 0 {
			d.since[origin] = from
		}
		keys, ok := s.since(origin, since[origin])
		if !ok {
			return s.Snapshot()
		}
		if len(keys) > 0 {
			trails[origin] = keys
		}
		for _, k := range keys {
			if rooms[k.room] == nil {
				rooms[k.room] = &touched{}
			}
			rooms[k.room].add(k)
		}
	}
	for _, name := range sortedKeys(rooms) {
		r := s.rooms[name]
		if r == nil {
			r = newRoom(name)
		}
		d.rooms = append(d.rooms, r.delta(*rooms[name]))
	}
	d.setTrails(trails)
	return d
}

// setTrails says, by their places, what keys each change touched.
func (d *Delta) setTrails(trails map[Origin][]key) {
	d.listKeys()
	places := make(map[key]uint32, len(d.keys))
	for i, k := range d.keys {
		places[k] = uint32(i)
	}
	d.trails = make(map[Origin][]uint32, len(trails))
	for origin, keys := range trails {
		trail := make([]uint32, 0, len(keys))
		for _, k := range keys {
			trail = append(trail, places[k])
		}
		d.trails[origin] = trail
	}
}

// listKeys lists what a trail can name, in the order in which it is encoded.
func (d *Delta) listKeys() {
	for i := range d.rooms {
		rd := &d.rooms[i]
		d.keys = append(d.keys, key{kind: wholeRoom, room: rd.name}, key{kind: roomSettings, room: rd.name})
		for _, k := range rd.metadata {
			d.keys = append(d.keys, key{kind: roomMetadata, room: rd.name, id: k.id})
		}
		for _, k := range rd.members {
			d.keys = append(d.keys, key{kind: roomMember, room: rd.name, id: k.id})
		}
	}
}

// touched collects the keys of one room that changes touched.
type touched struct {
	all, settings     bool
	metadata, members map[string]bool
}

func (t *touched) add(k key) {
	switch k.kind {
	case wholeRoom:
		t.all = true
	case roomSettings:
		t.settings = true
	case roomMetadata:
		t.settings = true
		t.metadata = with(t.metadata, k.id)
	case roomMember:
		t.members = with(t.members, k.id)
	}
}

func with(set map[string]bool, id string) map[string]bool {
	if set == nil {
		set = map[string]bool{}
	}
	set[id] = true
	return set
}

// delta lists what is left of the touched keys.
func (r *room) delta(t touched) roomDelta {
	d := roomDelta{name: r.name, whole: t.all, settings: t.all || t.settings}
	if d.settings {
		d.header = r.header
	}
	d.metadata = list(r.metadata, t.metadata, t.all)
	d.members = list(r.members, t.members, t.all)
	return d
}

// list returns the slots with those ids, and all others too if asked, by id.
func list[T any](slots map[string]slot[T], ids map[string]bool, others bool) []keyed[T] {
	if others {
		ids = maps.Clone(ids)
		for id := range slots {
			ids = with(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	listed := make([]keyed[T], 0, len(ids))
	for id := range ids {
		listed = append(listed, keyed[T]{id: id, slot: slots[id]})
	}
	slices.SortFunc(listed, func(a, b keyed[T]) int { return strings.Compare(a.id, b.id) })
	return listed
}
