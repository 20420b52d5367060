package turn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

func stunFrame(body int) []byte {
	f := make([]byte, stunHeader+body)
	f[1] = 1
	binary.BigEndian.PutUint16(f[2:], uint16(body))
	binary.BigEndian.PutUint32(f[4:], magicCookie)
	return f
}

func channelFrame(number uint16, data int) []byte {
	f := make([]byte, channelHeader+data, channelHeader+data+3)
	binary.BigEndian.PutUint16(f, number)
	binary.BigEndian.PutUint16(f[2:], uint16(data))
	for i := range data {
		f[channelHeader+i] = byte(i)
	}
	return f
}

func padded(frame []byte) []byte { return append(frame, make([]byte, -len(frame)&3)...) }

// cut runs a framer over a stream and returns copies of its frames.
func cut(r io.Reader, channels bool) (frames [][]byte, oversize uint64, err error) {
	var f framer
	for {
		frame, err := f.next(channels)
		if err == nil && frame == nil {
			err = f.fill(r)
		}
		if err != nil {
			return frames, f.oversize, err
		}
		if frame != nil {
			frames = append(frames, bytes.Clone(frame))
		}
	}
}

// cutWhole is the reference: it has the whole stream at once.
func cutWhole(stream []byte, channels bool) (frames [][]byte, oversize uint64, err error) {
	for len(stream) > 0 {
		var size int
		switch {
		case stream[0] < 4:
			if len(stream) >= 4 && stream[3]%4 != 0 ||
				len(stream) >= 8 && !bytes.Equal(stream[4:8], []byte{0x21, 0x12, 0xA4, 0x42}) {
				return frames, oversize, errNotTURN
			}
			if len(stream) < 20 {
				return frames, oversize, io.EOF
			}
			size = 20 + int(stream[2])<<8 + int(stream[3])
		case channels && stream[0] >= 0x40 && stream[0] < 0x80:
			if len(stream) < 4 {
				return frames, oversize, io.EOF
			}
			size = 4 + int(stream[2])<<8 + int(stream[3])
		default:
			return frames, oversize, errNotTURN
		}
		space := size
		for space%4 != 0 {
			space++
		}
		if space > 2048 {
			oversize++
			stream = stream[min(space, len(stream)):]
			continue
		}
		if len(stream) < space {
			return frames, oversize, io.EOF
		}
		frames = append(frames, stream[:size])
		stream = stream[space:]
	}
	return frames, oversize, io.EOF
}

// chunks reads its stream in pieces of random size.
type chunks struct {
	stream []byte
	random *rand.Rand
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.stream) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 1+c.random.IntN(700))], c.stream)
	c.stream = c.stream[n:]
	return n, nil
}

func FuzzFramer(f *testing.F) {
	f.Add(stunFrame(0), uint64(1))
	f.Add(append(stunFrame(8), padded(channelFrame(0x4000, 5))...), uint64(2))
	f.Add(append(padded(channelFrame(0x4FFF, 0)), channelFrame(0x4001, 3)...), uint64(3))
	f.Add(append(padded(channelFrame(0x4000, 65535)), stunFrame(4)...), uint64(4))
	f.Add([]byte{0, 1, 0xFF, 0xEC, 0x21, 0x12, 0xA4, 0x42}, uint64(5)) // 20 more than the length wraps to 0
	f.Add([]byte{0x40, 0, 0xFF, 0xFC, 1, 2, 3, 4, 5}, uint64(6))       // the same for ChannelData
	f.Add([]byte{0x80, 0, 0, 0}, uint64(7))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint64(8))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		if len(stream) > 1<<15 {
			return // more of the same, byte by byte
		}
		wantFrames, wantOversize, wantErr := cutWhole(stream, seed%8 > 0)
		for name, r := range map[string]io.Reader{
			"whole":    bytes.NewReader(stream),
			"chunks":   &chunks{stream, rand.New(rand.NewPCG(seed, 0))},
			"one byte": iotest.OneByteReader(bytes.NewReader(stream)),
		} {
			frames, oversize, err := cut(r, seed%8 > 0)
			if !errors.Is(err, wantErr) || oversize != wantOversize || len(frames) != len(wantFrames) {
				t.Fatalf("%s: got %d frames, %d oversize, %v; want %d, %d, %v",
					name, len(frames), oversize, err, len(wantFrames), wantOversize, wantErr)
			}
			for i := range frames {
				if !bytes.Equal(frames[i], wantFrames[i]) {
					t.Errorf("%s: frame %d is %x, want %x", name, i, frames[i], wantFrames[i])
				}
			}
		}
	})
}

// A framer never holds more than its buffer, whatever length is announced.
func TestFramerPassesOverOversize(t *testing.T) {
	stream := append(padded(channelFrame(0x4000, 65535)), padded(channelFrame(0x4002, 2))...)
	frames, oversize, err := cut(iotest.HalfReader(bytes.NewReader(stream)), true)
	if len(frames) != 1 || oversize != 1 || !errors.Is(err, io.EOF) {
		t.Fatalf("got %d frames, %d oversize, %v", len(frames), oversize, err)
	}
	if !bytes.Equal(frames[0], channelFrame(0x4002, 2)) {
		t.Errorf("got frame %x", frames[0])
	}
}

func TestFramerWithoutChannels(t *testing.T) {
	for _, text := range []string{"GET / HTTP/1.1\r\n", "SSH-2.0-client\r\n", "@\x00\x00\x00"} {
		if frames, _, err := cut(bytes.NewReader([]byte(text)), false); len(frames) > 0 || !errors.Is(err, errNotTURN) {
			t.Errorf("%q: got frames %q, %v", text, frames, err)
		}
	}
	frames, _, err := cut(bytes.NewReader(stunFrame(8)), false)
	if len(frames) != 1 || !errors.Is(err, io.EOF) {
		t.Errorf("STUN: got %d frames, %v", len(frames), err)
	}
}

func BenchmarkFramer(b *testing.B) {
	stream := bytes.Repeat(padded(channelFrame(0x4000, 1000)), 64)
	var f framer
	r := bytes.NewReader(stream)
	b.SetBytes(1004)
	b.ReportAllocs()
	for b.Loop() {
		for {
			frame, err := f.next(true)
			if err != nil {
				b.Fatal(err)
			}
			if frame != nil {
				break
			}
			if f.fill(r) != nil {
				r.Reset(stream)
			}
		}
	}
}
