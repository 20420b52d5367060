package room

import (
	"encoding/binary"
	"encoding/json"
	"iter"
	"maps"
	"slices"
)

// Every encoding starts with its kind and the version of its format.
const (
	kindDelta  = 'd'
	kindEntry  = 'e'
	kindVector = 'v'

	formatVersion = 1
)

// Flags of a delta and of a room in it.
const (
	flagFull = 1 << iota // delta: a snapshot
	flagMet              // delta: met differs from known and follows
)

const (
	flagWhole    = 1 << iota // room: nothing is left of keys not listed
	flagSettings             // room: the settings are listed
)

// Bits of the settings: which fields have a mark of their own, not that of the
// version they are in; and the value of pinned.
const (
	ownDescription = 1 << iota
	ownCapacity
	ownPinned
	ownAllow
	bitPinned
)

// encoder writes the encoding. Numbers are unsigned varints, strings have their
// length in front. A dot is written as the place of its origin in a table that
// comes first, and its counter. Whatever has no order of its own is sorted, so
// that equal values give equal bytes.
type encoder struct {
	b       []byte
	origins map[Origin]uint64
}

func newEncoder(kind byte) *encoder {
	return &encoder{b: []byte{kind, formatVersion}, origins: map[Origin]uint64{}}
}

func (e *encoder) byte(c byte)     { e.b = append(e.b, c) }
func (e *encoder) number(n uint64) { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) length(n int)    { e.number(uint64(n)) }

func (e *encoder) string(s string) {
	e.length(len(s))
	e.b = append(e.b, s...)
}

// table writes the origins grouped by box, each box's incarnations as their
// differences, each followed by what extra writes. Dots may follow.
func (e *encoder) table(origins []Origin, extra func(Origin)) {
	slices.SortFunc(origins, Origin.Compare)
	boxes := 0
	for i, o := range origins {
		e.origins[o] = uint64(i)
		if i == 0 || o.Box != origins[i-1].Box {
			boxes++
		}
	}
	e.length(boxes)
	for len(origins) > 0 {
		box := origins[0].Box
		n := slices.IndexFunc(origins, func(o Origin) bool { return o.Box != box })
		if n < 0 {
			n = len(origins)
		}
		e.string(box)
		e.length(n)
		last := uint64(0)
		for _, o := range origins[:n] {
			e.number(o.Incarnation - last)
			last = o.Incarnation
			extra(o)
		}
		origins = origins[n:]
	}
}

func (e *encoder) vector(v Vector) {
	v = maps.Clone(v)
	maps.DeleteFunc(v, func(_ Origin, counter uint64) bool { return counter == 0 })
	e.table(slices.Collect(maps.Keys(v)), func(o Origin) { e.number(v[o]) })
}

func (e *encoder) mark(m mark) {
	e.number(m.stamp)
	e.number(e.origins[m.dot.Origin])
	e.number(m.dot.Counter)
}

func encodeSlot[T any](e *encoder, s slot[T], value func(mark, T)) {
	e.length(len(s))
	for _, v := range s {
		e.mark(v.mark)
		value(v.mark, v.value)
	}
}

func encodeKeyed[T any](e *encoder, listed []keyed[T], value func(mark, T)) {
	e.length(len(listed))
	for _, k := range listed {
		e.string(k.id)
		encodeSlot(e, k.slot, value)
	}
}

func (e *encoder) settings(m mark, s settings) {
	bits := byte(0)
	own := s.marks()
	for i, bit := range []byte{ownDescription, ownCapacity, ownPinned, ownAllow} {
		if own[i] != m {
			bits |= bit
		}
	}
	if s.pinned.value {
		bits |= bitPinned
	}
	e.byte(bits)
	for i := range own {
		if own[i] != m {
			e.mark(own[i])
		}
	}
	e.string(s.description.value)
	e.length(s.capacity.value)
	e.length(len(s.allow.value))
	for _, pattern := range s.allow.value {
		e.string(pattern)
	}
}

func (e *encoder) json(_ mark, data json.RawMessage) { e.string(string(data)) }

func (e *encoder) member(_ mark, m Member) {
	e.string(m.Subject)
	e.string(m.Name)
	e.string(string(m.Meta))
	e.number(m.Joined)
	e.byte(byte(m.State))
}

// Encode returns v as bytes: equal vectors give equal bytes.
func (v Vector) Encode() []byte {
	e := newEncoder(kindVector)
	e.vector(v)
	return e.b
}

// Encode returns e as bytes: equal entries give equal bytes.
func (e Entry) Encode() []byte {
	enc := newEncoder(kindEntry)
	enc.string(e.Name)
	origins := map[Origin]bool{}
	for m := range e.marks() {
		origins[m.dot.Origin] = true
	}
	enc.table(slices.Collect(maps.Keys(origins)), func(Origin) {})
	encodeSlot(enc, e.header, enc.settings)
	encodeKeyed(enc, e.metadata, enc.json)
	return enc.b
}

// marks yields every mark in the entry.
func (e Entry) marks() iter.Seq[mark] {
	return func(yield func(mark) bool) {
		for _, v := range e.header {
			own := v.value.marks()
			for _, m := range append(own[:], v.mark) {
				if !yield(m) {
					return
				}
			}
		}
		for _, k := range e.metadata {
			for _, v := range k.slot {
				if !yield(v.mark) {
					return
				}
			}
		}
	}
}
