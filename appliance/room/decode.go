package room

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// decoder reads what encoder writes, and only that: every value has one
// encoding, so whatever decodes encodes to the same bytes. After the first fault
// it reads zeros, and done reports the fault. Counts are checked against the
// bytes left before anything is made of them.
type decoder struct {
	all, b  []byte // b is what is left of all
	origins []Origin
	used    []bool // which of origins a mark has named
	err     error
}

func newDecoder(kind byte, b []byte) *decoder {
	d := &decoder{all: b, b: b}
	if got := d.byte(); got != kind {
		d.fail("kind %q, want %q", got, kind)
	}
	if got := d.byte(); got != formatVersion && d.err == nil {
		d.err = fmt.Errorf("format version %d, this build reads %d: %w", got, formatVersion, ErrFormat)
	}
	return d
}

// done returns the first fault; bytes left over are one.
func (d *decoder) done() error {
	if len(d.b) > 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	return d.err
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		at := len(d.all) - len(d.b)
		d.err = fmt.Errorf("byte %d: %s: %w", at, fmt.Sprintf(format, args...), ErrCorrupt)
	}
	d.b = nil
}

// failOn fails with what is wrong with a value, if anything is.
func (d *decoder) failOn(err error) {
	if err != nil {
		d.fail("%v", err)
	}
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("cut short")
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

// number reads a number of at least low and at most high.
func (d *decoder) number(low, high uint64) uint64 {
	n, size := binary.Uvarint(d.b)
	switch {
	case size <= 0 || size > 1 && d.b[size-1] == 0: // no number, or one written longer than needed
		d.fail("not a number")
	case n < low || n > high:
		d.fail("got %d, want %d to %d", n, low, high)
	default:
		d.b = d.b[size:]
		return n
	}
	return 0
}

// length reads how many things follow that take at least size bytes each.
func (d *decoder) length(size int) int {
	n := d.number(0, math.MaxUint64)
	if n > uint64(len(d.b)/size) {
		d.fail("%d of at least %d bytes each in %d bytes", n, size, len(d.b))
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.length(1)
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) string() string {
	s := d.bytes()
	if !utf8.Valid(s) {
		d.fail("text is not UTF-8")
		return ""
	}
	return string(s)
}

// table reads the origins that dots refer to.
func (d *decoder) table(extra func(Origin)) {
	lastBox := ""
	for i := range d.length(3) {
		box := d.string()
		if i > 0 && box <= lastBox {
			d.fail("box %q after %q", box, lastBox)
		}
		lastBox = box
		n := d.length(1)
		if n == 0 {
			d.fail("a box without incarnations")
		}
		d.origins = slices.Grow(d.origins, n)
		incarnation := uint64(0)
		for j := range n {
			step := d.number(uint64(min(j, 1)), math.MaxUint64-incarnation)
			incarnation += step
			if d.err != nil {
				return
			}
			o := Origin{Box: box, Incarnation: incarnation}
			d.origins = append(d.origins, o)
			extra(o)
		}
	}
	d.used = make([]bool, len(d.origins))
}

func (d *decoder) vector() Vector {
	v := Vector{}
	d.table(func(o Origin) { v[o] = d.number(1, math.MaxUint64) })
	return v
}

// mark reads a mark whose dot is known; nil knows all.
func (d *decoder) mark(known Vector) mark {
	m := mark{stamp: d.number(1, maxNumber)}
	i := d.number(0, math.MaxUint64)
	m.dot.Counter = d.number(1, math.MaxUint64)
	if i >= uint64(len(d.origins)) {
		d.fail("origin %d of %d", i, len(d.origins))
		return mark{}
	}
	d.used[i] = true
	m.dot.Origin = d.origins[i]
	if known != nil && !known.Contains(m.dot) {
		d.fail("a change that its sender does not know: %v", m.dot)
	}
	return m
}

const minMarkBytes = 3

func decodeSlot[T any](d *decoder, known Vector, value func(mark) T) slot[T] {
	var s slot[T]
	for i := range d.length(minMarkBytes + 1) {
		m := d.mark(known)
		if i > 0 && s[i-1].compare(m) <= 0 {
			d.fail("versions out of order")
		}
		v := value(m)
		if d.err != nil {
			return nil
		}
		s = append(s, version[T]{mark: m, value: v})
	}
	return s
}

// decodeKeyed reads slots under ascending keys. Only a delta may list empty ones.
func decodeKeyed[T any](d *decoder, known Vector, empty bool, check func(string) error, value func(id string, m mark) T) []keyed[T] {
	var listed []keyed[T]
	for i := range d.length(3) {
		id := d.string()
		d.failOn(check(id))
		if i > 0 && id <= listed[i-1].id {
			d.fail("key %q after %q", id, listed[i-1].id)
		}
		s := decodeSlot(d, known, func(m mark) T { return value(id, m) })
		if len(s) == 0 && !empty {
			d.fail("nothing under key %q", id)
		}
		if d.err != nil {
			return nil
		}
		listed = append(listed, keyed[T]{id: id, slot: s})
	}
	return listed
}

func (d *decoder) json(string, mark) json.RawMessage {
	data := d.bytes()
	if d.err == nil && !json.Valid(data) {
		d.fail("not JSON")
	}
	return append(json.RawMessage(nil), data...)
}

func checkMetadataKey(key string) error { return checkText("metadata key", key, 1, maxKeyBytes, "") }
func checkMemberID(id string) error     { return checkText("id", id, 1, maxMemberIDBytes, "") }
