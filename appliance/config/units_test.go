package config

import (
	"math"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1.5h": 90 * time.Minute, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "0d": 0, "0": 0,
		"65535d": 65535 * 24 * time.Hour,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "30", "-5s", "1d-1h", "1d+1h", "99999d", "65535d2562047h", "1d1d", "1.5d", "s", "5 m"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "250ms": 250 * time.Millisecond, "30s": 30 * time.Second, "1m": time.Minute, "1m30s": 90 * time.Second,
		"1h": time.Hour, "1h30m": 90 * time.Minute, "1h0m5s": time.Hour + 5*time.Second, "24h": 24 * time.Hour, "90d": 90 * 24 * time.Hour,
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0B": 0, "64KiB": 65536, "64 kib": 65536, "1.5MB": 1_500_000, "2TB": 2e12, "7B": 7, "9223372036854775807B": math.MaxInt64,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "KiB", "64", "-1KB", "9000000TiB", "nanMB", "infB", "1e99MB", "1.5.2KB", "64KiBs"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func FuzzUnits(f *testing.F) {
	f.Add("1d2h3m4.5s")
	f.Add("1.25GiB")
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseDuration(text); err == nil {
			if again, err := ParseDuration(formatDuration(d)); err != nil || again != d || d < 0 {
				t.Errorf("duration %q = %d, written %q, read back %d, %v", text, d, formatDuration(d), again, err)
			}
		}
		if n, err := parseSize(text); err == nil {
			if again, err := parseSize(formatSize(n)); err != nil || again != n || n < 0 {
				t.Errorf("size %q = %d, written %q, read back %d, %v", text, n, formatSize(n), again, err)
			}
		}
	})
}
