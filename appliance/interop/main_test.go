//go:build linux && interop

// Package interop_test holds the real program against the world: it builds
// signalbox, runs it on hosts of their own, and talks to it as devices,
// browsers, other people's tools and the power socket do.
package interop_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"signalbox/internal/netlab"
)

// program is the binary under test, builtVersion what it calls itself.
var program string

const builtVersion = "interop-1.2.3"

// TestMain builds the program once. A copy of this process that a test has
// started on a host plays its role there instead.
func TestMain(m *testing.M) {
	if netlab.Role() == callerRole {
		os.Exit(playCaller(os.Args[1]))
	}
	dir, err := os.MkdirTemp("", "interop")
	if err == nil {
		program = filepath.Join(dir, "signalbox")
		err = build(program)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// build makes the program as the Makefile does, for this machine or for what
// the environment says.
func build(path string, environ ...string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+builtVersion,
		"-o", path, "signalbox/appliance/cmd/signalbox")
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), environ...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}
