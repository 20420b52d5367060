//go:build linux && interop

// Package machine_test installs the Debian package on a whole machine with a
// real systemd: systemd-nspawn boots it on top of this machine's own files,
// which an overlay in memory protects. Nothing that happens there stays.
package machine_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// The versions that are installed one after the other. They are equally long,
// so that one program can be made into the next by its name alone.
const (
	firstVersion  = "7.31.4101"
	nextVersion   = "7.31.4102"
	brokenVersion = "7.31.4103"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run runs a command on this machine.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// packages builds the deb of the first version as a release does, and makes of
// it one of a program that calls itself the next version, and one whose program
// ends at once.
func packages(t *testing.T) (dir string) {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if dir = os.Getenv("MACHINE_DEBS"); dir != "" { // from an earlier run, to try a test again
		if _, err := os.Stat(filepath.Join(dir, deb(brokenVersion))); err == nil {
			return dir
		}
	} else {
		dir = t.TempDir()
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "./packaging/release", "build", "-arch", "amd64", "-formats", "deb", "-out", filepath.Join(dir, "release"))
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "VERSION="+firstVersion)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the package: %v\n%s", err, out)
	}
	run(t, dir, "mv", "release/signalbox_"+firstVersion+"_amd64.deb", deb(firstVersion))
	remake(t, dir, nextVersion, func(program []byte) []byte {
		renamed := strings.ReplaceAll(string(program), firstVersion, nextVersion)
		if renamed == string(program) {
			t.Fatalf("the program does not hold its version %s", firstVersion)
		}
		return []byte(renamed)
	})
	remake(t, dir, brokenVersion, func([]byte) []byte { return []byte("#!/bin/sh\necho this build is broken >&2\nexit 1\n") })
	return dir
}

func deb(version string) string { return "signalbox_" + version + ".deb" }

// remake takes the first package apart and puts it together with another program.
func remake(t *testing.T, dir, version string, change func([]byte) []byte) {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	run(t, dir, "dpkg-deb", "-R", deb(firstVersion), tree)
	program := filepath.Join(tree, "usr/bin/signalbox")
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	control := filepath.Join(tree, "DEBIAN/control")
	text, err := os.ReadFile(control)
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{
		program: change(content), control: []byte(strings.Replace(string(text), "Version: "+firstVersion, "Version: "+version, 1)),
	} {
		if err := os.WriteFile(path, text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, "dpkg-deb", "-Znone", "-b", tree, deb(version))
}

// need skips the test where a program is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getenv("MACHINE") == "" {
		t.Skip("a machine is booted by `make test-machine`, which takes four minutes")
	}
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
