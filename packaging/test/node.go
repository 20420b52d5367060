package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// nodeProject holds the tests of the pages and of the browser client.
const nodeProject = "webui/test"

// runNode runs `npm test`. People read its usual report; a second one, in TAP,
// goes to a file and is counted.
func runNode(ctx context.Context, t *tally) error {
	tests, err := filepath.Glob(nodeProject + "/*.test.*js")
	if err != nil || len(tests) == 0 {
		return err
	}
	if _, err := os.Stat(nodeProject + "/node_modules"); err != nil {
		t.skip(nodeProject, "its Node packages are not installed; packaging/test/prepare says why")
		return nil
	}
	dir, err := os.MkdirTemp("", "signalbox-test-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	report := filepath.Join(dir, "report.tap")
	cmd := command(ctx, "npm", "test", "--silent")
	cmd.Dir = nodeProject
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "NODE_OPTIONS=--test-reporter=spec --test-reporter-destination=stdout"+
		" --test-reporter=tap --test-reporter-destination="+report)
	runErr := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](runErr); runErr != nil && !exited {
		return runErr
	}
	tap, err := os.ReadFile(report)
	if err != nil {
		return errors.Join(runErr, err)
	}
	failed, err := countTAP(t, string(tap))
	if err == nil && failed == 0 && runErr != nil {
		err = fmt.Errorf("npm test: %w, although no test failed", runErr)
	}
	return err
}

// countTAP adds the summary that closes node's TAP report: "# pass 12".
func countTAP(t *tally, tap string) (failed int, err error) {
	counts := map[string]int{}
	for line := range strings.Lines(tap) {
		if word, number, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "# "), " "); ok && line[0] == '#' {
			if n, err := strconv.Atoi(number); err == nil {
				counts[word] = n
			}
		}
		if _, name, ok := strings.Cut(line, "# SKIP"); ok {
			before, _, _ := strings.Cut(line, " # SKIP")
			_, test, _ := strings.Cut(before, " - ")
			t.skips = append(t.skips, test+":"+strings.TrimRight(name, "\n"))
		}
	}
	if _, ok := counts["tests"]; !ok {
		return 0, errors.New("npm test ended without counting its tests")
	}
	failed = counts["fail"] + counts["cancelled"]
	if failed > 0 {
		t.failures = append(t.failures, fmt.Sprintf("%s: %d tests, see above", nodeProject, failed))
	}
	t.passed += counts["pass"]
	t.failed += failed
	t.skipped += counts["skipped"] + counts["todo"]
	return failed, nil
}
