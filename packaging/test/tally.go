package main

import (
	"fmt"
	"io"
	"strings"
)

// tally counts results and keeps what the closing report names.
type tally struct {
	out                     io.Writer
	passed, failed, skipped int
	skips, failures         []string
}

// fail counts one failure and prints its output in full, at once.
func (t *tally) fail(name, output string) {
	t.failed++
	t.failures = append(t.failures, name)
	fmt.Fprintf(t.out, "FAIL %s\n%s", name, output)
	if !strings.HasSuffix(output, "\n") {
		fmt.Fprintln(t.out)
	}
}

// skip counts one test that did not run, with the reason it gave.
func (t *tally) skip(name, reason string) {
	t.skipped++
	t.skips = append(t.skips, name+": "+reason)
}

// add takes over what another has counted.
func (t *tally) add(o *tally) {
	t.passed += o.passed
	t.failed += o.failed
	t.skipped += o.skipped
	t.skips = append(t.skips, o.skips...)
	t.failures = append(t.failures, o.failures...)
}

func (t *tally) counts() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, t.failed, t.skipped)
}

// report prints what was skipped and why, what failed, and the counts as the
// last line. It tells whether nothing failed.
func (t *tally) report() bool {
	for _, s := range t.skips {
		fmt.Fprintln(t.out, "skipped", s)
	}
	for _, f := range t.failures {
		fmt.Fprintln(t.out, "failed", f)
	}
	fmt.Fprintln(t.out, t.counts())
	return t.failed == 0
}
