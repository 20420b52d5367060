package room

import "slices"

// A key names what one change touched. A delta carries, of each key touched
// since, all that is left there.
type key struct {
	kind keyKind
	room string
	id   string // of the metadata value or member; empty for others
}

type keyKind uint8

const (
	wholeRoom keyKind = iota // settings, metadata and members
	roomSettings
	roomMetadata // one value; the settings go with it
	roomMember
)

// trail remembers what the latest changes of one origin touched: keys[i] by
// change base+1+i.
type trail struct {
	base uint64
	keys []key
}

// trailLength is how many changes of an origin a trail remembers at least; it
// forgets the older ones when there are twice as many. At 40 bytes a change
// that is 160 KB at most for each box.
const trailLength = 2048

// record notes the next change of an origin, of which base are known already.
func (s *State) record(origin Origin, base uint64, k key) {
	t := s.trails[origin]
	if t == nil {
		t = &trail{base: base}
		s.trails[origin] = t
		s.dropOlderTrails(origin)
	}
	t.keys = append(t.keys, k)
	if excess := len(t.keys) - s.trailLength; excess >= s.trailLength {
		t.keys = slices.Delete(t.keys, 0, excess)
		t.base += uint64(excess)
	}
}

// dropOlderTrails forgets what earlier runs of a box touched. Nobody is far
// behind on those for long, and whoever is gets a snapshot.
func (s *State) dropOlderTrails(origin Origin) {
	for other := range s.trails {
		if other.Box == origin.Box && other.Incarnation < origin.Incarnation {
			delete(s.trails, other)
		}
	}
}

// since returns what the changes of an origin after counter touched, in order;
// false when that is no longer remembered.
func (s *State) since(origin Origin, counter uint64) ([]key, bool) {
	if counter >= s.known[origin] {
		return nil, true
	}
	t := s.trails[origin]
	if t == nil || counter < t.base {
		return nil, false
	}
	return t.keys[counter-t.base:], true
}
