package room

import (
	"encoding/json"
	"fmt"
	"math"
)

// DecodeVector undoes Vector.Encode. It returns an error that matches ErrCorrupt
// or ErrFormat.
func DecodeVector(b []byte) (Vector, error) {
	d := newDecoder(kindVector, b)
	v := d.vector()
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("decode vector: %w", err)
	}
	return v, nil
}

// DecodeEntry undoes Entry.Encode. It returns an error that matches ErrCorrupt
// or ErrFormat.
func DecodeEntry(b []byte) (Entry, error) {
	d := newDecoder(kindEntry, b)
	e := Entry{Name: d.name()}
	d.table(func(Origin) {})
	e.header = decodeSlot(d, nil, func(m mark) settings { return d.settings(nil, m) })
	e.metadata = decodeKeyed(d, nil, false, checkMetadataKey, d.json)
	for i, used := range d.used {
		if !used {
			d.fail("nothing is of %v", d.origins[i])
		}
	}
	if err := d.done(); err != nil {
		return Entry{}, fmt.Errorf("decode room entry: %w", err)
	}
	return e, nil
}

// DecodeDelta undoes Delta.Encode. It returns an error that matches ErrCorrupt
// or ErrFormat.
func DecodeDelta(b []byte) (Delta, error) {
	d := newDecoder(kindDelta, b)
	flags := d.flags(flagFull | flagMet)
	delta := Delta{full: flags&flagFull != 0, known: d.vector()}
	if !delta.full {
		delta.since = d.distances(delta.known)
	}
	delta.met = delta.known
	if flags&flagMet != 0 {
		delta.met = d.distances(delta.known)
		if delta.met.Covers(delta.known) {
			d.fail("members met are given and do not differ")
		}
	}
	delta.clock = d.number(0, maxClock)
	for i := range d.length(4) {
		rd := d.room(&delta)
		if i > 0 && rd.name <= delta.rooms[i-1].name {
			d.fail("room %q after %q", rd.name, delta.rooms[i-1].name)
		}
		if d.err != nil {
			break
		}
		delta.rooms = append(delta.rooms, rd)
	}
	if !delta.full {
		delta.listKeys()
		delta.trails = d.trails(&delta)
	}
	if err := d.done(); err != nil {
		return Delta{}, fmt.Errorf("decode room delta: %w", err)
	}
	return delta, nil
}

func (d *decoder) flags(all byte) byte {
	flags := d.byte()
	if flags&^all != 0 {
		d.fail("unknown flags %#x", flags)
	}
	return flags
}

func (d *decoder) name() string {
	name := d.string()
	d.failOn(ValidName(name))
	return name
}

// distances reads a vector that is given by how far it is behind known.
func (d *decoder) distances(known Vector) Vector {
	v := Vector{}
	for _, o := range d.origins {
		if counter := known[o] - d.number(0, known[o]); counter > 0 {
			v[o] = counter
		}
	}
	return v
}

func (d *decoder) room(delta *Delta) roomDelta {
	rd := roomDelta{name: d.name()}
	flags := d.flags(flagWhole | flagSettings)
	rd.whole, rd.settings = flags&flagWhole != 0, flags&flagSettings != 0
	if rd.whole && !rd.settings || delta.full && !rd.whole {
		d.fail("room %q is not listed whole", rd.name)
	}
	if rd.settings {
		rd.header = decodeSlot(d, delta.known, func(m mark) settings { return d.settings(delta.known, m) })
	}
	rd.metadata = decodeKeyed(d, delta.known, !delta.full, checkMetadataKey, d.json)
	rd.members = decodeKeyed(d, delta.met, !delta.full, checkMemberID, d.member)
	return rd
}

func (d *decoder) settings(known Vector, version mark) settings {
	bits := d.flags(ownDescription | ownCapacity | ownPinned | ownAllow | bitPinned)
	own := func(bit byte) mark {
		if bits&bit == 0 {
			return version
		}
		m := d.mark(known)
		if m == version {
			d.fail("a mark of its own that is that of the version")
		}
		return m
	}
	var s settings
	s.description.mark = own(ownDescription)
	s.capacity.mark = own(ownCapacity)
	s.pinned.mark = own(ownPinned)
	s.allow.mark = own(ownAllow)
	s.pinned.value = bits&bitPinned != 0
	s.description.value = d.string()
	s.capacity.value = int(d.number(0, math.MaxInt32))
	for range d.length(1) {
		s.allow.value = append(s.allow.value, d.string())
	}
	return s
}

func (d *decoder) member(id string, m mark) Member {
	member := Member{ID: id, Subject: d.string(), Name: d.string(), Holder: m.dot.Origin}
	if meta := d.bytes(); len(meta) > 0 {
		if !json.Valid(meta) {
			d.fail("not JSON")
		}
		member.Meta = append(json.RawMessage(nil), meta...)
	}
	member.Joined = d.number(0, maxNumber)
	member.State = MemberState(d.byte())
	if member.State > Suspended {
		d.fail("unknown %v", member.State)
	}
	return member
}

// trails reads what every change after since touched.
func (d *decoder) trails(delta *Delta) map[Origin][]uint32 {
	trails := map[Origin][]uint32{}
	for _, o := range d.origins {
		n := delta.known[o] - delta.since[o]
		if n > uint64(len(d.b)) {
			d.fail("cut short")
		}
		if n == 0 || d.err != nil {
			continue
		}
		trail := make([]uint32, n)
		for i := range trail {
			if trail[i] = uint32(d.number(0, math.MaxUint32)); int(trail[i]) >= len(delta.keys) {
				d.fail("key %d of %d", trail[i], len(delta.keys))
			}
		}
		trails[o] = trail
	}
	return trails
}
