package appliance

import (
	"os"
	"path/filepath"
	"testing"
)

// The limit that counts may be that of the slice around the service.
func TestLowestLimit(t *testing.T) {
	root := t.TempDir()
	service := filepath.Join(root, "edge.slice", "signalbox.service")
	if err := os.MkdirAll(service, 0o755); err != nil {
		t.Fatal(err)
	}
	limit := func(dir, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "memory.max"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const all, own = 4 << 30, "0::/edge.slice/signalbox.service\n"
	check := func(what, own string, most, want uint64) {
		t.Helper()
		if got := lowestLimit(root, own, most); got != want {
			t.Errorf("%s: got %d, want %d", what, got, want)
		}
	}
	check("no files", own, all, all)
	limit(service, "max\n")
	check("no limit", own, all, all)
	limit(filepath.Dir(service), "536870912\n")
	check("limit of the slice", own, all, 512<<20)
	limit(service, "268435456\n")
	check("limit of the service", own, all, 256<<20)
	check("machine unknown", own, 0, 256<<20)
	check("machine smaller", own, 128<<20, 128<<20)
	check("version 1 of control groups", "4:memory:/edge.slice\n", all, all)
}

func TestDisk(t *testing.T) {
	if free, size, ok := disk(t.TempDir()); !ok || size == 0 || free > size {
		t.Errorf("got %d of %d, %v", free, size, ok)
	}
	if _, _, ok := disk(filepath.Join(t.TempDir(), "absent")); ok {
		t.Error("a folder that is not there has a disk")
	}
	if memoryMax() == 0 {
		t.Error("this machine has no memory")
	}
}
