package identity

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// childStep has this program replace an identity and be killed before its nth step.
const childStep = "SIGNALBOX_TEST_KILL_BEFORE"

// TestMain also is the child process of TestKilled.
func TestMain(m *testing.M) {
	if step := os.Getenv(childStep); step != "" {
		if err := replace(os.Args[1], step); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func replace(dir, step string) error {
	before, err := strconv.Atoi(step)
	if err != nil {
		return err
	}
	f := folder{dir: dir, step: func() {
		if before--; before == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it comes
		}
	}}
	unlock, err := f.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return replaceWith(f)
}

// replaceWith puts a copy of the identity in force in its place.
func replaceWith(f folder) error {
	n, err := f.current()
	if err != nil {
		return err
	}
	g, err := f.read(n)
	if err != nil {
		return err
	}
	if n, err = f.add(g); err != nil {
		return err
	}
	if err := f.swap(n); err != nil {
		return err
	}
	return f.clean()
}
