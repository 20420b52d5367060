package appliance

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestPerDay(t *testing.T) {
	for _, test := range []struct {
		bytes int64
		in    time.Duration
		want  int64
	}{{0, time.Second, 0}, {1 << 20, time.Minute, 24 << 20}, {1 << 20, 12 * time.Hour, 2 << 20}, {3 << 20, 72 * time.Hour, 1 << 20}} {
		if got := perDay(test.bytes, test.in); got != test.want {
			t.Errorf("%d bytes in %v are %d a day, want %d", test.bytes, test.in, got, test.want)
		}
	}
}

// A box whose clock cannot be right says so and what to do, and serves: its
// certificate begins at a time that is sure to have passed, see trust.
func TestClockThatCannotBeRight(t *testing.T) {
	b, stop := running(t, t.TempDir())
	defer stop()
	written := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	if err := os.Chtimes(b.store.Path(), written, written); err != nil {
		t.Fatal(err)
	}
	for now, want := range map[time.Time]string{
		time.Unix(7, 0):              "the clock says 1970-01-01 00:00 UTC, which was before 2026-11-25 12:00 UTC; set it, or let the machine reach a time server",
		written.Add(-time.Hour):      "the clock says 2026-11-25 11:00 UTC",
		written.Add(-clockSlack / 2): "",
		written.Add(9 * time.Hour):   "",
	} {
		if got := b.clockReason(now); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("at %v: %q, want %q", now, got, want)
		}
	}
	later := time.Now().Add(1000 * time.Hour) // to which the clock of this machine is as one that was reset
	if err := os.Chtimes(b.store.Path(), later, later); err != nil {
		t.Fatal(err)
	}
	for _, p := range (box{b}).Parts() {
		if p.Name == "clock" && (p.OK || p.Required) {
			t.Errorf("part %+v, want not well and not required", p)
		}
	}
}
