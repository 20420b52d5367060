//go:build linux

// Command bench measures the link between sites and a cloud node: thousands of
// simulated boxes with real joins, proofs, tunnels and signed batches at one
// real node, and what the link costs a real box. See `make bench-sync`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// bench is what to measure, and what came of it.
type bench struct {
	program string
	sites   int
	minute  time.Duration // how long each rate is measured
	cost    time.Duration // how long a real box is measured; 0: not
	rows    []row
}

// row is a line of the table. ok is nil for what has no aim.
type row struct {
	what, value, aim string
	ok               *bool
}

func main() {
	b := &bench{}
	flag.StringVar(&b.program, "program", "bin/signalbox", "the program under test")
	flag.IntVar(&b.sites, "sites", 2000, "simulated sites; 0 leaves them out")
	flag.DurationVar(&b.minute, "measure", time.Minute, "how long each rate of frames is measured")
	flag.DurationVar(&b.cost, "cost", 11*time.Minute, "how long the traffic and the memory of a real box are measured, idle and busy at once; 0 leaves that out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "bench-sync")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b.note("load of the machine before", load(), "")
	if b.sites > 0 {
		if err := b.measureFleet(ctx, dir); err != nil {
			return err
		}
	}
	if b.cost > 0 {
		if err := b.measureBox(ctx, dir); err != nil {
			return err
		}
	}
	b.note("load of the machine after", load(), "")
	return b.print()
}

func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// note adds a row without an aim, and says it at once: the whole takes long.
func (b *bench) note(what, value, aim string) { b.add(row{what, value, aim, nil}) }

func (b *bench) check(what, value, aim string, ok bool) { b.add(row{what, value, aim, &ok}) }

func (b *bench) add(r row) {
	b.rows = append(b.rows, r)
	fmt.Fprintf(os.Stderr, "%s  %s: %s\n", time.Now().Format(time.TimeOnly), r.what, r.value)
}

func (b *bench) print() error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tmeasured\taim\t")
	for _, r := range b.rows {
		verdict := ""
		if r.ok != nil {
			verdict = "met"
			if !*r.ok {
				verdict = "MISSED"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.what, r.value, r.aim, verdict)
	}
	return w.Flush()
}

// measureFleet plays all sites at one node.
func (b *bench) measureFleet(ctx context.Context, dir string) error {
	n, err := newNode(ctx, b.program, dir, "127.0.0.1")
	if err != nil {
		return err
	}
	defer func() { n.stop() }()
	empty, err := n.usage()
	if err != nil {
		return err
	}
	began := time.Now()
	all, err := joinAll(ctx, n, b.sites)
	if err != nil {
		return err
	}
	b.note("sites made and joined", fmt.Sprintf("%d in %s", b.sites, secs(time.Since(began))), "")
	before, err := n.usage()
	if err != nil {
		return err
	}
	playing, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	began = time.Now()
	go func() { all.run(playing); close(ended) }()
	defer func() { end(); <-ended }()
	at, err := all.await(ctx, 3*time.Minute)
	if err != nil {
		return err
	}
	b.note("all connected, at once", secs(at.Sub(began))+spent(n, before, b.sites), "")
	if err := b.rates(ctx, n, all, empty); err != nil {
		return err
	}
	return b.restart(ctx, n, all)
}

// spent tells what CPU a node has used since, for each site.
func spent(n *node, since usage, sites int) string {
	now, err := n.usage()
	if err != nil {
		return ""
	}
	return fmt.Sprintf(", %.1f s of the node's CPU, %.1f ms a site; load %s", (now.cpu - since.cpu).Seconds(), (now.cpu-since.cpu).Seconds()*1000/float64(sites), load())
}

// rates measures at a frame a minute of each site, and at the rate of 10,000.
func (b *bench) rates(ctx context.Context, n *node, all *sites, empty usage) error {
	w := &watcher{all: all}
	watching, end := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() { failed <- w.run(watching, n) }()
	defer func() {
		end()
		<-failed //nolint:errcheck // what went wrong has been told
	}()
	for _, rate := range []struct {
		name  string
		every time.Duration
	}{
		{fmt.Sprintf("%d sites, a frame a minute", b.sites), time.Minute},
		{"10,000 sites by frame rate (167/s)", time.Minute * time.Duration(b.sites) / 10_000},
	} {
		all.every.Store(int64(rate.every))
		sleep(ctx, time.Second+w.before) // until all go at this rate
		w.before = rate.every
		w.take99()
		sent, acked := all.sent.Load(), all.acked.Load()
		before, err := n.usage()
		if err != nil {
			return err
		}
		select {
		case <-time.After(b.minute):
		case err := <-failed:
			failed <- nil
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		after, err := n.usage()
		if err != nil {
			return err
		}
		median, p99, count := w.take99()
		took := after.at.Sub(before.at)
		cpu := (after.cpu - before.cpu).Seconds() / took.Minutes()
		b.note(rate.name+": sent, acknowledged", fmt.Sprintf("%.1f/s, %.1f/s", float64(all.sent.Load()-sent)/took.Seconds(), float64(all.acked.Load()-acked)/took.Seconds()), "")
		b.note(rate.name+": memory", fmt.Sprintf("%d MiB, %.0f KiB a site over the empty node's %d MiB", after.rss>>20, float64(after.rss-empty.rss)/1024/float64(b.sites), empty.rss>>20), "")
		b.note(rate.name+": CPU", fmt.Sprintf("%.1f s a minute, %.2f ms a site and minute", cpu, cpu*1000/float64(b.sites)), "")
		b.check(rate.name+": frame to dashboard", fmt.Sprintf("median %s, p99 %s of %d", secs(median), secs(p99), count), "p99 < 1.5 s", count > 0 && p99 < 1500*time.Millisecond)
	}
	all.every.Store(int64(time.Minute))
	return nil
}

// restart measures until every site is back, three times.
func (b *bench) restart(ctx context.Context, n *node, all *sites) error {
	var took []time.Duration
	var serving []time.Duration
	for range 3 {
		began := time.Now()
		n.stop()
		if err := n.start(ctx); err != nil {
			return err
		}
		serving = append(serving, time.Since(began))
		at, err := all.await(ctx, 3*time.Minute)
		if err != nil {
			return err
		}
		took = append(took, at.Sub(began))
		b.note("a restart", secs(at.Sub(began))+spent(n, usage{}, b.sites), "")
		sleep(ctx, 3*time.Second)
	}
	b.check("all back after a restart, from its beginning", fmt.Sprintf("%s (serving after %s; all three: %v)", secs(middle(took)), secs(middle(serving)), round(took)), "< 10 s", middle(took) < 10*time.Second)
	return nil
}
