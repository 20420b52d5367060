package outbox_test

import (
	"testing"
	"time"

	"signalbox/sync/outbox"
	"signalbox/sync/wire"
)

// BenchmarkCommit is one minute of a box, with the disk's part and without.
func BenchmarkCommit(b *testing.B) {
	for name, cfg := range map[string]outbox.Config{"sync": {Dir: b.TempDir()}, "nosync": outbox.Config{Dir: b.TempDir()}.NoSync()} {
		b.Run(name, func(b *testing.B) {
			out := open(b, cfg)
			box := newBox(b, out)
			before := out.Stats()
			b.ReportAllocs()
			for b.Loop() {
				if err := box.tick(); err != nil {
					b.Fatal(err)
				}
			}
			after := out.Stats()
			b.ReportMetric(float64(after.WrittenBytes-before.WrittenBytes)/float64(after.Newest-before.Newest), "written-B/op")
			if err := out.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkNext reads what goes into one batch, from a month's frames.
func BenchmarkNext(b *testing.B) {
	out := open(b, outbox.Config{Dir: b.TempDir()}.NoSync())
	box := newBox(b, out)
	box.ticks(b, 5000)
	b.ReportAllocs()
	for b.Loop() {
		frames, err := out.Next(2000, wire.MaxBatchFrames, wire.MaxBatchBytes)
		if err != nil || len(frames) != wire.MaxBatchFrames {
			b.Fatalf("%d frames, %v", len(frames), err)
		}
	}
}

// BenchmarkOpen is what start-up waits for, with three days of frames.
func BenchmarkOpen(b *testing.B) {
	cfg := outbox.Config{Dir: b.TempDir()}.NoSync()
	out := open(b, cfg)
	newBox(b, out).ticks(b, int(72*time.Hour/time.Minute))
	if err := out.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := open(b, cfg).Close(); err != nil {
			b.Fatal(err)
		}
	}
}
