package outbox_test

import (
	"testing"

	"signalbox/sync/outbox"
)

func TestMonthOffline(t *testing.T) {
	out := open(t, outbox.Config{Dir: t.TempDir()}.NoSync())
	b := newBox(t, out)
	b.ticks(t, 30*24*60)
	s := out.Stats()
	t.Logf("%d frames in %.1f MiB, a file of %.1f MiB, %.1f KiB written each", s.Frames, float64(s.Bytes)/(1<<20), float64(s.FileBytes)/(1<<20), float64(s.WrittenBytes)/1024/float64(s.Newest))
	if s.Frames != 30*24*60 || s.Merged > 0 || s.FileBytes > 64<<20 {
		t.Errorf("%+v, want every minute within 64 MiB", s)
	}
	c := newCloud()
	batches := c.drain(t, out)
	c.check(t, b)
	t.Logf("drained in %d batches", batches)
}
