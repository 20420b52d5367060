package appliance

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
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

// What has a limit by default says so; the relay's bandwidth has none.
func TestLimitsOfABox(t *testing.T) {
	families := scrapeBox(t, func(c collector) prometheus.Collector { return limitsMetrics{c} })
	value := func(name string) float64 {
		t.Helper()
		f := families["signalbox_"+name]
		if f == nil {
			t.Fatalf("there is no %s", name)
		}
		return f.GetMetric()[0].GetGauge().GetValue()
	}
	for name, want := range map[string]float64{"signaling_max_conns": 10_000, "turn_max_allocations": 4096, "turn_max_bit_rate": 0} {
		if got := value(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"memory_max_bytes", "disk_free_bytes", "disk_size_bytes", "https_certificate_end_seconds"} {
		if got := value(name); got <= 0 {
			t.Errorf("%s is %v, want more", name, got)
		}
	}
}
