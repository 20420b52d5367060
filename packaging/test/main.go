// Command test runs every test of Signalbox and counts the results: the checks
// of form, Go's tests with the race detector, the interoperability tests, those
// of packages and of a machine that one is installed on, and the browser tests.
// Its last line is "N passed, N failed, N skipped".
//
// It lives in packaging because that is the room for what turns the code into
// something to hand out; `make test` is the way to call it.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// resultFile keeps the last line for .ci/run, which says it again after make.
const resultFile = "bin/test-result"

// A step adds what it ran to the tally. An error counts as one failure more.
type step struct {
	name string
	run  func(context.Context, *tally) error
	// beside runs at the same time: a step that mostly waits, or does not mind to.
	beside *step
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	results := &tally{out: os.Stdout}
	forget, err := shareRelease()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, s := range []step{
		{name: "gofmt", run: checkFormat},
		{name: "go vet", run: checkVet},
		{name: "go test", run: runUnit, beside: &step{name: "packages", run: runPackages}},
		{name: "interop", run: runInterop, beside: &step{name: "machine", run: runMachine}},
		{name: "browser", run: runNode},
	} {
		s.do(ctx, results)
	}
	stop()
	forget()
	good := results.report()
	if err := os.WriteFile(resultFile, []byte(results.counts()+"\n"), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if !good {
		os.Exit(1)
	}
}

// do runs a step and the one beside it, and waits for both. What the one beside
// it has to say comes in one piece, after the step's own.
func (s step) do(ctx context.Context, results *tally) {
	started := time.Now()
	var aside tally
	var said bytes.Buffer
	var done sync.WaitGroup
	if s.beside != nil {
		aside.out = &said
		done.Go(func() { s.beside.do(ctx, &aside) })
	}
	if err := s.run(ctx, results); err != nil {
		results.fail(s.name, err.Error())
	}
	fmt.Fprintf(results.out, "--- %s took %v\n", s.name, time.Since(started).Round(time.Second/10))
	done.Wait()
	_, _ = said.WriteTo(results.out)
	results.add(&aside)
}

// checkFormat counts as one test: every Go file is as gofmt would write it.
func checkFormat(ctx context.Context, results *tally) error {
	out, err := command(ctx, "gofmt", "-l", ".").Output()
	if err != nil {
		return err
	}
	var wrong []string
	for name := range strings.Lines(string(out)) {
		if !strings.Contains(name, "node_modules/") && !strings.Contains(name, "testdata/") {
			wrong = append(wrong, name)
		}
	}
	if len(wrong) > 0 {
		return errors.New("run gofmt -w on these files:\n" + strings.Join(wrong, ""))
	}
	results.passed++
	return nil
}

// checkVet counts as one test. With the tag it sees every file there is.
func checkVet(ctx context.Context, results *tally) error {
	out, err := command(ctx, "go", "vet", "-tags", interopTag, "./...").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	results.passed++
	return nil
}

// command is a child that is asked to stop when ctx ends and killed only if it
// does not, so that a test's own children are not left behind.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}
