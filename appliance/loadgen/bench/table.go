package main

import (
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one line of the table. Its last column says how many times better ours
// is, where one of them is.
type row struct {
	what, format string
	values       func(*result) []float64
	better       better
	scale        float64
}

// better says which of two values is the better one.
type better uint8

const (
	neither better = iota
	smaller
	larger
)

func (b *bench) rows() []row {
	flood, pace := "flooded: ", fmt.Sprintf("%.0f messages per second: ", b.rate)
	rows := []row{
		{flood + "messages per second", "%.0f", func(r *result) []float64 { return r.perSecond }, larger, 1},
		{flood + "messages per CPU-second of the server", "%.0f", func(r *result) []float64 { return r.perCore }, larger, 1},
		{flood + "use of the server's core, %", "%.0f", func(r *result) []float64 { return r.busy }, neither, 100},
		{pace + "latency p50, ms", "%.2f", func(r *result) []float64 { return r.p50 }, smaller, 1},
		{pace + "latency p99, ms", "%.2f", func(r *result) []float64 { return r.p99 }, smaller, 1},
		{pace + "use of the server's core, %", "%.0f", func(r *result) []float64 { return r.paceCPU }, smaller, 100},
	}
	return slices.Concat(
		memoryRows(b.conns, func(r *result) memory { return r.idle }),
		memoryRows(b.crowd, func(r *result) memory { return r.crowd }), rows)
}

func memoryRows(conns int, of func(*result) memory) []row {
	idle := fmt.Sprintf("%d idle: resident KB each", conns)
	return []row{
		{idle, "%.1f", func(r *result) []float64 { return of(r).asIs }, smaller, 1.0 / 1024},
		{idle + ", garbage returned", "%.1f", func(r *result) []float64 { return of(r).tidy }, smaller, 1.0 / 1024},
	}
}

// print writes the table: medians of the rounds, and from the least to the most.
func (b *bench) print(w io.Writer, results map[string]*result, took time.Duration) {
	fmt.Fprintf(w, "%d connections in pairs, messages of 1 KB, the server on one core, %s %s/%s, %v in all.\n",
		b.conns, runtime.Version(), runtime.GOOS, runtime.GOARCH, took.Round(time.Second))
	fmt.Fprintf(w, "Medians of %d rounds (of %d with %d connections), with the least and the most.\n\n", b.rounds, b.crowdRounds, b.crowd)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	ours, theirs := contestants[0].name, contestants[1].name
	fmt.Fprintf(t, "\t%s\t%s\ttimes better\n", ours, theirs)
	for _, row := range b.rows() {
		our, their := row.values(results[ours]), row.values(results[theirs])
		if len(our) == 0 || len(their) == 0 {
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", row.what, row.cell(our), row.cell(their), row.ratio(our, their))
	}
	_ = t.Flush()
	for _, c := range contestants {
		faults := results[c.name].faults
		for _, code := range slices.Sorted(maps.Keys(faults)) {
			fmt.Fprintf(w, "%s: %d times %s\n", c.name, faults[code], code)
		}
	}
}

func (r row) cell(values []float64) string {
	show := func(v float64) string { return fmt.Sprintf(r.format, v*r.scale) }
	return fmt.Sprintf("%s [%s, %s]", show(median(values)), show(slices.Min(values)), show(slices.Max(values)))
}

func (r row) ratio(ours, theirs []float64) string {
	switch r.better {
	case smaller:
		return fmt.Sprintf("%.2f", median(theirs)/median(ours))
	case larger:
		return fmt.Sprintf("%.2f", median(ours)/median(theirs))
	}
	return ""
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
