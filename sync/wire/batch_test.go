package wire_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"signalbox/sync/wire"
)

var boxID = wire.BoxID{Tenant: "main", Site: "hall-2", Box: "b7"}

func newKeys(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"Ed25519": ed, "P-256": p256}
}

func newSigner(t testing.TB, key crypto.Signer) *wire.Signer {
	t.Helper()
	s, err := wire.NewSigner(boxID, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// body is what a box sends after n minutes.
func body(frames []*wire.Frame) *wire.Body {
	last := frames[len(frames)-1]
	return &wire.Body{Incarnation: 77, Oldest: 1, SentMs: last.GetEndMs() + 500, Boot: last.GetBoot(), MonoMs: last.GetMonoMs() + 500, Frames: frames}
}

func TestBatch(t *testing.T) {
	for name, key := range newKeys(t) {
		want := body(run(t, 4, 60))
		data, err := wire.EncodeBatch(newSigner(t, key), want)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: sixty frames in %d bytes, decompressed %d", name, len(data), proto.Size(want))
		b, err := wire.DecodeBatch(data, boxID)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Verify(key.Public()); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Decode(); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: it comes back as another, %v", name, err)
		}

		one, err := wire.EncodeBatch(newSigner(t, key), body(want.GetFrames()[30:31]))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: one frame in %d bytes", name, len(one))
	}
}

func TestForgedBatches(t *testing.T) {
	for name, key := range newKeys(t) {
		data, err := wire.EncodeBatch(newSigner(t, key), body(run(t, 4, 2)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wire.DecodeBatch(data, wire.BoxID{Tenant: "main", Site: "hall-2", Box: "b8"}); !errors.Is(err, wire.ErrForeign) {
			t.Errorf("%s: on another's subject: %v", name, err)
		}
		for what, forge := range map[string]func(*wire.Batch){
			"body":      func(b *wire.Batch) { b.Body[len(b.Body)-1] ^= 1 },
			"box":       func(b *wire.Batch) { b.Box = "main.hall-2.b8" },
			"signature": func(b *wire.Batch) { b.Signature[9] ^= 1 },
			"none":      func(b *wire.Batch) { b.Signature = nil },
			"key":       func(b *wire.Batch) { b.Key++ },
		} {
			b, err := wire.DecodeBatch(data, boxID)
			if err != nil {
				t.Fatal(err)
			}
			forge(b)
			if err := b.Verify(key.Public()); !errors.Is(err, wire.ErrSignature) {
				t.Errorf("%s: forged %s: %v", name, what, err)
			}
		}
		for other, k := range newKeys(t) {
			b, err := wire.DecodeBatch(data, boxID)
			if err != nil {
				t.Fatal(err)
			}
			if b.Key, err = wire.KeyID(k.Public()); err != nil {
				t.Fatal(err)
			}
			if err := b.Verify(k.Public()); !errors.Is(err, wire.ErrSignature) {
				t.Errorf("%s: verified by another's %s: %v", name, other, err)
			}
		}
	}
}

func TestOtherKeysAreRefused(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{p384, r} {
		if _, err := wire.NewSigner(boxID, key); !errors.Is(err, wire.ErrKey) {
			t.Errorf("%T: %v", key, err)
		}
		if err := new(wire.Batch).Verify(key.Public()); !errors.Is(err, wire.ErrKey) {
			t.Errorf("%T: %v", key, err)
		}
	}
	if _, err := wire.NewSigner(wire.BoxID{}, newKeys(t)["P-256"]); err == nil {
		t.Error("a signer for no box")
	}
}

// TestBodiesOutOfBounds has one table for both ends: the box cannot send what the
// cloud would refuse.
func TestBodiesOutOfBounds(t *testing.T) {
	key := newKeys(t)["Ed25519"]
	many := func(n int) []*wire.Frame {
		var frames []*wire.Frame
		for i := range n {
			frames = append(frames, &wire.Frame{First: uint64(i + 1), Last: uint64(i + 1)})
		}
		return frames
	}
	first := func(change func(*wire.Frame)) func(*wire.Body) {
		return func(b *wire.Body) { change(b.Frames[0]) }
	}
	for name, c := range map[string]struct {
		change func(*wire.Body)
		want   wire.Refusal
	}{
		"no frames":         {func(b *wire.Body) { b.Frames = nil }, wire.ErrMalformed},
		"no incarnation":    {func(b *wire.Body) { b.Incarnation = 0 }, wire.ErrMalformed},
		"61 frames":         {func(b *wire.Body) { b.Frames = many(61) }, wire.ErrLimit},
		"sent before 1970":  {func(b *wire.Body) { b.SentMs = -1 }, wire.ErrTime},
		"sent in 10000":     {func(b *wire.Body) { b.SentMs = 253402300800000 }, wire.ErrTime},
		"up for ages":       {func(b *wire.Body) { b.MonoMs = 1 << 60 }, wire.ErrTime},
		"oldest":            {func(b *wire.Body) { b.Oldest = 1 << 63 }, wire.ErrSequence},
		"seq 0":             {first(func(f *wire.Frame) { f.First = 0 }), wire.ErrSequence},
		"ends before":       {first(func(f *wire.Frame) { f.First = 9; f.Last = 8 }), wire.ErrSequence},
		"overlap":           {func(b *wire.Body) { b.Frames[1].First = b.Frames[0].Last }, wire.ErrSequence},
		"descending":        {func(b *wire.Body) { slices.Reverse(b.Frames) }, wire.ErrSequence},
		"huge seq":          {func(b *wire.Body) { b.Frames[1].Last = 1 << 63 }, wire.ErrSequence},
		"ends before start": {first(func(f *wire.Frame) { f.StartMs = f.EndMs + 1 }), wire.ErrTime},
		"after its body":    {first(func(f *wire.Frame) { f.Boot = 0x5eed; f.MonoMs = 1 << 40 }), wire.ErrTime},
		"values missing":    {first(func(f *wire.Frame) { f.CounterValues = f.CounterValues[1:] }), wire.ErrMalformed},
		"counters twice":    {first(func(f *wire.Frame) { f.CounterIds[1] = f.CounterIds[0] }), wire.ErrMalformed},
		"counters":          {first(func(f *wire.Frame) { f.CounterIds = make([]uint32, 257) }), wire.ErrLimit},
		"gauge descending":  {first(func(f *wire.Frame) { slices.Reverse(f.Gauges) }), wire.ErrMalformed},
		"gauge inside out":  {first(func(f *wire.Frame) { f.Gauges[0].Below = -1 }), wire.ErrMalformed},
		"gauge overflow":    {first(func(f *wire.Frame) { f.Gauges[0].Above = 1<<63 - 1 }), wire.ErrMalformed},
		"gauges":            {first(func(f *wire.Frame) { f.Gauges = make([]*wire.Gauge, 257) }), wire.ErrLimit},
		"sketch span":       {first(func(f *wire.Frame) { f.Sketches = []*wire.Sketch{{Id: 200, SpanS: 7}} }), wire.ErrTime},
		"sketch start":      {first(func(f *wire.Frame) { f.Sketches = []*wire.Sketch{{Id: 200, SpanS: 3600, StartMs: 7}} }), wire.ErrTime},
		"sketch size":       {first(func(f *wire.Frame) { f.Sketches = []*wire.Sketch{{Id: 200, SpanS: 3600, Data: make([]byte, 9000)}} }), wire.ErrOversize},
		"sketch twice": {first(func(f *wire.Frame) {
			f.Sketches = []*wire.Sketch{{Id: 200, SpanS: 3600}, {Id: 200, SpanS: 3600}}
		}), wire.ErrMalformed},
		"rooms":         {first(func(f *wire.Frame) { f.Rooms = make([]*wire.Room, 1025) }), wire.ErrLimit},
		"room twice":    {first(func(f *wire.Frame) { f.Rooms = []*wire.Room{{Id: "a"}, {Id: "a"}} }), wire.ErrMalformed},
		"room unnamed":  {first(func(f *wire.Frame) { f.Rooms = []*wire.Room{{}} }), wire.ErrMalformed},
		"room escape":   {first(func(f *wire.Frame) { f.Rooms = []*wire.Room{{Id: "\x1b[2J"}} }), wire.ErrMalformed},
		"room long":     {first(func(f *wire.Frame) { f.Rooms = []*wire.Room{{Id: string(make([]byte, 65))}} }), wire.ErrMalformed},
		"room time":     {first(func(f *wire.Frame) { f.Rooms = []*wire.Room{{Id: "a", CreatedMs: -1}} }), wire.ErrTime},
		"alerts":        {first(func(f *wire.Frame) { f.Alerts = make([]*wire.Alert, 257) }), wire.ErrLimit},
		"alert unnamed": {first(func(f *wire.Frame) { f.Alerts = []*wire.Alert{{}} }), wire.ErrMalformed},
		"alert time":    {first(func(f *wire.Frame) { f.Alerts = []*wire.Alert{{Kind: "disk", AtMs: -1}} }), wire.ErrTime},
		"results":       {first(func(f *wire.Frame) { f.Results = make([]*wire.Result, 65) }), wire.ErrLimit},
		"result text":   {first(func(f *wire.Frame) { f.Results = []*wire.Result{{Id: "a", Text: string(make([]byte, 300))}} }), wire.ErrMalformed},
		"result time":   {first(func(f *wire.Frame) { f.Results = []*wire.Result{{Id: "a", AtMs: -1}} }), wire.ErrTime},
		"box text":      {first(func(f *wire.Frame) { f.Box = &wire.Box{Version: "a\nb"} }), wire.ErrMalformed},
		"box time":      {first(func(f *wire.Frame) { f.Box = &wire.Box{CertEndMs: -1} }), wire.ErrTime},
	} {
		b := proto.CloneOf(body(run(t, 4, 2)))
		c.change(b)
		if _, err := wire.EncodeBatch(newSigner(t, key), b); !errors.Is(err, c.want) || wire.Reason(err) != string(c.want) {
			t.Errorf("%s: encoded with %v, want %s", name, err, c.want)
		}
		raw, err := proto.Marshal(b)
		if err != nil { // no UTF-8, for one
			continue
		}
		if _, err := (&wire.Batch{Body: squeeze(t, raw)}).Decode(); !errors.Is(err, c.want) {
			t.Errorf("%s: decoded with %v, want %s", name, err, c.want)
		}
	}
}

// squeeze compresses without the dictionary, which is a valid body too.
func squeeze(t testing.TB, raw []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithEncoderConcurrency(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	return enc.EncodeAll(raw, nil)
}

func TestHostileBatches(t *testing.T) {
	noise := make([]byte, 300<<10)
	_, _ = rand.Read(noise)
	unknown := squeeze(t, []byte("something"))
	for name, c := range map[string]struct {
		data []byte
		want wire.Refusal
	}{
		"bomb":               {squeeze(t, make([]byte, 64<<20)), wire.ErrOversize},
		"bomb of no size":    {streamed(t, 64<<20), wire.ErrOversize},
		"noise":              {noise[:1000], wire.ErrMalformed},
		"nothing":            {nil, wire.ErrMalformed},
		"cut off":            {unknown[:len(unknown)-3], wire.ErrMalformed},
		"no protobuf":        {squeeze(t, noise[:2000]), wire.ErrMalformed},
		"another dictionary": {squeeze(t, []byte("something"), zstd.WithEncoderDictRaw(0x5B0009, noise[:4096])), wire.ErrDictionary},
	} {
		if _, err := (&wire.Batch{Body: c.data}).Decode(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if _, err := wire.DecodeBatch(noise, boxID); !errors.Is(err, wire.ErrOversize) {
		t.Errorf("300 KiB: %v", err)
	}
	if _, err := wire.DecodeBatch(noise[:1000], boxID); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("noise: %v", err)
	}
	if wire.Reason(errors.New("x")) != "other" {
		t.Error("another error has the reason of a refusal")
	}
}

// streamed is n zero bytes compressed without saying how many they are.
func streamed(t *testing.T, n int) []byte {
	var out appender
	enc, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for range n >> 20 {
		if _, err := enc.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

type appender []byte

func (a *appender) Write(b []byte) (int, error) {
	*a = append(*a, b...)
	return len(b), nil
}

// TestLargestFrameFits: what Merge lets through always fits a batch by itself.
func TestLargestFrameFits(t *testing.T) {
	noise := func(n int) string {
		b := make([]byte, n)
		_, _ = rand.Read(b)
		for i := range b {
			b[i] = 'a' + b[i]%26
		}
		return string(b)
	}
	f := &wire.Frame{First: 1, Last: 1}
	for i := range 2000 {
		f.Rooms = append(f.Rooms, &wire.Room{Id: noise(64), Members: 1 << 31, CreatedMs: 1 << 47})
		f.Alerts = append(f.Alerts, &wire.Alert{Kind: "exhaustion", Raised: true, AtMs: 1 << 47, Value: 1 << 62})
		f.Results = append(f.Results, &wire.Result{Id: noise(64), Text: string(wire.OutcomeInterrupted), AtMs: 1 << 47})
		f.Gauges = append(f.Gauges, &wire.Gauge{Id: uint32(i + 1), Last: 1 << 60, Below: 1 << 60, Above: 1 << 60})
		f.CounterIds, f.CounterValues = append(f.CounterIds, uint32(i+1)), append(f.CounterValues, 1<<63)
		f.Sketches = append(f.Sketches, &wire.Sketch{Id: 210, StartMs: int64(i) * 3600_000, SpanS: 3600, Data: []byte(noise(2 << 10))})
	}
	f.Box = &wire.Box{Name: noise(256), Version: noise(64)}
	f = wire.Merge(f)
	if _, err := wire.Pack(f); err != nil {
		t.Fatal(err)
	}
	data, err := wire.EncodeBatch(newSigner(t, newKeys(t)["P-256"]), &wire.Body{Incarnation: 1, Frames: []*wire.Frame{f}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the largest frame makes a batch of %d bytes, decompressed %d", len(data), proto.Size(f))
}

// TestCodecMemory makes sure that batches leave nothing behind.
func TestCodecMemory(t *testing.T) {
	frames := run(t, 4, 60)
	s := newSigner(t, newKeys(t)["P-256"])
	var before, after runtime.MemStats
	for range 3 { // what is made once for good
		if _, err := wire.EncodeBatch(s, body(frames)); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 50 {
		data, err := wire.EncodeBatch(s, body(frames))
		if err != nil {
			t.Fatal(err)
		}
		b, err := wire.DecodeBatch(data, boxID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Decode(); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("the heap is %d KiB, and grew by %d KiB in 50 batches", after.HeapAlloc>>10, grown>>10)
	if grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes, want the codecs to stay as they are", grown)
	}
}

func BenchmarkEncodeBatch(b *testing.B) {
	for name, key := range newKeys(b) {
		s, all := newSigner(b, key), body(run(b, 4, 60))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := wire.EncodeBatch(s, all); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodeBatch is what the cloud does with one of sixty frames, and with
// one of one frame, as it comes each minute.
func BenchmarkDecodeBatch(b *testing.B) {
	for name, key := range newKeys(b) {
		for _, n := range []int{1, 60} {
			data, err := wire.EncodeBatch(newSigner(b, key), body(run(b, 4, n)))
			if err != nil {
				b.Fatal(err)
			}
			b.Run(name+map[int]string{1: "/1", 60: "/60"}[n], func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(data)))
				for b.Loop() {
					batch, err := wire.DecodeBatch(data, boxID)
					if err == nil {
						err = batch.Verify(key.Public())
					}
					if err == nil {
						_, err = batch.Decode()
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	key := newKeys(f)["Ed25519"]
	good, err := wire.EncodeBatch(newSigner(f, key), body(run(f, 4, 2)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(squeeze(f, []byte("something")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := (&wire.Batch{Body: data}).Decode(); err != nil { // what lies behind the envelope
			reasonable(t, err)
		}
		b, err := wire.DecodeBatch(data, boxID)
		if err != nil {
			reasonable(t, err)
			return
		}
		_ = b.Verify(key.Public())
		got, err := b.Decode()
		if err != nil {
			reasonable(t, err)
			return
		}
		again, err := wire.EncodeBatch(newSigner(t, key), got)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		if b, err = wire.DecodeBatch(again, boxID); err != nil {
			t.Fatal(err)
		}
		if back, err := b.Decode(); err != nil || !proto.Equal(back, got) {
			t.Errorf("it comes back as another, %v", err)
		}
	})
}

// FuzzDecodeBody reaches the checks behind the compression.
func FuzzDecodeBody(f *testing.F) {
	raw, err := proto.Marshal(body(run(f, 4, 2)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstd.MinWindowSize))
	if err != nil {
		f.Fatal(err)
	}
	defer enc.Close()
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := (&wire.Batch{Body: enc.EncodeAll(raw, nil)}).Decode()
		if err != nil {
			reasonable(t, err)
			return
		}
		m := wire.Merge(got.GetFrames()...)
		if m.GetLast() != got.GetFrames()[len(got.GetFrames())-1].GetLast() {
			t.Errorf("merged up to %d", m.GetLast())
		}
		wire.MergeDay(got.GetFrames()...)
	})
}

// reasonable makes sure that the cloud can count a refusal by its reason.
func reasonable(t *testing.T, err error) {
	t.Helper()
	if wire.Reason(err) == "other" {
		t.Errorf("%v has no reason", err)
	}
}
