package appliance

import (
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
