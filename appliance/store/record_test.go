package store

import (
	"bytes"
	"errors"
	"testing"
)

func FuzzUnseal(f *testing.F) {
	f.Add([]byte("k"), []byte{})
	f.Add([]byte("k"), seal([]byte("k"), []byte("value")))
	f.Fuzz(func(t *testing.T, key, record []byte) {
		value, err := unseal(key, record)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("unseal = %v, want ErrDamaged", err)
			}
			value = record
		} else if got := seal(key, value); !bytes.Equal(got, record) {
			t.Errorf("seal(unseal(x)) = %x, want %x", got, record)
		}
		if got, err := unseal(key, seal(key, value)); err != nil || !bytes.Equal(got, value) {
			t.Errorf("unseal(seal(x)) = %x, %v, want %x", got, err, value)
		}
	})
}

func TestUnsealFindsEveryFlippedBit(t *testing.T) {
	key, value := []byte("turn"), []byte("0123456789abcdef")
	record := seal(key, value)
	for bit := range 8 * len(record) {
		flipped := bytes.Clone(record)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, err := unseal(key, flipped); !errors.Is(err, ErrDamaged) {
			t.Errorf("bit %d flipped: %v, want ErrDamaged", bit, err)
		}
	}
	if _, err := unseal([]byte("tern"), record); !errors.Is(err, ErrDamaged) {
		t.Errorf("under another key: %v, want ErrDamaged", err)
	}
}

func FuzzDecodeMarks(f *testing.F) {
	f.Add([]byte{})
	f.Add(marks{version: 3, minReader: 2, writer: 3}.encode())
	f.Add(seal(keyMarks, []byte("short")))
	f.Fuzz(func(t *testing.T, record []byte) {
		for _, record := range [][]byte{record, seal(keyMarks, record)} {
			m, err := decodeMarks(record)
			if err != nil {
				if !errors.Is(err, ErrDamaged) {
					t.Fatalf("decodeMarks = %v, want ErrDamaged", err)
				}
				continue
			}
			if again, err := decodeMarks(m.encode()); err != nil || again != m {
				t.Errorf("decodeMarks(encode(%+v)) = %+v, %v", m, again, err)
			}
		}
	})
}
