package projection

import (
	"encoding/binary"
	"errors"
	"slices"
)

// ErrDamaged is returned for a record that this package did not write.
var ErrDamaged = errors.New("the projection is damaged; restart the node, and it is built again from the streams")

// encoder writes records. A value has exactly one encoding: hashes of records
// are hashes of what they say.
type encoder struct{ b []byte }

func (e *encoder) uint(v uint64)  { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)    { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) fixed(v uint64) { e.b = binary.BigEndian.AppendUint64(e.b, v) }

func (e *encoder) bool(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) bytes(v []byte) {
	e.uint(uint64(len(v)))
	e.b = append(e.b, v...)
}

func (e *encoder) string(v string) {
	e.uint(uint64(len(v)))
	e.b = append(e.b, v...)
}

// list writes how many there are, then each.
func list[T any](e *encoder, all []T, one func(*encoder, *T)) {
	e.uint(uint64(len(all)))
	for i := range all {
		one(e, &all[i])
	}
}

// decoder reads them. After the first fault it returns zeros and keeps err.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() { d.b, d.err = nil, ErrDamaged }

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) fixed() uint64 {
	if v := d.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (d *decoder) bool() bool {
	v := d.take(1)
	return v != nil && v[0] != 0
}

// bytes returns a copy: pages of bbolt go when their transaction ends.
func (d *decoder) bytes() []byte  { return slices.Clone(d.take(d.uint())) }
func (d *decoder) string() string { return string(d.take(d.uint())) }

// unlist reads what list wrote. Each element takes a byte at least, so a false
// length cannot ask for more memory than the record has bytes.
func unlist[T any](d *decoder, one func(*decoder, *T)) []T {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	if n == 0 {
		return nil
	}
	all := make([]T, n)
	for i := range all {
		one(d, &all[i])
	}
	return all
}

// end reports a fault, or bytes left over.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail()
	}
	return d.err
}
