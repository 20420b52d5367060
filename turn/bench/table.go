//go:build linux

package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// results are the values of each cell and contestant.
type results struct {
	traffic map[cell]map[string]*values
}

func newResults() *results { return &results{traffic: map[cell]map[string]*values{}} }

func (r *results) of(c cell, who contestant) *values {
	if r.traffic[c] == nil {
		r.traffic[c] = map[string]*values{}
	}
	v := r.traffic[c][who.name]
	if v == nil {
		v = &values{}
		r.traffic[c][who.name] = v
	}
	return v
}

// section is one table: a figure of every cell.
type section struct {
	title, format string
	scale         float64
	ratios        bool // ours over each other
	of            func(*values) []float64
}

var sections = []section{
	{"CPU-nanoseconds per packet delivered, process and kernel", "%.0f", 1, true, func(v *values) []float64 { return v.cost }},
	{"of these, charged to the process", "%.0f", 1, false, func(v *values) []float64 { return v.process }},
	{"thousand packets delivered per second", "%.1f", 1e-3, true, func(v *values) []float64 { return v.rate }},
	{"packets lost, %", "%.2f", 100, false, func(v *values) []float64 { return v.loss }},
	{"use of the server's core, %", "%.0f", 100, false, func(v *values) []float64 { return v.busy }},
}

// idleAbove is the share of its core that a saturated server leaves unused when
// it is the load that is the slower.
const idleAbove = 0.05

// print writes the tables: medians of the rounds, from the least to the most.
func (b *bench) print(w io.Writer, r *results, took time.Duration) {
	counted := max(1, b.rounds-1)
	fmt.Fprintf(w, "Relays on one core, %v per measurement, %s %s/%s, %v in all.\n", b.lasts, runtime.Version(), runtime.GOOS, runtime.GOARCH, took.Round(time.Second))
	fmt.Fprintf(w, "Medians of %d rounds, with the least and the most. Half of the packets go to the peers, half to the clients.\n", counted)
	fmt.Fprintf(w, "Saturated: %d packets in a row on each flow, and %.1f times as many as are delivered. Paced: %.0f packets per second, one by one.\n",
		saturatedBurst, overload, b.rate)
	for _, s := range sections {
		b.printSection(w, s, r)
	}
	b.remark(w, r)
}

func (b *bench) printSection(w io.Writer, s section, r *results) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintf(t, "\n%s", s.title)
	for _, c := range b.contestants {
		fmt.Fprintf(t, "\t%s", c.name)
	}
	others := b.others()
	if s.ratios {
		for _, c := range others {
			fmt.Fprintf(t, "\tours/%s", c.name)
		}
	}
	fmt.Fprintln(t)
	for _, cell := range b.cells {
		fmt.Fprint(t, cell)
		for _, c := range b.contestants {
			fmt.Fprintf(t, "\t%s", s.cell(s.of(r.of(cell, c))))
		}
		if s.ratios {
			for _, c := range others {
				our, their := median(s.of(r.of(cell, contestant{name: ours}))), median(s.of(r.of(cell, c)))
				fmt.Fprintf(t, "\t%.2f", our/their)
			}
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
}

// others are those that ours is compared with.
func (b *bench) others() []contestant {
	isOurs := func(c contestant) bool { return c.name == ours }
	if !slices.ContainsFunc(b.contestants, isOurs) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(b.contestants), isOurs)
}

func (s section) cell(v []float64) string {
	show := func(v float64) string { return fmt.Sprintf(s.format, v*s.scale) }
	return fmt.Sprintf("%s [%s, %s]", show(median(v)), show(slices.Min(v)), show(slices.Max(v)))
}

// remark says what a reader of the tables must know.
func (b *bench) remark(w io.Writer, r *results) {
	fmt.Fprintln(w)
	foreign := 0.0
	for _, cell := range b.cells {
		for _, c := range b.contestants {
			v := r.of(cell, c)
			foreign = max(foreign, median(v.others))
			if busy := median(v.busy) + median(v.others); cell.rate == 0 && busy < 1-idleAbove {
				fmt.Fprintf(w, "%v: the load was slower than %s, which left %.0f %% of its core unused.\n", cell, c.name, 100*(1-busy))
			}
		}
	}
	if foreign > 0.02 {
		fmt.Fprintf(w, "Other programs used up to %.0f %% of the server's core (median of a row); their time is not in the costs, but the rates would be higher without them.\n", 100*foreign)
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
