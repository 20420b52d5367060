//go:build linux

// Command bench measures the relay side by side with pion's example server,
// Debian's coturn, and a forwarder that does nothing else. Each server is a
// process on one core of a network namespace of its own; clients and peers are
// in two more, behind veth pairs, and the load comes from this process on
// another core. They take turns, round after round, so that whatever else the
// machine does meets all. See `make bench-relay`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bench is how to measure.
type bench struct {
	serverCore, loadCore int
	rounds               int
	lasts                time.Duration // each measurement
	rate                 float64       // of paced rows, packets per second
	allocations          int           // idle, to measure memory; 0: do not, nor how fast they are made
	only, servers, perf  string
	quiet, steer         bool
	nice                 int // of the servers and the load

	lab         *lab
	contestants []contestant
	cells       []cell
}

func main() {
	if played, err := playRole(os.Args[1:]); played {
		fail(err)
		return
	}
	b := bench{serverCore: 0, loadCore: 1}
	flag.IntVar(&b.rounds, "rounds", 7, "rounds of everything; the first does not count unless it is the only one")
	seconds := flag.Float64("seconds", 1, "how long each row is measured in each round")
	flag.Float64Var(&b.rate, "rate", 20_000, "packets per second of the paced rows")
	flag.IntVar(&b.allocations, "allocations", 2000, "idle allocations to measure memory with; 0 measures nothing but relaying")
	flag.StringVar(&b.only, "only", "", "a regular expression for the rows to measure, such as 'saturated.*100 flows.*1200.*Channel' or allocations")
	flag.StringVar(&b.servers, "servers", "", "the servers to measure, such as ours,forwarder; all of them unless set")
	flag.StringVar(&b.perf, "perf", "", "record profiles of the server's core with perf into files whose names begin so")
	flag.IntVar(&b.nice, "nice", 0, "the scheduling priority of servers and load; -15 holds its own on a machine with other work")
	quick := flag.Bool("quick", false, "three rounds of half a second")
	flag.BoolVar(&b.steer, "steer", true, "have what servers send received on the load's core; it costs the server an interrupt between cores, dear on virtual machines. Otherwise the server's core receives it")
	flag.BoolVar(&b.quiet, "quiet", false, "no progress")
	flag.Parse()
	b.lasts = time.Duration(*seconds * float64(time.Second))
	if *quick {
		b.rounds, b.lasts = 3, time.Second/2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fail(b.run(ctx))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context) (err error) {
	if err := b.prepare(); err != nil {
		return err
	}
	farCore := b.loadCore
	if !b.steer {
		farCore = anyCore
	}
	if b.lab, err = newLab(b.serverCore, farCore); err != nil {
		return err
	}
	defer b.lab.close()
	if err := prioritize(os.Getpid(), b.nice); err != nil {
		return err
	}
	note, restore, err := allowBuffers()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	start := time.Now()
	r := newResults()
	for round := range b.rounds {
		if err := b.round(ctx, round, r); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	b.print(os.Stdout, r, time.Since(start))
	if note != "" {
		fmt.Fprintln(os.Stdout, note)
	}
	return nil
}

// round is everything once. The first warms the machine up.
func (b *bench) round(ctx context.Context, round int, r *results) error {
	if err := b.traffic(ctx, round, r); err != nil || b.allocations == 0 {
		return err
	}
	for i := range b.contestants {
		c := b.contestants[(i+round)%len(b.contestants)]
		if !c.relays {
			continue
		}
		var first setups
		into := &first
		if b.counts(round) {
			into = r.setup(c)
		}
		if err := b.setup(ctx, c, into); err != nil {
			return fmt.Errorf("%s, allocations per second: %w", c.name, err)
		}
		if b.counts(round) && len(r.idle(c).asIs) < memoryRounds {
			if err := b.idle(ctx, c, r.idle(c)); err != nil {
				return fmt.Errorf("%s, %d idle allocations: %w", c.name, b.allocations, err)
			}
		}
	}
	return nil
}

func (b *bench) counts(round int) bool { return round > 0 || b.rounds == 1 }

// traffic measures every cell with every contestant, who take turns in being
// first.
func (b *bench) traffic(ctx context.Context, round int, r *results) error {
	for n, cell := range b.cells {
		if !b.quiet {
			fmt.Fprintf(os.Stderr, "\rround %d of %d, row %d of %d ", round+1, b.rounds, n+1, len(b.cells))
		}
		for i := range b.contestants {
			c := b.contestants[(i+round+n)%len(b.contestants)]
			t, err := b.measure(ctx, c, cell)
			if err != nil {
				return fmt.Errorf("%s, %v: %w", c.name, cell, err)
			}
			if b.counts(round) {
				r.of(cell, c).add(t)
			}
		}
	}
	if !b.quiet {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
	return nil
}

// prepare checks what was asked for and puts this process on its core.
func (b *bench) prepare() error {
	if runtime.NumCPU() < 2 {
		return errors.New("one core is not enough: the server needs one, and the load another")
	}
	if b.rounds < 1 || b.lasts < 100*time.Millisecond || b.rate <= 0 {
		return errors.New("-rounds, -seconds and -rate: want at least 1, 0.1 and 1")
	}
	only, err := regexp.Compile("(?i)" + b.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	b.cells = cells(only, b.rate)
	if !only.MatchString("allocations") {
		b.allocations = 0
	}
	if b.contestants, err = choose(b.servers); err != nil {
		return err
	}
	debug.SetGCPercent(-1) // collected between measurements
	if err := raiseDescriptors(); err != nil {
		return err
	}
	return stayOn(b.loadCore, b.nice)
}

// choose gives the contestants named, separated by commas, or all of them.
// coturn is left out where it is not installed, unless it was named.
func choose(names string) ([]contestant, error) {
	_, missing := exec.LookPath("turnserver")
	if names == "" {
		return slices.DeleteFunc(slices.Clone(contestants), func(c contestant) bool {
			return c.name == coturn && missing != nil
		}), nil
	}
	var chosen []contestant
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(contestants, func(c contestant) bool { return c.name == name })
		switch {
		case i < 0:
			return nil, fmt.Errorf("-servers: got %q, want some of ours,pion,coturn,forwarder", name)
		case name == coturn && missing != nil:
			return nil, fmt.Errorf("-servers: %w; install the package coturn", missing)
		}
		chosen = append(chosen, contestants[i])
	}
	return chosen, nil
}

// raiseDescriptors lets this process and the servers open what they may.
func raiseDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

// stayOn keeps this process, with all threads it will ever have, on one core
// and at one priority.
func stayOn(core, nice int) error {
	var set unix.CPUSet
	set.Set(core)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		tid := 0
		if _, err := fmt.Sscan(thread.Name(), &tid); err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			return fmt.Errorf("set affinity to core %d: %w", core, err)
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, tid, nice); err != nil {
			return fmt.Errorf("set priority to %d: %w", nice, err)
		}
	}
	runtime.GOMAXPROCS(1)
	return nil
}
