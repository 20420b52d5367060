package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	wantDuration = `a duration such as "30s", "5m", "24h" or "30d"`
	wantSize     = `a size such as "64KiB" or "1.5MB"`
)

// ParseDuration is time.ParseDuration with days, as in 30d or 1d12h, and without
// negative results. The error says only what would be accepted.
func ParseDuration(text string) (time.Duration, error) {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 16)
	d := time.Duration(0)
	if err == nil && (rest != "" || !found) {
		d, err = time.ParseDuration(rest)
	}
	const day = 24 * time.Hour
	if err != nil || d < 0 || strings.HasPrefix(rest, "+") || d > math.MaxInt64-time.Duration(n)*day {
		return 0, errors.New("want " + wantDuration)
	}
	return time.Duration(n)*day + d, nil
}

// formatDuration writes d in the form that people write: "24h", not "24h0m0s".
func formatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 && d/day <= math.MaxUint16 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// parseSize reads a number with a unit; KiB is 1024 bytes and KB is 1000.
func parseSize(text string) (int64, error) {
	for _, unit := range sizeUnits {
		at := len(text) - len(unit.name)
		if at <= 0 || !strings.EqualFold(text[at:], unit.name) {
			continue
		}
		number := strings.TrimSpace(text[:at])
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/unit.bytes {
			return n * unit.bytes, nil
		}
		f, err := strconv.ParseFloat(number, 64)
		if err != nil || !(f >= 0 && f*float64(unit.bytes) < 1<<62) {
			break
		}
		return int64(math.Round(f * float64(unit.bytes))), nil
	}
	return 0, errors.New("want " + wantSize)
}

// formatSize writes n in the largest binary unit that loses nothing.
func formatSize(n int64) string {
	for _, unit := range sizeUnits[:4] {
		if n >= unit.bytes && n%unit.bytes == 0 {
			return strconv.FormatInt(n/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
