//go:build linux && interop

// Package faults_test kills, cuts and sets back real boxes' uplinks and a real
// cloud node, in processes of their own, and holds the totals of the cloud
// against what the boxes had committed.
package faults_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"signalbox/internal/netlab"
)

// roleVariable tells a copy of this process which end it plays.
const roleVariable = "SIGNALBOX_TEST_FAULTS"

const (
	roleEdge  = "edge"
	roleCloud = "cloud"
)

// TestMain has copies of this process play the two ends.
func TestMain(m *testing.M) {
	var run func() error
	switch os.Getenv(roleVariable) {
	case roleEdge:
		run = playEdge
	case roleCloud:
		run = playCloud
	default:
		goleak.VerifyTestMain(m)
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child runs a copy of this process until it is killed. It is handed its order
// as its one argument, and logs to a file beside its data folder.
func child(t *testing.T, on *netlab.Host, role, dir, order string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, order)
	if on != nil {
		cmd = on.Command(t.Context(), self, order)
	}
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	log, err := os.OpenFile(filepath.Join(filepath.Dir(dir), filepath.Base(dir)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	cmd.Stderr = log
	return cmd
}
