package outbox_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"signalbox/sync/outbox"
)

// FuzzOpen writes over a part of a small outbox: whatever is there, it opens,
// takes a frame and gives it back, or begins anew.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	out := open(f, outbox.Config{Dir: dir}.NoSync())
	b := newBox(f, out)
	b.ticks(f, 40)
	if err := out.Close(); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "upstream.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte("\x00\x00\x00"))
	f.Add(uint32(2*4096+8), []byte{1})  // a leaf becomes a branch
	f.Add(uint32(3*4096+12), []byte{9}) // a page overflows
	f.Add(uint32(4*4096), data[5*4096:6*4096])
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		d := bytes.Clone(data[:min(len(data), 40*4096)])
		copy(d[int(at)%len(d):], patch)
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "upstream.db"), d, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := outbox.Open(outbox.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)}.NoSync())
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		b := *b
		b.out, b.totals = out, map[uint32]uint64{}
		if err := b.tick(); err != nil {
			t.Fatal(err)
		}
		frames, err := out.Next(1, 1000, 1<<20)
		if err != nil || len(frames) == 0 || frames[len(frames)-1].GetLast() != out.Stats().Newest {
			t.Fatalf("%d frames up to %d, %v", len(frames), out.Stats().Newest, err)
		}
		for i, f := range frames[1:] {
			if f.GetFirst() != frames[i].GetLast()+1 {
				t.Fatalf("frame %d follows %d", f.GetFirst(), frames[i].GetLast())
			}
		}
	})
}
