//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
)

// aims are what the relay's cost of a packet should at most be, as a share of
// another's.
var aims = []struct {
	mode    string
	against string
	most    float64
}{
	{"saturated", pion, 0.6},
	{"saturated", coturn, 0.75},
	{"saturated", barefwd, 1.25},
	{"paced", coturn, 1},
}

// judge writes which rows meet the aims, as far as they were measured.
func (b *bench) judge(w io.Writer, r *results) {
	for _, aim := range aims {
		var shares []float64
		met := 0
		for _, cell := range b.cells {
			our, their := r.of(cell, contestant{name: ours}).cost, r.of(cell, contestant{name: aim.against}).cost
			if cell.mode() != aim.mode || len(our) == 0 || len(their) == 0 {
				continue
			}
			share := median(our) / median(their)
			if shares = append(shares, share); share <= aim.most {
				met++
			}
		}
		if len(shares) > 0 {
			fmt.Fprintf(w, "Aim: %s, at most %.2f of the CPU time of %s: met in %d of %d rows, from %.2f to %.2f.\n",
				aim.mode, aim.most, aim.against, met, len(shares), slices.Min(shares), slices.Max(shares))
		}
	}
}
