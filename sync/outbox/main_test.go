package outbox_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also is the child process of the crash tests.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(runChild(dir))
	}
	goleak.VerifyTestMain(m)
}
