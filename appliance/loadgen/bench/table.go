package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one line of the table. A better server has the smaller value when
// small is set, and the ratio says how many times better ours is.
type row struct {
	what, format string
	values       func(*result) []float64
	small        bool
	scale        float64
}

func (b *bench) rows() []row {
	return []row{
		{fmt.Sprintf("idle, %d connections: resident KB each", b.conns), "%.1f", func(r *result) []float64 { return r.idle }, true, 1.0 / 1024},
		{fmt.Sprintf("idle, %d connections: resident KB each", b.crowd), "%.1f", func(r *result) []float64 { return r.crowdIdle }, true, 1.0 / 1024},
		{"flood: messages per second", "%.0f", func(r *result) []float64 { return r.perSecond }, false, 1},
		{"flood: messages per CPU-second of the server", "%.0f", func(r *result) []float64 { return r.perCore }, false, 1},
		{"flood: use of the server's core, %", "%.0f", func(r *result) []float64 { return r.busy }, false, 100},
		{fmt.Sprintf("%.0f messages per second: p50, ms", b.rate), "%.2f", func(r *result) []float64 { return r.p50 }, true, 1},
		{fmt.Sprintf("%.0f messages per second: p99, ms", b.rate), "%.2f", func(r *result) []float64 { return r.p99 }, true, 1},
		{fmt.Sprintf("%.0f messages per second: use of the core, %%", b.rate), "%.0f", func(r *result) []float64 { return r.paceCPU }, true, 100},
	}
}

// print writes the table: medians of the rounds, and from the least to the most.
func (b *bench) print(w io.Writer, results map[string]*result, took time.Duration) {
	fmt.Fprintf(w, "%d connections in pairs, messages of 1 KB; medians of %d rounds (%d with %d connections), least to most in brackets; %v\n\n",
		b.conns, b.rounds, b.crowdRounds, b.crowd, took.Round(time.Second))
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	ours, theirs := contestants[0].name, contestants[1].name
	fmt.Fprintf(t, "\t%s\t%s\ttimes better\n", ours, theirs)
	for _, row := range b.rows() {
		our, their := row.values(results[ours]), row.values(results[theirs])
		if len(our) == 0 || len(their) == 0 {
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.2f\n", row.what, row.cell(our), row.cell(their), row.ratio(our, their))
	}
	_ = t.Flush()
	for _, c := range contestants {
		for code, n := range results[c.name].faults {
			fmt.Fprintf(w, "\n%s: %d times %s", c.name, n, code)
		}
	}
}

func (r row) cell(values []float64) string {
	show := func(v float64) string { return fmt.Sprintf(r.format, v*r.scale) }
	return fmt.Sprintf("%s [%s, %s]", show(median(values)), show(slices.Min(values)), show(slices.Max(values)))
}

func (r row) ratio(ours, theirs []float64) float64 {
	if r.small {
		return median(theirs) / median(ours)
	}
	return median(ours) / median(theirs)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
