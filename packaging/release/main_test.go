//go:build interop

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"signalbox/packaging/minisign"
	"signalbox/packaging/release/releasetest"
)

// What the tests share: one release for this machine, signed with a key that
// is thrown away.
const (
	version = releasetest.Version
	next    = releasetest.Next
)

var (
	set    *releasetest.Set
	dist   string
	key    minisign.SecretKey
	unable string // why nothing could be built here
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "signalbox-release-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	set, err = releasetest.Make(context.Background(), "../..", dir)
	switch {
	case errors.Is(err, releasetest.ErrOffline) || errors.Is(err, releasetest.ErrNoXZ):
		unable = err.Error()
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	default:
		dist, key = set.Dir, set.Key
	}
	return m.Run()
}

// made is the one file of the release that ends in suffix.
func made(t *testing.T, folder, suffix string) string {
	t.Helper()
	if unable != "" {
		t.Skip(unable)
	}
	found, err := filepath.Glob(filepath.Join(folder, "*"+suffix))
	if err != nil || len(found) != 1 {
		t.Fatalf("got %v, %v, want one *%s", found, err, suffix)
	}
	return found[0]
}

// need skips the test where a program is missing.
func need(t *testing.T, program, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed; Debian has it in %s", program, pkg)
	}
}

// shell runs a program that must succeed, and returns all it prints.
func shell(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := try(t, program, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return out
}

func try(t *testing.T, program string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// wantLines complains about lines that are not in text.
func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	have := "\n" + text + "\n"
	for _, line := range lines {
		if !strings.Contains(have, "\n"+line+"\n") {
			t.Errorf("no line %q in:\n%s", line, text)
		}
	}
}
