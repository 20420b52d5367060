package projector_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also is the child process of TestKilled.
func TestMain(m *testing.M) {
	if os.Getenv(childOf) != "" {
		os.Exit(runChild())
	}
	goleak.VerifyTestMain(m)
}
