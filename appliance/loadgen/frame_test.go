package loadgen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// unmask gives the payload of a frame that seal made, read by the letter of
// RFC 6455 §5.2.
func unmask(t *testing.T, frame []byte) (op byte, payload []byte) {
	t.Helper()
	size, rest := uint64(frame[1]&0x7f), frame[2:]
	switch size {
	case 126:
		size, rest = uint64(binary.BigEndian.Uint16(rest)), rest[2:]
	case 127:
		size, rest = binary.BigEndian.Uint64(rest), rest[8:]
	}
	if frame[1]&maskedBit == 0 || uint64(len(rest)) != 4+size {
		t.Fatalf("a frame of %d bytes says mask %v and %d bytes of payload", len(frame), frame[1]&maskedBit != 0, size)
	}
	key, payload := rest[:4], bytes.Clone(rest[4:])
	for i := range payload {
		payload[i] ^= key[i%4]
	}
	return frame[0], payload
}

func TestSeal(t *testing.T) {
	for _, size := range []int{0, 1, 7, 8, 125, 126, 127, 1033, 1<<16 - 1, 1 << 16} {
		want := []byte(strings.Repeat("signal", size/6+1)[:size])
		op, got := unmask(t, seal(append(make([]byte, headRoom), want...), opText))
		if op != finalBit|opText || !bytes.Equal(got, want) {
			t.Errorf("a text of %d bytes comes back as opcode %#x with %d bytes, equal: %v", size, op, len(got), bytes.Equal(got, want))
		}
	}
}

// serverFrame is an unmasked frame.
func serverFrame(op byte, payload string) []byte {
	b := []byte{finalBit | op}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

func TestCutTakesFramesOffAStream(t *testing.T) {
	texts := []string{"", "{}", strings.Repeat("x", 126), strings.Repeat("y", 70_000)}
	var stream []byte
	for _, text := range texts {
		stream = append(stream, serverFrame(opText, text)...)
	}
	var have []byte
	got := []string{}
	for _, c := range stream { // the worst of all networks: byte by byte
		have = append(have, c)
		op, payload, rest, ok, err := cut(have)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			if op != opText || len(rest) != 0 {
				t.Fatalf("got opcode %d and %d bytes more", op, len(rest))
			}
			got, have = append(got, string(payload)), nil
		}
	}
	if len(got) != len(texts) {
		t.Fatalf("got %d frames, want %d", len(got), len(texts))
	}
	for i := range texts {
		if got[i] != texts[i] {
			t.Errorf("frame %d has %d bytes, want %d", i, len(got[i]), len(texts[i]))
		}
	}
}

func TestCutRefuses(t *testing.T) {
	for name, frame := range map[string][]byte{
		"masked":     {finalBit | opText, maskedBit | 1, 0, 0, 0, 0, 'x'},
		"fragmented": {opText, 1, 'x'},
		"reserved":   {finalBit | 0x40 | opText, 1, 'x'},
	} {
		if _, _, _, _, err := cut(frame); !errors.Is(err, errFraming) {
			t.Errorf("%s: got error %v, want %v", name, err, errFraming)
		}
	}
	huge := []byte{finalBit | opText, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if _, _, _, _, err := cut(huge); !errors.Is(err, errTooLarge) {
		t.Errorf("huge: got error %v, want %v", err, errTooLarge)
	}
}

func FuzzCut(f *testing.F) {
	f.Add(serverFrame(opText, `{"seq":1,"type":"message"}`))
	f.Add(append(serverFrame(opPing, "p"), serverFrame(opClose, "\x03\xe8")...))
	f.Add(serverFrame(opText, strings.Repeat("x", 300))[:200])
	f.Fuzz(func(t *testing.T, stream []byte) {
		for rest := stream; ; {
			op, payload, after, ok, err := cut(rest)
			if err != nil || !ok {
				return
			}
			if again := serverFrame(op, string(payload)); len(again) > len(rest)-len(after) {
				t.Fatalf("a frame of %d bytes was cut from %d", len(again), len(rest)-len(after))
			}
			if len(after) >= len(rest) {
				t.Fatal("a frame took nothing off the stream")
			}
			rest = after
		}
	})
}
