package room

import (
	"maps"
	"slices"
)

// Encode returns d as bytes: equal deltas give equal bytes.
//
// The vector of what the sender knows comes first and is the table of origins.
// What the receiver has to know and what the sender has met follow as their
// distance from it. Trails come last, as places in the list of keys before.
func (d Delta) Encode() []byte {
	e := newEncoder(kindDelta)
	flags := byte(0)
	if d.full {
		flags |= flagFull
	}
	if !maps.Equal(d.known, d.met) {
		flags |= flagMet
	}
	e.byte(flags)
	e.vector(d.known)
	origins := slices.SortedFunc(maps.Keys(e.origins), Origin.Compare)
	if !d.full {
		e.distances(origins, d.known, d.since)
	}
	if flags&flagMet != 0 {
		e.distances(origins, d.known, d.met)
	}
	e.number(d.clock)

	e.length(len(d.rooms))
	for i := range d.rooms {
		e.room(&d.rooms[i])
	}
	for _, o := range origins {
		for _, place := range d.trails[o] {
			e.number(uint64(place))
		}
	}
	return e.b
}

// distances writes how far v is behind known for each of the origins.
func (e *encoder) distances(origins []Origin, known, v Vector) {
	for _, o := range origins {
		e.number(known[o] - v[o])
	}
}

func (e *encoder) room(rd *roomDelta) {
	e.string(rd.name)
	flags := byte(0)
	if rd.whole {
		flags |= flagWhole
	}
	if rd.settings {
		flags |= flagSettings
	}
	e.byte(flags)
	if rd.settings {
		encodeSlot(e, rd.header, e.settings)
	}
	encodeKeyed(e, rd.metadata, e.json)
	encodeKeyed(e, rd.members, e.member)
}
