//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"
)

func secs(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// middle is the median.
func middle(list []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

func round(list []time.Duration) []time.Duration {
	out := slices.Clone(list)
	for i := range out {
		out[i] = out[i].Round(10 * time.Millisecond)
	}
	return out
}
