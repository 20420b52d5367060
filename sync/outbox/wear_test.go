package outbox_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"signalbox/sync/outbox"
)

// TestWear counts what commits write by the kernel's own count, since a card in
// an edge box bears only so much: at one a minute at most 100 MB a day.
func TestWear(t *testing.T) {
	out := open(t, outbox.Config{Dir: t.TempDir()})
	b := newBox(t, out)
	b.ticks(t, 600) // so that the tree has its depth
	const n = 200
	before, counted := writtenByKernel(t), out.Stats().WrittenBytes
	b.ticks(t, n)
	kernel, own := writtenByKernel(t)-before, out.Stats().WrittenBytes-counted
	t.Logf("%.1f KB a commit, %.0f MB a day; the outbox counts %.1f KB", float64(kernel)/n/1e3, float64(kernel)/n*1440/1e6, float64(own)/n/1e3)
	if kernel/n*1440 > 100e6 {
		t.Errorf("%d bytes a commit are more than 100 MB a day", kernel/n)
	}
	if own < kernel*9/10 || own > kernel*11/10 {
		t.Errorf("the outbox counts %d bytes, the kernel %d", own, kernel)
	}
}

// writtenByKernel is what this process has written to anything.
func writtenByKernel(t *testing.T) uint64 {
	t.Helper()
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("/proc/self/io has no wchar")
	return 0
}
