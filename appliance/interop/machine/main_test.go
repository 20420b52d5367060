//go:build linux && interop

// Package machine_test installs the Debian package on a whole machine with a
// real systemd: systemd-nspawn boots it on top of this machine's own files,
// which an overlay in memory protects. Nothing that happens there stays.
package machine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"signalbox/packaging/release/releasetest"
)

// The versions that are installed one after the other.
const (
	firstVersion  = releasetest.Version
	nextVersion   = releasetest.Next
	brokenVersion = releasetest.Broken
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// packages are the deb of the first version as a release has it, that of a
// program that calls itself the next version, and one whose program takes the
// state over, in a form that no version before it reads, and ends.
func packages(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	set, err := releasetest.Make(t.Context(), "../../..", t.TempDir())
	if errors.Is(err, releasetest.ErrOffline) || errors.Is(err, releasetest.ErrNoXZ) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	first, err := set.File(".deb")
	if err == nil {
		err = exec.CommandContext(t.Context(), "cp", first, filepath.Join(dir, deb(firstVersion))).Run()
	}
	if err == nil {
		err = set.Remake(dir, filepath.Join(dir, deb(nextVersion)), nextVersion, nil)
	}
	if err == nil {
		err = set.Remake(dir, filepath.Join(dir, deb(brokenVersion)), brokenVersion, func([]byte) ([]byte, error) {
			return []byte("#!/bin/sh\necho this build is broken >&2\nexec /debs/newer " + dataDir + " " + brokenVersion + "\n"), nil
		})
	}
	if err == nil {
		build := exec.CommandContext(t.Context(), "go", "build", "-tags", "interop", "-o", filepath.Join(dir, "newer"), "./newer")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		_, err = output(t.Context(), build)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func deb(version string) string { return "signalbox_" + version + ".deb" }

// need skips the test where a program is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("booting a machine needs root; run this test as root")
	}
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s; packaging/test/prepare installs it on Debian", name)
		}
	}
}

// output is what a command prints, for messages.
func output(ctx context.Context, cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out), err
}
