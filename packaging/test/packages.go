package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// What is handed out is looked into, and installed on a machine, by tests that
// share one release: to build it takes most of their time.
const (
	packagesDir = "packaging/release"
	machineDir  = "appliance/interop/machine"
	// releaseVariable is releasetest.Variable: where they share it.
	releaseVariable = "TEST_RELEASE_DIR"
)

// shareRelease gives the tests a folder for it, until forget is called.
func shareRelease() (forget func(), err error) {
	dir, err := os.MkdirTemp("", "signalbox-release-")
	if err != nil {
		return nil, err
	}
	if err := os.Setenv(releaseVariable, dir); err != nil {
		return nil, err
	}
	return func() { _ = os.RemoveAll(dir) }, nil
}

// runPackages builds and looks into packages. It takes the time that the tests
// beside it leave: it is the compressor that keeps a processor busy.
func runPackages(ctx context.Context, t *tally) error {
	return runTagged(ctx, t, packagesDir, "nice", "-n", "10")
}

// runMachine installs the package on a booted machine. It mostly waits, for
// watchdogs and trials of versions, and is not to be made slow on purpose.
func runMachine(ctx context.Context, t *tally) error { return runTagged(ctx, t, machineDir) }

// runTagged runs the tests of one folder that need the tag; wrap runs go.
func runTagged(ctx context.Context, t *tally, dir string, wrap ...string) error {
	found, err := interopTests(filepath.FromSlash(dir))
	if err != nil {
		return err
	}
	names := found[filepath.FromSlash(dir)]
	if len(names) == 0 {
		return fmt.Errorf("no tests with tag %s in %s", interopTag, dir)
	}
	flags := append(goFlags(ctx), "-timeout=20m", "-tags="+interopTag, "-run=^("+strings.Join(names, "|")+")$", "./"+dir)
	return runGoTestBy(ctx, t, wrap, flags...)
}
