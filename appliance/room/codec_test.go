package room

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"runtime"
	"testing"
)

// sample is a state with one of everything, made the same way each time.
func sample(t testing.TB) (*State, Vector) {
	t.Helper()
	s := New(Origin{Box: "box", Incarnation: 3}, Limits{})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Create(Info{Name: "hall", Description: "north", Allow: []string{"cam-*"}})
	must(err)
	_, err = s.Update("hall", 0, func(i *Info) { i.Pinned, i.Capacity = true, 300 })
	must(err)
	since := s.Vector()
	_, err = s.SetMetadata("hall", "layout", []byte(`{"x":1}`), nil)
	must(err)
	_, err = s.Join("hall", Member{ID: "m-1", Subject: "cam-7", Name: "Cam 7", Meta: []byte(`[]`)})
	must(err)
	_, err = s.Join("hall", Member{ID: "m-2", State: Suspended})
	must(err)
	s.Leave("hall", "m-2")
	return s, since
}

// TestEncodingIsStable pins format version 1: what is on disks and between boxes
// of different builds.
func TestEncodingIsStable(t *testing.T) {
	s, since := sample(t)
	entry, _ := s.Durable("hall")
	for _, tc := range []struct {
		name string
		got  []byte
		want string
	}{
		{"vector", Vector{{"box", 3}: 300, {"box", 5}: 1, {"a", 1}: 2}.Encode(), goldenVector},
		{"entry", entry.Encode(), goldenEntry},
		{"snapshot", s.Snapshot().Encode(), goldenSnapshot},
		{"delta", s.Delta(since).Encode(), goldenDelta},
	} {
		if got := hex.EncodeToString(tc.got); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

const (
	goldenVector = "760102016101010203626f780203ac020201"
	goldenEntry  = "65010468616c6c0103626f78010301f56900031ff5290001f5490002f5490002f5290001056e6f727468ac0201056361" +
		"6d2d2a01066c61796f757401f5690003077b2278223a317d"
	goldenSnapshot = "6401010103626f7801030606010468616c6c0301f56900031ff5290001f5490002f5490002f5290001056e6f727468ac" +
		"02010563616d2d2a01066c61796f757401f5690003077b2278223a317d01036d2d3101f5890100040563616d2d370543" +
		"616d2037025b5d0100"
	goldenDelta = "6401000103626f780103060406010468616c6c0201f56900031ff5290001f5490002f5490002f5290001056e6f727468" +
		"ac02010563616d2d2a01066c61796f757401f5690003077b2278223a317d02036d2d3101f5890100040563616d2d3705" +
		"43616d2037025b5d0100036d2d320002030404"
)

func TestRoundTrip(t *testing.T) {
	s, since := sample(t)
	v, err := DecodeVector(s.Vector().Encode())
	if err != nil || !reflect.DeepEqual(v, s.Vector()) {
		t.Errorf("vector: got %v (%v), want %v", v, err, s.Vector())
	}
	entry, _ := s.Durable("hall")
	if again, err := DecodeEntry(entry.Encode()); err != nil || !reflect.DeepEqual(again, entry) {
		t.Errorf("entry: got %+v (%v), want %+v", again, err, entry)
	}
	for _, d := range []Delta{s.Snapshot(), s.Delta(since), {}} {
		again, err := DecodeDelta(d.Encode())
		if err != nil || !bytes.Equal(again.Encode(), d.Encode()) {
			t.Errorf("delta: got %+v (%v), want %+v", again, err, d)
		}
	}
	gone, ok := s.Durable("nowhere")
	if again, err := DecodeEntry(gone.Encode()); ok || err != nil || !again.Deleted() || again.Name != "nowhere" {
		t.Errorf("entry of a room that is gone: got %+v (%v)", again, err)
	}
}

func TestDecodeRefusesAnythingElse(t *testing.T) {
	s, since := sample(t)
	entry, _ := s.Durable("hall")
	decode := map[byte]func([]byte) error{
		kindVector: func(b []byte) error { _, err := DecodeVector(b); return err },
		kindEntry:  func(b []byte) error { _, err := DecodeEntry(b); return err },
		kindDelta:  func(b []byte) error { _, err := DecodeDelta(b); return err },
	}
	for _, good := range [][]byte{s.Vector().Encode(), entry.Encode(), s.Snapshot().Encode(), s.Delta(since).Encode()} {
		kind := good[0]
		for n := range len(good) {
			if err := decode[kind](good[:n]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("the first %d of %d bytes of %q: %v, want %v", n, len(good), kind, err, ErrCorrupt)
			}
		}
		if err := decode[kind](append(bytes.Clone(good), 0)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%q with a byte more: %v, want %v", kind, err, ErrCorrupt)
		}
		for other, f := range decode {
			if err := f(good); other != kind && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%q read as %q: %v, want %v", kind, other, err, ErrCorrupt)
			}
		}
		newer := bytes.Clone(good)
		newer[1]++
		if err := decode[kind](newer); !errors.Is(err, ErrFormat) || errors.Is(err, ErrCorrupt) {
			t.Errorf("%q in a newer format: %v, want %v alone", kind, err, ErrFormat)
		}
	}
}

// TestDecodeAllocatesByInput feeds claims of huge counts, and input as dense as
// it gets: a count costs nothing, a byte no more than it can stand for.
func TestDecodeAllocatesByInput(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
	s, since := sample(t)
	entry, _ := s.Durable("hall")
	inputs := map[string][]byte{"dense vector": denseVector(), "dense trail": denseTrail()}
	for _, good := range [][]byte{s.Vector().Encode(), entry.Encode(), s.Snapshot().Encode(), s.Delta(since).Encode()} {
		for n := 2; n < len(good); n++ {
			inputs[string(good[:1])+" cut at "+string(rune('0'+n))] = append(bytes.Clone(good[:n]), huge...)
		}
	}
	for name, b := range inputs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		decodeAny(b)
		runtime.ReadMemStats(&after)
		if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(128*len(b)+8<<10); got > limit {
			t.Errorf("%s: %d bytes made %d bytes of garbage, want at most %d", name, len(b), got, limit)
		}
	}
}

// denseVector has 65,536 origins in two bytes each.
func denseVector() []byte {
	v := Vector{}
	for i := range uint64(1 << 16) {
		v[Origin{Box: "b", Incarnation: i}] = 1
	}
	return v.Encode()
}

// denseTrail is a delta of many changes that all touched one key.
func denseTrail() []byte {
	s := New(Origin{Box: "b", Incarnation: 1}, Limits{})
	_, _ = s.Create(Info{Name: "r"})
	s.trailLength = 1 << 16
	for range 1 << 16 {
		s.change(key{kind: roomSettings, room: "r"})
	}
	return s.Delta(Vector{{"other", 1}: 1}).Encode()
}

func decodeAny(b []byte) {
	_, _ = DecodeVector(b)
	_, _ = DecodeEntry(b)
	_, _ = DecodeDelta(b)
}

func FuzzDecodeDelta(f *testing.F) {
	s, since := sample(f)
	f.Add(s.Snapshot().Encode())
	f.Add(s.Delta(since).Encode())
	f.Add(Delta{}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := DecodeDelta(b)
		if err != nil {
			return
		}
		if again := d.Encode(); !bytes.Equal(again, b) {
			t.Fatalf("decoded and encoded again:\n got %x\nwant %x", again, b)
		}
		s, _ := sample(t)
		if _, err := s.Merge(d); err != nil {
			return
		}
		once := canonical(s)
		if changed, err := s.Merge(d); err != nil || len(changed) > 0 || canonical(s) != once {
			t.Fatalf("merged again it changed %q (%v)", changed, err)
		}
		for _, v := range s.Rooms() {
			_, _ = s.Join(v.Name, Member{ID: "m-9"})
			_ = s.Delete(v.Name)
		}
		if s.Len() != 0 {
			t.Fatalf("%d rooms left after deleting all", s.Len())
		}
		if _, err := DecodeDelta(s.Snapshot().Encode()); err != nil {
			t.Fatalf("what it was merged into does not decode: %v", err)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	s, _ := sample(f)
	entry, _ := s.Durable("hall")
	f.Add(entry.Encode())
	f.Add(Entry{Name: "gone"}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b)
		if err != nil {
			return
		}
		if again := e.Encode(); !bytes.Equal(again, b) {
			t.Fatalf("decoded and encoded again:\n got %x\nwant %x", again, b)
		}
		s := New(Origin{Box: "new", Incarnation: 9}, Limits{})
		if err := s.Restore([]Entry{e}, nil); err != nil && !errors.Is(err, ErrForked) {
			t.Fatal(err)
		}
		if v, ok := s.Room(e.Name); ok != !e.Deleted() || ok && !reflect.DeepEqual(v.Info, e.Info()) {
			t.Fatalf("restored: got %+v (%t), want %+v", v.Info, ok, e.Info())
		}
	})
}

func FuzzDecodeVector(f *testing.F) {
	f.Add(Vector{{"box", 3}: 300, {"box", 5}: 1, {"a", 1}: 2}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := DecodeVector(b)
		if err != nil {
			return
		}
		if again := v.Encode(); !bytes.Equal(again, b) {
			t.Fatalf("decoded and encoded again:\n got %x\nwant %x", again, b)
		}
	})
}
