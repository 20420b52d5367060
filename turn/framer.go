package turn

import (
	"encoding/binary"
	"errors"
	"io"
)

const (
	// maxMessage is the largest STUN or ChannelData message taken from a
	// client. WebRTC stays below 1500 bytes.
	maxMessage = 2048

	stunHeader    = 20 // RFC 8489 §5
	channelHeader = 4  // RFC 8656 §12.4

	minChannel       = 0x4000
	maxChannel       = 0x4FFF // RFC 8656 §12
	maxLegacyChannel = 0x7FFF // RFC 5766 §11

	magicCookie = 0x2112A442 // RFC 8489 §5
)

// errNotTURN is returned for a byte stream that can not be cut into messages
// any further: the next one is neither STUN nor ChannelData.
var errNotTURN = errors.New("neither STUN nor ChannelData")

// framer cuts the bytes of a TCP connection into messages. STUN messages are
// told from ChannelData by their first byte (RFC 8656 §12) and both give their
// length; ChannelData is padded to four bytes (§12.5). Channel numbers of RFC
// 5766 are understood whether they can be bound or not, so that the stream
// stays in step. It keeps no more than one buffer: a longer message is passed
// over and counted.
type framer struct {
	buf      [2 * maxMessage]byte
	from, to int    // what of buf has been read and not returned yet
	skip     int    // bytes still to come of a message that is passed over
	oversize uint64 // messages passed over
}

// next returns the next whole message, without padding, or nil when more bytes
// are needed. It is valid until fill is called. Without channels ChannelData is
// an error: nobody sends any before the first allocation, while text, such as
// HTTP, looks like it.
func (f *framer) next(channels bool) ([]byte, error) {
	for {
		f.discard()
		b := f.buf[f.from:f.to]
		size, padded, err := frameSize(b, channels)
		if err != nil || size == 0 {
			return nil, err
		}
		if padded > maxMessage {
			f.oversize++
			f.skip = padded
			continue
		}
		if len(b) < padded {
			return nil, nil
		}
		f.from += padded
		return b[:size], nil
	}
}

// discard drops what is there of a message that is passed over.
func (f *framer) discard() {
	n := min(f.skip, f.to-f.from)
	f.skip -= n
	f.from += n
}

// partial says whether a message has begun and not ended.
func (f *framer) partial() bool { return f.to > f.from || f.skip > 0 }

// fill reads more bytes, once. Call it after next has returned nil.
func (f *framer) fill(r io.Reader) error {
	if f.from > 0 {
		// A whole message fits behind what is left, which is less than one.
		f.to = copy(f.buf[:], f.buf[f.from:f.to])
		f.from = 0
	}
	n, err := r.Read(f.buf[f.to:])
	f.to += n
	if n > 0 {
		return nil // the error, if any, comes again
	}
	return err
}

// frameSize is the size of the message that b starts with and the size it
// takes on a stream; 0 while too little of b is there to tell.
func frameSize(b []byte, channels bool) (size, padded int, err error) {
	if len(b) == 0 {
		return 0, 0, nil
	}
	switch {
	case b[0] < 4: // STUN, with the methods there are
		if len(b) < stunHeader {
			return 0, 0, stunPrefixError(b)
		}
		size = stunHeader + int(binary.BigEndian.Uint16(b[2:4]))
		return size, size, stunPrefixError(b)
	case channels && b[0] >= minChannel>>8 && b[0] <= maxLegacyChannel>>8:
		if len(b) < channelHeader {
			return 0, 0, nil
		}
		size = channelHeader + int(binary.BigEndian.Uint16(b[2:4]))
		return size, (size + 3) &^ 3, nil
	}
	return 0, 0, errNotTURN
}

// stunPrefixError refuses a STUN header as early as its bytes show that it is
// none: a length that is not a multiple of four, or another cookie.
func stunPrefixError(b []byte) error {
	if len(b) >= 4 && b[3]%4 != 0 {
		return errNotTURN
	}
	if len(b) >= 8 && binary.BigEndian.Uint32(b[4:8]) != magicCookie {
		return errNotTURN
	}
	return nil
}
