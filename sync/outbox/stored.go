package outbox

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"signalbox/sync/wire"
)

// Every value carries its checksum, since bbolt checks only its meta pages and
// a card that wears out flips bits anywhere.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func seal(value []byte) []byte {
	sum := crc32.Checksum(value, castagnoli)
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, len(value)+4), sum), value...)
}

func unseal(sealed []byte) ([]byte, error) {
	if len(sealed) < 4 || crc32.Checksum(sealed[4:], castagnoli) != binary.BigEndian.Uint32(sealed) {
		return nil, fmt.Errorf("%w: a value of %d bytes has another checksum", ErrDamaged, len(sealed))
	}
	return sealed[4:], nil
}

// stored is an entry of the frames' bucket, whose key is the last sequence number: what
// pruning and merging must know without decompressing the frame.
type stored struct {
	first, last uint64
	endMs       int64
	packed      []byte
}

func frameKey(last uint64) []byte { return binary.BigEndian.AppendUint64(nil, last) }

func (s stored) value() []byte {
	v := make([]byte, 0, len(s.packed)+16)
	v = binary.AppendUvarint(v, s.last-s.first)
	v = binary.AppendVarint(v, s.endMs)
	return seal(append(v, s.packed...))
}

func parseStored(key, value []byte) (s stored, err error) {
	if value, err = unseal(value); err != nil {
		return stored{}, err
	}
	more, n := binary.Uvarint(value)
	endMs, m := binary.Varint(value[max(n, 0):])
	if len(key) != 8 || n <= 0 || m <= 0 || more >= binary.BigEndian.Uint64(key) {
		return stored{}, fmt.Errorf("%w: a frame without its numbers", ErrDamaged)
	}
	last := binary.BigEndian.Uint64(key)
	return stored{last - more, last, endMs, value[n+m:]}, nil
}

func (s stored) frame() (f *wire.Frame, bytes int, err error) {
	if f, bytes, err = wire.Unpack(s.packed); err != nil {
		return nil, 0, fmt.Errorf("%w: frame %d: %w", ErrDamaged, s.last, err)
	}
	// A damaged neighbour may have been added to what it stands for.
	f.First, f.Last = s.first, s.last
	return f, bytes, nil
}

func pack(f *wire.Frame) (stored, error) {
	packed, err := wire.Pack(f)
	return stored{f.GetFirst(), f.GetLast(), f.GetEndMs(), packed}, err
}
