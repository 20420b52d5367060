package room

import (
	"cmp"
	"maps"
)

// Origin is one run of one box. A box that starts again counts from one under a
// new incarnation, so a change lost in a power cut never shares its name with
// another one.
type Origin struct {
	Box         string
	Incarnation uint64
}

// Compare orders origins by box, then incarnation.
func (o Origin) Compare(other Origin) int {
	return cmp.Or(cmp.Compare(o.Box, other.Box), cmp.Compare(o.Incarnation, other.Incarnation))
}

// Dot names one change: the Counter-th of its origin, counted from 1.
type Dot struct {
	Origin
	Counter uint64
}

// Compare orders dots by origin, then counter.
func (d Dot) Compare(other Dot) int {
	return cmp.Or(d.Origin.Compare(other.Origin), cmp.Compare(d.Counter, other.Counter))
}

// Vector says which changes are known: of each origin, all up to this counter
// and none after it. An origin that is not in it is unknown.
type Vector map[Origin]uint64

// Contains reports whether the change d is among those known.
func (v Vector) Contains(d Dot) bool { return d.Counter <= v[d.Origin] }

// Covers reports whether every change known to other is known to v.
func (v Vector) Covers(other Vector) bool {
	for origin, counter := range other {
		if v[origin] < counter {
			return false
		}
	}
	return true
}

// Clone returns a copy that shares nothing with v; it is never nil.
func (v Vector) Clone() Vector {
	if v == nil {
		return Vector{}
	}
	return maps.Clone(v)
}

// join adds what other knows.
func (v Vector) join(other Vector) {
	for origin, counter := range other {
		if v[origin] < counter {
			v[origin] = counter
		}
	}
}
