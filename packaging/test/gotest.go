package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// event is one line of `go test -json`; see `go doc test2json` and, for the
// build events, `go help buildjson`.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64 // seconds
	// FailedBuild is the ImportPath that kept a package from being tested.
	FailedBuild string
}

// goResults turns the events of one `go test -json` into counts. Only leaves
// count: a test with subtests is the sum of them, unless it fails by itself.
type goResults struct {
	tally    *tally
	output   map[string]*strings.Builder // by test, package or build
	parents  map[string]bool
	broken   map[string]bool // tests and packages with a failure inside
	packages map[string]int  // results in each package
}

func newGoResults(t *tally) *goResults {
	return &goResults{
		tally:    t,
		output:   map[string]*strings.Builder{},
		parents:  map[string]bool{},
		broken:   map[string]bool{},
		packages: map[string]int{},
	}
}

// runGoTest runs `go test -json` with args and adds its results to t.
func runGoTest(ctx context.Context, t *tally, args ...string) error {
	return runGoTestBy(ctx, t, nil, args...)
}

// runGoTestBy is runGoTest where another command runs go, such as nice.
func runGoTestBy(ctx context.Context, t *tally, wrap []string, args ...string) error {
	line := slices.Concat(wrap, []string{"go", "test", "-json"}, args)
	cmd := command(ctx, line[0], line[1:]...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	before := t.failed
	readErr := newGoResults(t).read(stdout)
	err = cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); exited && t.failed > before {
		err = nil // each failure is reported already
	}
	if err = errors.Join(readErr, err); err != nil {
		return fmt.Errorf("go test: %w\n%s", err, complaints.String())
	}
	return nil
}

func (r *goResults) read(events io.Reader) error {
	in := bufio.NewReader(events)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				r.add(e)
			} else {
				fmt.Fprintf(r.tally.out, "%s", line) // go test itself speaking
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *goResults) add(e event) {
	key := e.ImportPath
	if key == "" {
		key = strings.TrimSuffix(e.Package+" "+e.Test, " ")
	}
	switch e.Action {
	case "output", "build-output":
		if r.output[key] == nil {
			r.output[key] = new(strings.Builder)
		}
		r.output[key].WriteString(e.Output)
	case "run":
		if i := strings.LastIndexByte(key, '/'); i > len(e.Package) {
			r.parents[key[:i]] = true
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(key, e)
		}
	}
}

func (r *goResults) endTest(key string, e event) {
	output := r.take(key)
	if e.Action == "fail" {
		// The failure of a subtest fails the tests around it and the package;
		// it counts once.
		counted := r.broken[key]
		for k := key; k != e.Package; {
			i := max(strings.LastIndexByte(k, '/'), len(e.Package))
			k = k[:i]
			r.broken[k] = true
		}
		if !counted {
			r.packages[e.Package]++
			r.tally.fail(key, output)
		}
		return
	}
	if r.parents[key] {
		return
	}
	r.packages[e.Package]++
	if e.Action == "skip" {
		r.tally.skip(key, skipReason(output))
		return
	}
	r.tally.passed++
}

// endPackage reports a package that failed outside its tests: in TestMain, by a
// data race after the last test, or by running out of time.
func (r *goResults) endPackage(e event) {
	output := r.take(e.Package)
	switch {
	case e.FailedBuild != "": // what the compiler said is shown with the first package
		r.tally.fail(e.Package+", "+e.FailedBuild+" does not build", r.take(e.FailedBuild))
	case e.Action == "fail" && !r.broken[e.Package]:
		r.tally.fail(e.Package, output+r.unfinished(e.Package))
	}
	if n := r.packages[e.Package]; n > 0 {
		took := time.Duration(e.Elapsed * float64(time.Second)).Round(time.Second / 10)
		fmt.Fprintf(r.tally.out, "%s %s: %d tests in %v\n", e.Action, e.Package, n, took)
	}
}

// unfinished is the output of tests that have begun and not ended: of a panic
// or a time-out there is no other report.
func (r *goResults) unfinished(pkg string) string {
	var all strings.Builder
	for _, key := range slices.Sorted(maps.Keys(r.output)) {
		if strings.HasPrefix(key, pkg+" ") {
			all.WriteString(r.take(key))
		}
	}
	return all.String()
}

func (r *goResults) take(key string) string {
	if r.output[key] == nil {
		return ""
	}
	defer delete(r.output, key)
	return r.output[key].String()
}

// skipReason is what t.Skip was told: the line that begins with file and line.
func skipReason(output string) string {
	reason := "no reason given"
	for line := range strings.Lines(output) {
		if _, text, ok := strings.Cut(line, ".go:"); ok {
			_, text, _ = strings.Cut(text, ": ")
			reason = strings.TrimSpace(text)
		}
	}
	return reason
}
