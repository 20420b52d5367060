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

// results are what the rounds gave.
type results struct {
	traffic map[cell]map[string]*values
	memory  map[string]*memory
	setups  map[string]*setups
}

func newResults() *results {
	return &results{map[cell]map[string]*values{}, map[string]*memory{}, map[string]*setups{}}
}

func (r *results) of(c cell, who contestant) *values {
	if r.traffic[c] == nil {
		r.traffic[c] = map[string]*values{}
	}
	return entry(r.traffic[c], who.name)
}

func (r *results) idle(who contestant) *memory  { return entry(r.memory, who.name) }
func (r *results) setup(who contestant) *setups { return entry(r.setups, who.name) }

// entry is m[name], made when it is new.
func entry[T any](m map[string]*T, name string) *T {
	if m[name] == nil {
		m[name] = new(T)
	}
	return m[name]
}

// section is one table: a figure of every row.
type section struct {
	title, format string
	scale         float64
	ratios        bool // ours over each other
}

// row is one line of a table: what the rounds gave for each contestant.
type row struct {
	name string
	of   func(contestant) []float64
}

// figures are the sections about traffic.
var figures = []struct {
	section
	of func(*values) []float64
}{
	{section{"CPU-nanoseconds per packet delivered, process and kernel", "%.0f", 1, true}, func(v *values) []float64 { return v.cost }},
	{section{"of these, charged to the process", "%.0f", 1, false}, func(v *values) []float64 { return v.process }},
	{section{"thousand packets delivered per second", "%.1f", 1e-3, true}, func(v *values) []float64 { return v.rate }},
	{section{"packets lost, %", "%.2f", 100, false}, func(v *values) []float64 { return v.loss }},
	{section{"use of the server's core, %", "%.0f", 100, false}, func(v *values) []float64 { return v.busy }},
}

// A server was not saturated, because the load was the slower, when it left more
// than idleAbove of its core unused, or lost less than lossBelow of the packets:
// the load tries to send it overload times what it can do.
const (
	idleAbove = 0.05
	lossBelow = 0.02
)

// print writes the tables: medians of the rounds, from the least to the most.
func (b *bench) print(w io.Writer, r *results, took time.Duration) {
	counted := max(1, b.rounds-1)
	fmt.Fprintf(w, "Relays on one core, %v per measurement, %s %s/%s, %v in all.\n", b.lasts, runtime.Version(), runtime.GOOS, runtime.GOARCH, took.Round(time.Second))
	fmt.Fprintf(w, "Medians of %d rounds, with the least and the most. Half of the packets go to the peers, half to the clients.\n", counted)
	fmt.Fprintf(w, "Saturated: %d packets in a row on each flow, and %.1f times as many as are delivered, so that some are always lost. Paced: %.0f packets per second, one by one.\n",
		saturatedBurst, overload, b.rate)
	for _, f := range figures {
		var rows []row
		for _, cell := range b.cells {
			rows = append(rows, row{cell.String(), func(c contestant) []float64 { return f.of(r.of(cell, c)) }})
		}
		if len(rows) > 0 {
			b.printSection(w, f.section, rows)
		}
	}
	if b.allocations > 0 {
		idle := fmt.Sprintf("%d idle, each with a permission and a channel", b.allocations)
		b.printSection(w, section{"resident KB per allocation", "%.1f", 1.0 / 1024, true}, []row{
			{idle, func(c contestant) []float64 { return r.idle(c).asIs }},
			{"garbage returned", func(c contestant) []float64 { return r.idle(c).tidy }},
		})
		b.printSection(w, section{"allocations made and ended", "%.0f", 1, true}, []row{
			{"per second", func(c contestant) []float64 { return r.setup(c).rate }},
			{"CPU-microseconds each", func(c contestant) []float64 { return scaled(r.setup(c).cost, 1e-3) }},
			{"use of the server's core, %", func(c contestant) []float64 { return scaled(r.setup(c).busy, 100) }},
		})
	}
	b.remark(w, r)
	b.judge(w, r)
}

func (b *bench) printSection(w io.Writer, s section, rows []row) {
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
	for _, row := range rows {
		fmt.Fprint(t, row.name)
		for _, c := range b.contestants {
			fmt.Fprintf(t, "\t%s", s.cell(row.of(c)))
		}
		if s.ratios {
			for _, c := range others {
				fmt.Fprintf(t, "\t%s", ratio(row.of(contestants[0]), row.of(c)))
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

// cell is a median between the least and the most, empty for no values.
func (s section) cell(v []float64) string {
	if len(v) == 0 {
		return ""
	}
	show := func(v float64) string { return fmt.Sprintf(s.format, v*s.scale) }
	return fmt.Sprintf("%s [%s, %s]", show(median(v)), show(slices.Min(v)), show(slices.Max(v)))
}

func ratio(ours, theirs []float64) string {
	if len(ours) == 0 || len(theirs) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", median(ours)/median(theirs))
}

func scaled(values []float64, by float64) []float64 {
	list := slices.Clone(values)
	for i := range list {
		list[i] *= by
	}
	return list
}

// remark says what a reader of the tables must know.
func (b *bench) remark(w io.Writer, r *results) {
	fmt.Fprintln(w)
	foreign := 0.0
	for _, cell := range b.cells {
		for _, c := range b.contestants {
			v := r.of(cell, c)
			foreign = max(foreign, median(v.others))
			idle := 1 - median(v.busy) - median(v.others)
			if cell.rate == 0 && (idle > idleAbove || median(v.loss) < lossBelow) {
				fmt.Fprintf(w, "%v: the load was slower than %s, which left %.0f %% of its core unused.\n", cell, c.name, 100*max(0, idle))
			}
		}
	}
	if foreign > 0.02 {
		fmt.Fprintf(w, "Other programs used up to %.0f %% of the server's core (median of a row); the rates would be higher without them, and some of the kernel's work for the servers was charged to them.\n", 100*foreign)
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
