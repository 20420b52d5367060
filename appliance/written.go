package appliance

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// written is how many bytes the process has had written to disks since it
// started, as the kernel counts (proc(5), /proc/PID/io); without that count it
// is what the store's commits had.
func (a *Appliance) written(byStore int64) int64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return byStore
	}
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte("write_bytes: ")); ok {
			if n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64); err == nil {
				return n
			}
		}
	}
	return byStore
}

// clockReason says that the clock must be wrong; "" when it may be right. The box
// lives with it: its certificate and its setup link do, tokens and relay
// credentials are made and judged by the same clock.
func (a *Appliance) clockReason(now time.Time) string {
	known := a.lastWrite()
	if born := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); known.Before(born) {
		known = born
	}
	if now.After(known.Add(-clockSlack)) {
		return ""
	}
	return "the clock says " + now.UTC().Format("2006-01-02 15:04 UTC") + ", which was before " + known.UTC().Format("2006-01-02 15:04 UTC") +
		"; set it, or let the machine reach a time server: tokens of others are judged by it"
}

// clockSlack is how far back a clock is set in the course of things.
const clockSlack = 5 * time.Minute

// shortest is how long the pace of writing is looked at, at least: what a start
// writes is no measure of a day.
const shortest = time.Hour

// perDay is n bytes in d, for a day.
func perDay(n int64, d time.Duration) int64 {
	return int64(float64(n) * float64(24*time.Hour) / float64(max(d, shortest)))
}
