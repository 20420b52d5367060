package turn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	pionturn "github.com/pion/turn/v3"
)

// streamConn is a connection of which only the bytes that come matter.
type streamConn struct {
	net.Conn
	io.Reader
}

func (s streamConn) Read(p []byte) (int, error) { return s.Reader.Read(p) }
func (streamConn) RemoteAddr() net.Addr         { return nobody }

// cutByPion is cut with pion's STUNConn.
func cutByPion(r io.Reader) (frames [][]byte, err error) {
	conn := pionturn.NewSTUNConn(streamConn{Reader: r})
	p := make([]byte, 1<<16)
	for {
		n, _, err := conn.ReadFrom(p)
		if err != nil {
			return frames, err
		}
		frames = append(frames, bytes.Clone(p[:n]))
	}
}

// soundMessage makes a message on which pion's STUNConn is right: header and
// length together fit sixteen bits, and ChannelData does not begin with the
// cookie of STUN.
func soundMessage(kind byte, size uint16, random *rand.Rand) []byte {
	if kind&1 == 0 {
		message := stunFrame(int(min(size, 0xFFE8)) &^ 3)
		message[0], message[1] = kind>>1&3, byte(random.Uint32())
		for i := 8; i < len(message); i++ {
			message[i] = byte(random.Uint32())
		}
		return message
	}
	message := padded(channelFrame(minChannel+uint16(kind)<<4, int(min(size, 0xFFF8))))
	if len(message) >= 8 && binary.BigEndian.Uint32(message[4:]) == magicCookie {
		message[4]++
	}
	return message
}

// FuzzFramerAgainstPion gives the same stream to the framer and to pion, cut
// in random pieces. A script of three bytes each says what the messages are.
func FuzzFramerAgainstPion(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 1, 0, 4, 1, 0, 5, 1, 0, 9}, uint64(1))
	f.Add([]byte{2, 0, 64, 3, 4, 0xB0, 1, 0, 0, 4, 7, 0xE8}, uint64(2))
	f.Add([]byte{0, 0xFF, 0xE8, 1, 0xFF, 0xF8, 0, 7, 0xEC, 0, 7, 0xF0, 1, 7, 0xFC, 1, 7, 0xFD}, uint64(3))
	f.Fuzz(func(t *testing.T, script []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		var stream []byte
		for ; len(script) >= 3 && len(stream) < 1<<17; script = script[3:] {
			stream = append(stream, soundMessage(script[0], binary.BigEndian.Uint16(script[1:]), random)...)
		}
		// pion waits for nine bytes; behind this frame nothing is left to wait for.
		stream = append(stream, stunFrame(0)...)

		frames, _, err := cut(&chunks{stream, rand.New(rand.NewPCG(seed, 2))}, true)
		theirs, pionErr := cutByPion(&chunks{stream, rand.New(rand.NewPCG(seed, 3))})
		if !errors.Is(err, io.EOF) || !errors.Is(pionErr, io.EOF) {
			t.Fatalf("ended with %v, pion with %v", err, pionErr)
		}
		for _, theirs := range theirs {
			if len(theirs) > maxMessage {
				continue // which is passed over here
			}
			if len(frames) == 0 {
				t.Fatalf("pion has a frame more, %x", theirs)
			}
			// pion leaves the padding on.
			if !bytes.Equal(padded(frames[0]), theirs) {
				t.Fatalf("got frame %x, pion has %x", frames[0], theirs)
			}
			frames = frames[1:]
		}
		if len(frames) > 0 {
			t.Errorf("%d frames that pion has not, %x", len(frames), frames)
		}
	})
}

// FuzzParseChannelData holds the header that is read against the one that is
// written, with padding behind or without (RFC 8656 §12.5).
func FuzzParseChannelData(f *testing.F) {
	f.Add([]byte{0x40, 0, 0, 2, 'h', 'i', 0, 0})
	f.Add([]byte{0x40, 0, 0, 0})
	f.Add([]byte{0x4F, 0xFF, 0xFF, 0xFF, 1})
	f.Add([]byte{0x40, 0, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		number, got, ok := parseChannelData(raw)
		if len(raw) < 4 {
			if ok {
				t.Errorf("%x: taken without a whole header", raw)
			}
			return
		}
		// By the RFC: number, length, and as much data at least.
		wantNumber, size := uint16(raw[0])<<8+uint16(raw[1]), int(raw[2])<<8+int(raw[3])
		if ok != (size <= len(raw)-4) || ok && (number != wantNumber || got != size) {
			t.Fatalf("%x: got %#x, %d bytes, %t", raw, number, got, ok)
		}
		if ok && !bytes.Equal(appendChannelHeader(nil, number, size), raw[:4]) {
			t.Errorf("%x: header written as %x", raw, appendChannelHeader(nil, number, size))
		}
	})
}
