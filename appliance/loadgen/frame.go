package loadgen

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
)

// WebSocket opcodes and bits (RFC 6455 §5.2).
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xa

	finalBit  = 0x80
	maskedBit = 0x80
	// headRoom is what the longest header of a masked frame takes. A payload is
	// built behind as many free bytes, and seal writes the header before it.
	headRoom = 14
)

// seal makes the payload b[headRoom:] a masked frame, in place, and gives it.
func seal(b []byte, op byte) []byte {
	payload, key := b[headRoom:], rand.Uint32()
	mask(payload, key)
	binary.LittleEndian.PutUint32(b[headRoom-4:], key)
	start := headRoom - 6
	switch n := len(payload); {
	case n < 126:
		b[start+1] = maskedBit | byte(n)
	case n < 1<<16:
		start -= 2
		b[start+1] = maskedBit | 126
		binary.BigEndian.PutUint16(b[start+2:], uint16(n))
	default:
		start -= 8
		b[start+1] = maskedBit | 127
		binary.BigEndian.PutUint64(b[start+2:], uint64(n))
	}
	b[start] = finalBit | op
	return b[start:]
}

// mask applies a masking key (RFC 6455 §5.3), eight bytes at a time.
func mask(b []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(wide >> (8 * i))
	}
}

var (
	errFraming  = errors.New("frame that no server sends: masked, fragmented or of a reserved kind")
	errTooLarge = errors.New("frame is larger than this client reads")
)

// maxFrameBytes bounds what a lean client reads as one frame.
const maxFrameBytes = 1 << 20

// cut takes the first frame off b, which holds what a server has sent. ok is
// false while the frame is not complete.
func cut(b []byte) (op byte, payload, rest []byte, ok bool, err error) {
	if len(b) < 2 {
		return 0, nil, b, false, nil
	}
	if b[0]&0xf0 != finalBit || b[1]&maskedBit != 0 {
		return 0, nil, b, false, errFraming
	}
	head, size := 2, uint64(b[1])
	switch size {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	if len(b) < head {
		return 0, nil, b, false, nil
	}
	switch head {
	case 4:
		size = uint64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		size = binary.BigEndian.Uint64(b[2:])
	}
	if size > maxFrameBytes {
		return 0, nil, b, false, errTooLarge
	}
	end := head + int(size)
	if len(b) < end {
		return 0, nil, b, false, nil
	}
	return b[0] & 0xf, b[head:end], b[end:], true, nil
}
