// Command bench measures signalbox side by side with a textbook gorilla hub:
// memory of an idle connection, throughput of one core, and latency. Each
// server is a process of its own on one core, and the load comes from this one
// on another; they take turns, round after round, so that whatever else the
// machine does meets both. See `make bench`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"signalbox/appliance/loadgen/bench/textbook"
)

// textbookArg has this program be the textbook hub.
const textbookArg = "textbook-hub"

// bench is how to measure.
type bench struct {
	box                  string
	serverCore, loadCore int
	rounds, crowdRounds  int
	conns, crowd         int
	flood                time.Duration
	rate                 float64
	pace                 time.Duration
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == textbookArg {
		fail(serveTextbook())
		return
	}
	b := bench{serverCore: 0, loadCore: 1}
	flag.StringVar(&b.box, "box", "bin/signalbox", "the signalbox binary to measure")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds of everything with -conns connections")
	flag.IntVar(&b.crowdRounds, "crowd-rounds", 2, "rounds of memory with -crowd connections")
	flag.IntVar(&b.conns, "conns", 1000, "connections")
	flag.IntVar(&b.crowd, "crowd", 10_000, "connections of the second measurement of memory")
	flag.DurationVar(&b.flood, "flood", 3*time.Second, "how long throughput is measured in each round")
	flag.Float64Var(&b.rate, "rate", 5000, "messages per second while latency is measured")
	flag.DurationVar(&b.pace, "pace", 3*time.Second, "how long latency is measured in each round")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fail(b.run(ctx))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context) error {
	if runtime.NumCPU() < 2 {
		return errors.New("one core is not enough: the server needs one, and the load another")
	}
	if err := stayOn(b.loadCore); err != nil {
		return err
	}
	start := time.Now()
	results := map[string]*result{}
	for _, c := range contestants {
		results[c.name] = &result{}
	}
	for round := range max(b.rounds, b.crowdRounds) {
		for i := range contestants {
			c := contestants[(i+round)%len(contestants)] // who is first takes turns, too
			if round < b.rounds {
				if err := b.whole(ctx, c, results[c.name]); err != nil {
					return fmt.Errorf("%s, round %d: %w", c.name, round+1, err)
				}
			}
			if round < b.crowdRounds {
				if err := b.crowded(ctx, c, results[c.name]); err != nil {
					return fmt.Errorf("%s, crowd round %d: %w", c.name, round+1, err)
				}
			}
		}
	}
	b.print(os.Stdout, results, time.Since(start))
	return nil
}

// stayOn keeps this process, with all threads it will ever have, on one core.
func stayOn(core int) error {
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
	}
	runtime.GOMAXPROCS(1)
	return nil
}

// serveTextbook serves the hub on a free port, until it is killed, and prints
// the address. SIGUSR1 has it collect its garbage, which no hub does by itself.
func serveTextbook() error {
	tidy := make(chan os.Signal, 1)
	signal.Notify(tidy, syscall.SIGUSR1)
	go func() { // ends with the process
		for range tidy {
			runtime.GC()
			debug.FreeOSMemory()
		}
	}()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	server := &http.Server{Handler: &textbook.Hub{}, ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(l)
}
