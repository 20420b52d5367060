package room

import (
	"encoding/json"
	"slices"
)

// State is the rooms and members as one box knows them. It is not safe for
// concurrent use: its owner guards it.
type State struct {
	origin Origin
	tag    uint64 // low bits of the stamps made here
	limits Limits
	clock  uint64 // Lamport clock: the latest tick seen or made

	// known is the context of settings and metadata, met that of members. They
	// differ only after Restore, which brings rooms back but nobody in them;
	// met is never ahead.
	known, met Vector

	trails      map[Origin]*trail
	trailLength int
	rooms       map[string]*room
	count       int // of those in rooms that exist
}

// room is what is left of the writes to one room. It exists while header holds
// a version. A room that was deleted here while others joined it elsewhere does
// not exist and has members, until they leave or it is created again.
type room struct {
	name     string
	header   slot[settings]
	now      settings // what header resolves to
	metadata map[string]slot[json.RawMessage]
	members  map[string]slot[Member]
	joined   uint64 // highest ordinal given or seen

	version     uint64 // stamp of the last visible change on this box
	infoVersion uint64 // stamp of the last visible change of Info on this box
}

// New returns an empty state whose changes will carry origin. Each start of a
// box needs an incarnation of its own.
func New(origin Origin, limits Limits) *State {
	return &State{
		origin:      origin,
		tag:         runTag(origin),
		limits:      limits.withDefaults(),
		known:       Vector{},
		met:         Vector{},
		trails:      map[Origin]*trail{},
		trailLength: trailLength,
		rooms:       map[string]*room{},
	}
}

// Room returns a copy of one room.
func (s *State) Room(name string) (View, bool) {
	r, err := s.existing(name)
	if err != nil {
		return View{}, false
	}
	return r.view(), true
}

// Rooms returns a copy of every room, sorted by name.
func (s *State) Rooms() []View {
	views := make([]View, 0, s.count)
	for _, name := range sortedKeys(s.rooms) {
		if r := s.rooms[name]; r.exists() {
			views = append(views, r.view())
		}
	}
	return views
}

// Len returns how many rooms there are.
func (s *State) Len() int { return s.count }

// Vector returns the changes known here: what to give a peer, for it to answer
// with a Delta, and what to store beside every Entry.
func (s *State) Vector() Vector { return s.known.Clone() }

func (s *State) existing(name string) (*room, error) {
	if r := s.rooms[name]; r != nil && r.exists() {
		return r, nil
	}
	return nil, ErrNotFound
}

func (r *room) exists() bool { return len(r.header) > 0 }

func (r *room) info() Info { return infoOf(r.name, r.now, r.metadata) }

func (r *room) view() View {
	v := View{Info: r.info(), Version: r.version, Members: make([]Member, 0, len(r.members))}
	for _, m := range r.members {
		v.Members = append(v.Members, m[0].value)
	}
	slices.SortFunc(v.Members, Member.Compare)
	return v
}

// change makes the next dot for a change that touches k.
func (s *State) change(k key) mark {
	base := s.known[s.origin]
	s.record(s.origin, base, k)
	s.known[s.origin] = base + 1
	s.met[s.origin] = base + 1
	return mark{stamp: s.tick(), dot: Dot{Origin: s.origin, Counter: base + 1}}
}

// tick returns the stamp of the next instant of the Lamport clock. A clock that
// was led to its end by a broken peer stays there: what comes later in a run
// still wins by its dot, and nothing is refused for its stamp.
func (s *State) tick() uint64 {
	s.clock = min(s.clock+1, maxClock)
	return s.clock<<stampBits | s.tag
}

// dropIfEmpty forgets a room of which nothing is left. What it has been needs
// no tombstone: its dots are under the vectors and none of them is held.
func (s *State) dropIfEmpty(r *room) {
	if len(r.header) == 0 && len(r.metadata) == 0 && len(r.members) == 0 {
		delete(s.rooms, r.name)
	}
}
