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

// shortest is how long the pace of writing is looked at, at least: what a start
// writes is no measure of a day.
const shortest = time.Hour

// perDay is n bytes in d, for a day.
func perDay(n int64, d time.Duration) int64 {
	return int64(float64(n) * float64(24*time.Hour) / float64(max(d, shortest)))
}
